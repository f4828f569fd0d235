"""The shards of a build over the cores of one machine.

A shard is the same whoever builds it; workers only differ in which shards they get. A worker is a process of
one thread with one shard at a time, so that its death concerns this shard alone: another worker tries it
again. It hears neither SIGINT, which a terminal sends to everybody, nor SIGTERM, and ends when the builder
says so or ends itself, in whatever way.

- `shards_of_processes`: build shards in worker processes
- `n_cores`: how many cores this process may use
- `refuse_unguarded_script`: no build within the start of a worker
"""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from database.store import Reject, shard_name
from database.tasks import Shards, Task, write_task
from database.worker_process import WorkerProcess

POLL = 0.2  # s between two looks at the workers' progress
MOST_DEATHS = 3  # of workers over one shard, or one after the other at their start


def n_cores() -> int:
    """How many cores this process may use.

    Examples
    --------
    >>> n_cores() >= 1
    True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def refuse_unguarded_script() -> None:
    """Raise a RuntimeError where a starting worker process came here by importing the user's script."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise RuntimeError(
            "a worker process imports the script that starts the build, and must not build itself: "
            'put the call under `if __name__ == "__main__":`'
        )


def shards_of_processes(
    make_task: Callable[[], Task],
    numbers: Sequence[int],
    advance: Callable[[int], Any],
    scratch: Path,
    signals: Sequence[int],
    *,
    n_workers: int | None = None,
) -> Shards:
    """Build shards in worker processes, and hand back each as it is finished, in any order.

    Parameters
    ----------
    make_task : callable
        Makes what builds a shard; called once in each worker, so it and what it holds can be pickled.
    numbers : sequence of int
        The shards to build.
    advance : callable
        Called with the number of scenes finished since the last call; negative where a worker died.
    scratch : Path
        Folder through which the workers are told what to do.
    signals : sequence of int
        Signals that came: with the first, all is stopped.
    n_workers : int, optional
        Processes; one for each core if left out, and never more than shards.

    Yields
    ------
    dict or Reject
        A shard's row for the manifest; or, if three workers died over it, that it is left out.

    Raises
    ------
    ChildProcessError
        If three workers, one after the other, die at their start.
    """
    task_file, sha256 = write_task(scratch, make_task)
    todo, deaths = deque(numbers), Counter[int | None]()
    workers = [WorkerProcess(task_file, sha256) for _ in range(min(n_workers or n_cores(), len(numbers)))]
    try:
        while not signals:
            for worker in workers:
                if worker.future is None and todo:
                    worker.build(todo.popleft())
            pending = [worker.future for worker in workers if worker.future is not None]
            if not pending:
                return
            done, _ = wait(pending, POLL, FIRST_COMPLETED)
            for place, worker in enumerate(workers):
                advance(worker.new_scenes())
                if worker.future not in done:
                    continue
                try:
                    row = worker.result()
                except BrokenProcessPool:
                    advance(-worker.n_scenes)
                    yield from _after_death(worker.shard, deaths, todo)
                    worker.stop()
                    workers[place] = WorkerProcess(task_file, sha256)
                    continue
                deaths[None] = 0
                if row is not None:
                    yield row
    finally:
        for worker in workers:
            worker.stop()
        for worker in workers:
            worker.join()


def _after_death(shard: int | None, deaths: Counter[int | None], todo: deque[int]) -> Iterator[Reject]:
    """The shard over which a worker died is tried again, or left out."""
    deaths[shard] += 1
    if deaths[shard] < MOST_DEATHS:
        if shard is not None:
            todo.appendleft(shard)
    elif shard is None:
        raise ChildProcessError(f"a worker process died at its start, {MOST_DEATHS} times in a row")
    else:
        yield Reject("shard", shard_name(shard), f"{MOST_DEATHS} worker processes died over it")
