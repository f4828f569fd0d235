"""What a build promises when processes die, signals come, disks fill up: the long run in brief."""

import dask
import pytest

from benchmarks.faults import disk, engines, interrupts, kills, workers


@pytest.mark.parametrize(
    ("scenario", "n"),
    [
        (kills.killed_at_random, 3),
        (kills.killed_at_every_step, 10),
        (kills.two_builders, 1),
        (kills.stale_locks, 1),
        (workers.workers_killed, 2),
        (workers.deadly_shards, 1),
        (interrupts.interrupted, 3),
        (disk.file_size_limits, 3),
        (disk.full_disks, 2),
        (engines.surroundings, 2),
        (engines.cluster_worker_killed, 1),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_promises_are_kept(scenario, n, tmp_path, monkeypatch):
    # How soon a signal ends a build is measured by `benchmarks.faults`, on a machine with nothing else to do.
    monkeypatch.setattr(interrupts, "SOON", interrupts.FOR_EVER)
    outcome = scenario(tmp_path, n)
    if outcome.tried == 0:
        pytest.skip(outcome.notes)
    assert outcome.kept == outcome.tried == n, outcome.notes


def test_a_shard_over_which_all_workers_of_a_cluster_die_is_left_out(tmp_path):
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):  # two deaths are enough
        outcome = engines.cluster_deadly_shards(tmp_path, 1)
    assert outcome.kept == outcome.tried == 1, outcome.notes
