"""The view: a whole database as one HDF5 file.

It serves other HDF5 tools, and the columns are read from it, since to look for them in each of many thousand
shards takes minutes. It holds a copy of them. Its cues and mixtures are virtual datasets, which name the
shards by paths relative to it: the folder can be moved. Where HDF5 cannot open a shard, because it is missing
or because more shards than files allowed are open at once (it opens all that a dataset was read from, and
closes them with the dataset), other tools read zeros without a word. So `Database` takes cues and mixtures
from the shards and never from here.

The file begins with a line of JSON, in what HDF5 calls the user block: a checksum of all else in it,
and the digest of the database whose view it is. From a view with another digest no column is taken.

Functions
---------
write_view : Write `database.h5`.
view_damage : What is wrong with it.
view_column : One column from it.
"""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from database.interrupts import signals_held
from database.store.files import VIEW, Folder, write_atomically
from database.store.manifest import database_digest, read_manifest
from database.store.shard_reading import DAMAGE, Shard
from database.store.shard_writing import ARRAYS, FILE_FORMAT, storage_type, write_attributes

USER_BLOCK = 512  # bytes, the least that HDF5 knows
CHUNK = 2**16  # clips of a column under one checksum

Sources = list[tuple[str, tuple[int, ...], np.dtype]]  # name of a shard, shape and type of its dataset


def write_view(folder: Folder, progress: bool = False) -> None:
    """Write `database.h5` over all finished shards, unless it is there and sound.

    Parameters
    ----------
    folder : path
        The database's.
    progress : bool
        Whether to show a progress bar where it takes more than a second.

    Raises
    ------
    OSError, ValueError
        If the manifest or a shard cannot be read, if there is no shard, or if shards differ in what
        they hold.
    """
    rows = read_manifest(folder)
    if not rows:
        raise ValueError(f"{folder}: no finished shards, so there is nothing to view")
    digest = database_digest(rows)
    if not view_damage(folder, digest):
        return
    sources: dict[str, Sources] = {name: [] for name in ARRAYS}
    columns: dict[str, list[NDArray[Any]]] = {}
    kind: tuple[object, ...] | None = None
    for row in tqdm(rows, "view", unit=" shards", delay=1, disable=not progress, leave=False):
        with Shard(folder, row) as shard:
            kind = kind or shard.kind
            if shard.kind != kind:
                raise ValueError(f"{Path(folder) / shard.name}: of another kind than the shards before it")
            for name, layout in shard.layout.items():
                if name in sources:
                    sources[name].append((shard.name, *layout))
                else:
                    columns.setdefault(name, []).append(shard.stored_column(name))
            attributes = shard.attributes
    with signals_held():  # HDF5 calls Python for each piece, and what an interrupt raises there is lost
        content = _file_bytes(digest, attributes, sources, columns)
    write_atomically(Path(folder) / VIEW, content)


def view_damage(folder: Folder, digest: str | None = None) -> str:
    """What is wrong with `database.h5`, empty where nothing is.

    Parameters
    ----------
    folder : path
        The database's.
    digest : str, optional
        Of the database; any will do if left out.
    """
    path = Path(folder) / VIEW
    if not path.is_file():
        return "missing"
    found = _digest_of(path)
    with path.open("rb") as file:
        head = file.read(USER_BLOCK)
        if found is None or head != _head(hashlib.file_digest(file, "sha256"), found):
            return "damaged, its sha256 differs"
    return "" if digest in (None, found) else "not that of these shards"


def view_column(folder: Folder, name: str, digest: str, n_clips: int) -> NDArray[Any] | None:
    """One column as it is stored, (n_clips,), or None where the view is missing, out of date or damaged.

    Parameters
    ----------
    folder : path
        The database's.
    name : str
        Of the column.
    digest : str
        Of the database.
    n_clips : int
        How many clips it has.
    """
    path = Path(folder) / VIEW
    try:
        if _digest_of(path) != digest:
            return None
        with h5py.File(path, "r") as file:
            column = file[name] if isinstance(file.get(name, getlink=True), h5py.HardLink) else None
            if not isinstance(column, h5py.Dataset) or column.is_virtual or column.external:
                return None
            sound = (
                column.shape == (n_clips,)
                and column.dtype.kind in "fiS"
                and column.chunks == (min(CHUNK, n_clips),)
                and column.nbytes <= path.stat().st_size  # nothing is compressed
            )
            return column[:] if sound else None
    except DAMAGE:
        return None


def _digest_of(path: Path) -> str | None:
    """The digest of the database whose view a file says it is."""
    with path.open("rb") as file:
        head = file.read(USER_BLOCK)
    try:
        return str(json.loads(head)["database"])
    except (ValueError, TypeError, LookupError):
        return None


def _head(content: Any, digest: str) -> bytes:
    """The user block of a view, from the hash object of all that follows and the digest of the database."""
    content.update(digest.encode())
    record = {"sha256": content.hexdigest(), "database": digest}
    return json.dumps(record).encode().ljust(USER_BLOCK - 1) + b"\n"


def _file_bytes(
    digest: str,
    attributes: dict[str, Any],
    sources: dict[str, Sources],
    columns: dict[str, list[NDArray[Any]]],
) -> memoryview:
    """The view as the bytes of its file; each column is given up once it is in there, to spare memory."""
    memory = io.BytesIO()
    with h5py.File(memory, "w", userblock_size=USER_BLOCK, **FILE_FORMAT) as file:
        write_attributes(file, attributes)
        for name, parts in sources.items():
            if parts:
                file.create_virtual_dataset(name, _virtual(name, parts))
        for name in list(columns):
            values = np.concatenate(columns.pop(name))
            values = values.astype(storage_type(values.dtype), copy=False)
            chunks = (min(CHUNK, len(values)),)
            file.create_dataset(name, data=values, chunks=chunks, fletcher32=True).flush()
    content = memory.getbuffer()
    content[:USER_BLOCK] = _head(hashlib.sha256(content[USER_BLOCK:]), digest)
    return content


def _virtual(name: str, parts: Sources) -> h5py.VirtualLayout:
    """One dataset over all shards, whose clips follow each other."""
    n_clips = sum(shape[0] for _, shape, _ in parts)
    virtual = h5py.VirtualLayout((n_clips, *parts[0][1][1:]), parts[0][2])
    virtual.dcpl.set_obj_track_times(False)  # equal content gives equal bytes
    start = 0
    for shard, shape, dtype in parts:
        stop = start + shape[0]
        virtual[start:stop] = h5py.VirtualSource(shard, name, shape, dtype)
        start = stop
    return virtual
