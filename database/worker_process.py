"""One worker process of a build: as the builder sees it, and what runs in it.

Between the two lies a line: the worker says when a scene is finished, and ends when the builder hangs up, as
it also does by ending, in whatever way.

- `WorkerProcess`: the process, and the shard that it has at hand
- `workers_environment`, `ENVIRONMENT`, `signals_blocked`: what it inherits
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from functools import cache
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from database.tasks import Row, Task, read_task

THREADS = "OMP_NUM_THREADS OPENBLAS_NUM_THREADS MKL_NUM_THREADS VECLIB_MAXIMUM_THREADS NUMBA_NUM_THREADS"
ENVIRONMENT = {
    **dict.fromkeys(THREADS.split(), "1"),
    # glibc gives each large array's memory back to the system and asks for it again, page by page, with the
    # next one; to keep it saves a fifth of the time.
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TRIM_THRESHOLD_": str(2**28),
}


class WorkerProcess:
    """A worker process, as the builder sees it.

    Attributes
    ----------
    shard : int or None
        At hand; none while the process starts.
    n_scenes : int
        Of this shard, finished.
    future : Future or None
        What comes of the shard, or of the start; none while there is nothing to do.
    """

    def __init__(self, task_file: Path, sha256: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._line, theirs = context.Pipe()
        self._executor = ProcessPoolExecutor(1, context, _start, (task_file, sha256, theirs))
        self._submit(None, _get_ready)

    def build(self, shard: int) -> None:
        self._submit(shard, _build_shard, shard)

    def _submit(self, shard: int | None, function: Callable[..., Row | None], *arguments: Any) -> None:
        self.shard, self.n_scenes = shard, 0
        self.future: Future[Row | None] | None
        with workers_environment(), signals_blocked():
            try:
                self.future = self._executor.submit(function, *arguments)
            except BrokenProcessPool as death:  # it died while it had nothing to do
                self.future = Future()
                self.future.set_exception(death)

    def result(self) -> Row | None:
        """What came of the last task; BrokenProcessPool if the process has died."""
        future, self.future = self.future, None
        return future.result() if future else None

    def new_scenes(self) -> int:
        """How many scenes were finished since the last call."""
        n_new = 0
        while self._line.poll():
            self._line.recv_bytes()
            n_new += 1
        self.n_scenes += n_new
        return n_new

    def stop(self) -> None:
        """End the process, whatever it is at."""
        self._line.close()

    def join(self) -> None:
        """Wait until the process has ended."""
        self._executor.shutdown(cancel_futures=True)


@contextmanager
def workers_environment() -> Iterator[None]:
    """The environment of worker processes that start in here; afterwards it is what it was."""
    before = dict(os.environ)
    os.environ.update(ENVIRONMENT)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Processes that start in here never hear SIGINT and SIGTERM, which are for the builder."""
    if os.name == "nt":  # has no mask
        yield
        return
    resource_tracker.ensure_running()  # which, when multiprocessing starts it, lifts the block
    # Not ignored: a signal that comes just now reaches this process later.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_task: Callable[[], Task]
_line: Connection


def _start(task_file: Path, sha256: str, line: Connection) -> None:
    """First thing in a worker process."""
    global _task, _line
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Windows, where it could not be blocked
    threading.Thread(target=_end_with_builder, args=(line,), daemon=True).start()
    # Made with the first task and not here, where an error would end the process and not reach the builder.
    _task, _line = cache(lambda: read_task(task_file, sha256)), line


def _end_with_builder(line: Connection) -> None:
    """End this process when the builder hangs up or ends; nothing half written has its final name."""
    with suppress(OSError):  # some systems say so when the other end is gone
        line.poll(None)
    os._exit(1)


def _get_ready() -> None:
    _task()


def _build_shard(number: int) -> Row:
    return _task()(number, _scene_finished)


def _scene_finished() -> None:
    _line.send_bytes(b"1")
