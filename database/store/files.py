"""Where the files of a database are, and how they are written.

Functions
---------
write_atomically : A file that is there as a whole or not at all.
naming_disk_errors : Say which file could not be written, and if there was no room, for how many bytes.
sync_folder : Put a folder's entries on the disk.
leftovers, remove_leftovers : What killed writers left behind.
begins_as_ours : Whether a file is one of a database and not another of its name.
"""

import errno
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PLAN = "plan.json"
MANIFEST = "manifest.jsonl"
SHARDS = "shards"
VIEW = "database.h5"
REJECTS = "rejects.jsonl"
WRITTEN = (PLAN, MANIFEST, REJECTS, VIEW, f"{SHARDS}/*.h5")
PARTIAL = ".partial"
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

BEGINNINGS = {PLAN: b'{"sha256": "', MANIFEST: b'{"name": "shards/', REJECTS: b'{"what": "'}

Folder = str | os.PathLike[str]


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Write a file that is there as a whole, on the disk, or not at all.

    Parameters
    ----------
    path : Path
        Its folder is made where there is none. A file of this name is replaced.
    content : bytes or memoryview of bytes
        All of it.

    Raises
    ------
    OSError
        If it cannot be written, where there is no room with the bytes needed and those free; nothing is left
        behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own for each writer: two that do the same work twice never write into one file.
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}{PARTIAL}")
    try:
        with naming_disk_errors(path, len(content)):
            with partial.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(path.parent)


@contextmanager
def naming_disk_errors(path: Path, n_bytes: int) -> Iterator[None]:
    """An `OSError` from within gets the file's name, and where there is no room the bytes needed and free."""
    try:
        yield
    except OSError as error:
        message = f"cannot write ({error.strerror})"
        if error.errno in NO_ROOM:
            message += f": {n_bytes} bytes needed, {shutil.disk_usage(path.parent).free} bytes free"
        raise OSError(error.errno, message, str(path)) from error


def sync_folder(folder: Path) -> None:
    """Put a folder's entries on the disk; Windows has no way to ask for it."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def leftovers(folder: Folder, written: Sequence[str] = WRITTEN) -> list[str]:
    """Names, relative to the folder, of the unfinished files of killed writers.

    Parameters
    ----------
    folder : path
    written : sequence of str
        Patterns of the names of the files that were written; those of a database if left out.

    Returns
    -------
    list of str
        Sorted.
    """
    root = Path(folder)
    return sorted(
        path.relative_to(root).as_posix() for name in written for path in root.glob(f"{name}.*{PARTIAL}")
    )


def remove_leftovers(folder: Folder, written: Sequence[str] = WRITTEN) -> list[str]:
    """Remove what `leftovers` finds, and return the names; no writer may be at work."""
    names = leftovers(folder, written)
    for name in names:
        (Path(folder) / name).unlink(missing_ok=True)
    return names


def begins_as_ours(path: Path) -> bool:
    """Whether a plan, manifest or list of rejects begins as they are written, however damaged further on.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "plan.json")
    ...     [path.write_bytes(text) and begins_as_ours(path) for text in (b'{"sha', b'{"plan": "to sleep"}')]
    [True, False]
    """
    beginning = BEGINNINGS[path.name]
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return beginning.startswith(file.read(len(beginning)))  # a shorter file was cut off
