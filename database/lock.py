"""One builder at a time in one folder, or one training.

The operating system holds the lock for as long as the process lives, so that none outlives a killed builder:
`build.lock` or `train.lock` alone, left behind, keeps nobody out. The file says whose it is.

- `locked`: the lock of a folder, for a `with` statement
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from database.store import naming_disk_errors


@contextmanager
def locked(folder: Path, verb: str = "build") -> Iterator[None]:
    """Be the only one to build in a folder, or to do something else.

    Parameters
    ----------
    folder : Path
        The database's or the run's. Made where there is none, and removed again if nothing comes to lie in
        it.
    verb : str
        What is done, after which the file of the lock is called.

    Raises
    ------
    BlockingIOError
        If another process does that there; the message says which.
    OSError
        If the folder or the lock cannot be made.
    """
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{verb}.lock"
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise BlockingIOError(f"{folder}: another process {verb}s there: {_holder(path)}") from None
    try:
        _sign(path)
        yield
    finally:
        with suppress(PermissionError):  # Windows removes no open file
            path.unlink(missing_ok=True)  # while it is still locked: later it may be another's
        lock.release()
        if is_new:
            with suppress(OSError):  # something is in it
                folder.rmdir()


def _sign(path: Path) -> None:
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    text = f"process {os.getpid()} on {socket.gethostname()} since {since}\n".encode()
    with suppress(PermissionError), naming_disk_errors(path, len(text)):  # Windows: a locked file is no one's
        path.write_bytes(text)


def _holder(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip() or "it does not say which"
    except OSError:  # it has just ended, or this is Windows
        return "it does not say which"
