"""A build on a Dask cluster: what it needs, and what it says when something is missing."""

import os
import sys

import pytest
from distributed import LocalCluster

import database.cluster
from benchmarks.faults.builds import small_recipe, sums, undisturbed
from database.build import build
from database.cluster import shards_of_cluster
from database.exit_status import is_machines_fault
from database.store import verify
from database.tasks import read_task, write_task


@pytest.fixture
def scheduler():
    """Address of a scheduler without workers."""
    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=None) as cluster:
        yield cluster.scheduler_address


def shards(scratch, cluster):
    return list(shards_of_cluster(dict, [0], lambda _: None, scratch, (), cluster=cluster))


def test_a_cluster_gives_the_same_bytes_and_tells_of_other_versions(tmp_path, monkeypatch):
    versions, environment = database.cluster.versions(), dict(os.environ)
    monkeypatch.setattr(database.cluster, "versions", lambda: versions | {"numpy": "1.0"})
    with pytest.warns(
        UserWarning, match="has other versions, cues may differ in their last bit or more: numpy 1.0 → "
    ):
        build(tmp_path / "cluster", small_recipe(), local_cluster=1, progress=False)
    assert verify(tmp_path / "cluster") == []
    assert dict(os.environ) == environment
    assert sums(tmp_path / "cluster") == undisturbed(tmp_path / "here")


def test_a_scheduler_that_does_not_answer_is_the_machines_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(database.cluster, "CONNECT", 0.5)
    with pytest.raises(ConnectionError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9") as caught:
        shards(tmp_path, "tcp://127.0.0.1:9")
    assert is_machines_fault(caught.value)


def test_a_cluster_without_workers_is_not_waited_for_forever(tmp_path, monkeypatch, scheduler):
    monkeypatch.setattr(database.cluster, "PATIENCE", 0.1)
    with pytest.raises(ConnectionError, match=r"without any worker for 0\.1 s"):
        shards(tmp_path, scheduler)


def test_a_signal_ends_the_waiting_for_workers(tmp_path, scheduler):
    assert list(shards_of_cluster(dict, [0], print, tmp_path, [15], cluster=scheduler)) == []


def test_an_address_that_is_none_is_refused_before_anything_is_done(tmp_path):
    with pytest.raises(ValueError, match=r"scheduler is 'node1': expected an address like tcp://node1:8786"):
        build(tmp_path / "database", small_recipe(), scheduler="node1")
    assert not (tmp_path / "database").exists()


def test_a_missing_package_is_told(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "database.cluster")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ValueError, match=r'pip install -e "\.\[distributed\]"'):
        build(tmp_path / "database", small_recipe(), local_cluster=1)


def test_workers_that_do_not_see_the_folder_say_so(tmp_path):
    path, sha256 = write_task(tmp_path, dict)
    assert read_task(path, sha256) == {}
    for wrong in (path.with_name("elsewhere"), path):
        with pytest.raises(
            OSError, match="does not see the file that the builder wrote: expected the database's"
        ):
            read_task(wrong, sha256[::-1] if wrong == path else sha256)
