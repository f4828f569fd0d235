"""Workers that die: killed from outside, or by the shard that they have at hand.

- `workers_killed`: now and then, by another process
- `deadly_shards`, `deadly_shard`: over one shard, again and again
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import active_children
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.faults import Outcome, Scenario
from benchmarks.faults.builds import (
    N_WORKERS,
    broken_promises,
    build_with_workers,
    finish,
    finished_shards,
    outcome,
    run_command,
    undisturbed,
)
from database.exit_status import REJECTS
from database.rendering import shard_builder
from database.store import read_rejects, shard_name
from database.tasks import Row, Task

MOST_BUILDS = 50  # that a long run may take to kill as many workers as it should

# Ways in which a process ends without a word.
DEATHS: list[Callable[[], None]] = [
    lambda: os.kill(os.getpid(), signal.SIGKILL),
    lambda: os.kill(os.getpid(), signal.SIGSEGV),
    lambda: os._exit(1),
]


def workers_killed(folder: Path, n: int) -> Outcome:
    """Workers are killed while they work."""
    expected = undisturbed(folder / "undisturbed")
    rng = np.random.default_rng(0)
    broken: list[str] = []
    n_killed = n_builds = 0
    while n_killed < n and not broken:
        if n_builds > MOST_BUILDS:
            broken.append(f"{n_killed} workers could be killed in {n_builds} builds")
            break
        database = folder / str(n_builds)
        with _workers_killed(database, n - n_killed, rng) as killed:
            build_with_workers(database)
        n_killed, n_builds = n_killed + len(killed), n_builds + 1
        broken += broken_promises(database, expected)
    return outcome(
        "workers killed",
        "the build finishes with the same digests",
        n,
        broken,
        f"in {n_builds} builds of {N_WORKERS} workers",
    )


def deadly_shards(folder: Path, n: int) -> Outcome:
    """A shard that ends every process that begins it."""
    expected = undisturbed(folder / "undisturbed")
    rng = np.random.default_rng(0)
    broken: list[str] = []
    for number in range(n):
        deadly, death = int(rng.integers(len(expected))), number % len(DEATHS)
        broken += deadly_shard(folder / str(number), deadly, expected, "--workers", "2", death=death)
    return outcome(
        "a shard over which three workers died",
        "it is reported, the rest is finished, status 3; built when it can be",
        n,
        broken,
        "SIGKILL, SIGSEGV, exit",
    )


def deadly_shard(
    database: Path, deadly: int, expected: dict[str, str], *words: str, death: int = 0
) -> list[str]:
    """Build where one shard ends every process that begins it, then where it does not; what is wrong."""
    name = shard_name(deadly)
    with patch("database.build.shard_builder", partial(_deadly_builder, deadly, death)):
        status, said = run_command(database, *words)
    rejects = [(reject.what, reject.name) for reject in read_rejects(database)]
    if status != REJECTS or name not in said or rejects != [("shard", name)]:
        return [f"status {status}, rejects {rejects}, {said}"]
    if finished_shards(database).keys() != expected.keys() - {name}:
        return ["the other shards are not all there"]
    return finish(database, expected)


SCENARIOS: list[tuple[Scenario, int]] = [(workers_killed, 20), (deadly_shards, 6)]


@contextmanager
def _workers_killed(database: Path, most: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """While a build runs in here, kill a worker now and then; the ids of those killed."""
    killed: list[int] = []
    done = threading.Event()

    def kill() -> None:
        n_before = 0
        while len(killed) < most and not done.wait(rng.uniform(0.01, 0.2)):
            workers = [child for child in active_children() if child.name.startswith("SpawnProcess")]
            n_now = len(finished_shards(database))
            if workers and n_now > n_before:  # no worker is to die three times over one shard
                victim = workers[rng.integers(len(workers))]
                victim.kill()
                killed.append(victim.pid or 0)
                n_before = n_now

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        done.set()
        thread.join()


def _deadly_builder(deadly: int, death: int, *arguments: Any) -> Task:
    """What builds shards, and ends the process over one of them."""
    task = shard_builder(*arguments)

    def build_shard(number: int, advance: Callable[[], None]) -> Row:
        if number == deadly:
            DEATHS[death]()
        return task(number, advance)

    return build_shard
