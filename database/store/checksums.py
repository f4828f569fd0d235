"""The checksums of shards against the manifest.

Functions
---------
shard_damages : What is wrong with the bytes of each shard, if anything.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from database.store.files import Folder


def shard_damages(folder: Folder, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Compare shards with their rows of the manifest, several at a time.

    Parameters
    ----------
    folder : path
        The database's.
    rows : sequence of mapping
        Of the manifest.

    Yields
    ------
    str
        For each row in turn: what is wrong with its shard, empty where nothing is.

    Raises
    ------
    OSError
        If a shard is there but cannot be read.
    """
    root = Path(folder)
    threads = ThreadPoolExecutor()  # hashing and reading both let go of the interpreter
    try:
        yield from threads.map(partial(_damage, root), rows)
    finally:
        threads.shutdown(cancel_futures=True)


def size_damage(path: Path, row: Mapping[str, Any]) -> str:
    """What the file's size shows to be wrong with a shard, empty where nothing is."""
    if not path.is_file():
        return "missing, though the manifest names it"
    size = path.stat().st_size
    return "" if size == row["bytes"] else f"damaged, {size} bytes, but the manifest says {row['bytes']}"


def _damage(root: Path, row: Mapping[str, Any]) -> str:
    path = root / row["name"]
    if damage := size_damage(path, row):
        return damage
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    return "" if found == row["sha256"] else "damaged, its sha256 differs from the manifest's"
