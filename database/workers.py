"""The shards of a build over the cores of one machine.

A shard is the same whoever builds it; workers only differ in which shards they get. A worker has one thread,
ignores the interrupt that the terminal sends to everybody, stops between two scenes when the builder says so,
and ends with the builder, however that ends.

- `shard_rows`: build shards, and hand back their rows as they are finished
- `n_cores`: how many cores this process may use
- `refuse_unguarded_script`: no build within the start of a worker
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from itertools import islice
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from database.store import write_atomically

Row = dict[str, Any]
Task = Callable[[int, Callable[[], None]], Row]  # (shard, what to call after each scene) -> its row

THREADS = "OMP_NUM_THREADS OPENBLAS_NUM_THREADS MKL_NUM_THREADS VECLIB_MAXIMUM_THREADS NUMBA_NUM_THREADS"
ENVIRONMENT = {
    **dict.fromkeys(THREADS.split(), "1"),
    # glibc gives each large array's memory back to the system and asks for it again, page by page, with the
    # next one; to keep it saves a fifth of the time.
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TRIM_THRESHOLD_": str(2**28),
}
POLL = 0.2  # s between two looks at the workers' progress


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """The builder asked its workers to stop."""


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


def shard_rows(
    make_task: Callable[[], Task],
    numbers: Iterable[int],
    n_workers: int,
    advance: Callable[[int], Any],
    scratch: Path,
) -> Generator[Row, None, None]:
    """Build shards, and hand back their rows as they are finished, in any order.

    Parameters
    ----------
    make_task : callable
        Makes what builds a shard; called once in each worker, so it and what it holds can be pickled.
    numbers : iterable of int
        The shards to build.
    n_workers : int
        Processes; with 1 the shards are built in this one.
    advance : callable
        Called with the number of scenes finished since the last call.
    scratch : Path
        Folder through which the workers are told what to do.

    Yields
    ------
    dict
        A shard's row for the manifest. Closed before its end, the generator stops the workers.

    Raises
    ------
    ChildProcessError
        If a worker process dies.
    """
    if n_workers == 1:
        task = make_task()
        for number in numbers:
            yield task(number, lambda: advance(1))
    else:
        with _interrupts_noted() as interrupts:
            yield from _rows_of_processes(make_task, iter(numbers), n_workers, advance, scratch, interrupts)


def _rows_of_processes(
    make_task: Callable[[], Task],
    numbers: Iterator[int],
    n_workers: int,
    advance: Callable[[int], Any],
    scratch: Path,
    interrupts: list[int],
) -> Generator[Row, None, None]:
    context = multiprocessing.get_context("spawn")
    stop, n_scenes = context.Event(), context.Value("q", 0)
    # Through a file: whoever writes long arguments to a process that dies at its start waits for ever.
    task_file = scratch / "task.pickle"
    write_atomically(task_file, pickle.dumps(make_task))
    executor = ProcessPoolExecutor(n_workers, context, _start_worker, (task_file, stop, n_scenes))
    pending: set[Future[Row]] = set()
    n_seen = 0
    try:
        while not interrupts:
            with _workers_environment():
                # Two shards for each worker keep them busy; handing out all at once would only take memory.
                more = islice(numbers, 2 * n_workers - len(pending))
                pending |= {executor.submit(_build_shard, number) for number in more}
            if not pending:
                return
            finished, pending = wait(pending, POLL, FIRST_COMPLETED)
            n_before, n_seen = n_seen, n_scenes.value
            advance(n_seen - n_before)
            yield from (future.result() for future in finished)
        raise KeyboardInterrupt
    except BrokenProcessPool as error:
        raise ChildProcessError(
            "a worker process died; the same command goes on from the last finished shard"
        ) from error
    finally:
        stop.set()
        executor.shutdown(cancel_futures=True)


@contextmanager
def _interrupts_noted() -> Iterator[list[int]]:
    """Interrupts that came: raised wherever they come, one may be lost, in a destructor for instance."""
    interrupts: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    before = signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _workers_environment() -> Iterator[None]:
    """What worker processes inherit when they start: one thread, and no interrupt."""
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    # Blocked and not ignored: one that comes just now reaches this process later. Windows has no mask.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if os.name != "nt" else None
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


_task: Callable[[], Task]
_stop: Event
_n_scenes: Synchronized


def _start_worker(task_file: Path, stop: Event, n_scenes: Synchronized) -> None:
    """First thing in a worker process."""
    global _task, _stop, _n_scenes
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_builder, daemon=True).start()
    # Made with the first shard and not here, where an error would end the process and not reach the builder.
    _task, _stop, _n_scenes = cache(lambda: pickle.loads(task_file.read_bytes())()), stop, n_scenes


def _end_with_builder() -> None:
    """End this process when the builder has ended; nothing half written is left under its final name."""
    builder = multiprocessing.parent_process()
    if builder is not None:
        builder.join()
    os._exit(1)


def _build_shard(number: int) -> Row:
    return _task()(number, _scene_finished)


def _scene_finished() -> None:
    if _stop.is_set():
        raise Stopped
    with _n_scenes.get_lock():
        _n_scenes.value += 1
