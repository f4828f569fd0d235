"""What builds shards, and how it is handed to those who do.

- `Task`, `Row`, `Shards`, `Engine`: the types of it all
- `write_task`, `read_task`: a task in a file, for all workers
- `Stopped`: what ends a shard half way
"""

from __future__ import annotations

import hashlib
import pickle
import socket
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

from database.store import Reject, write_atomically

Row = dict[str, Any]  # of the manifest
Task = Callable[[int, Callable[[], None]], Row]  # (shard, what to call after each scene) -> its row
Shards = Generator[Row | Reject, None, None]
# what makes a task, the shards to build, what to tell of finished scenes, scratch, the signals that came
Engine = Callable[[Callable[[], Task], Sequence[int], Callable[[int], Any], Path, Sequence[int]], Shards]

TASK = "task.pickle"


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """A shard is given up half way, since the builder stops."""


def write_task(scratch: Path, make_task: Callable[[], Task]) -> tuple[Path, str]:
    """Write what makes a task to a file, once for all workers.

    Parameters
    ----------
    scratch : Path
        Folder that all workers see.
    make_task : callable
        It and what it holds can be pickled.

    Returns
    -------
    path : Path
    sha256 : str
        Of its content.
    """
    path, content = scratch / TASK, pickle.dumps(make_task)
    write_atomically(path, content)
    return path, hashlib.sha256(content).hexdigest()


def read_task(path: Path, sha256: str) -> Task:
    """Make the task that `write_task` wrote.

    Raises
    ------
    OSError
        If there is no such file, or another one.
    """
    content = path.read_bytes() if path.exists() else b""
    if hashlib.sha256(content).hexdigest() != sha256:
        raise OSError(
            f"{path}: {socket.gethostname()} does not see the file that the builder wrote: expected the "
            "database's folder on a file system that all machines share, under the same path"
        )
    return pickle.loads(content)()
