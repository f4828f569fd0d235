"""The view: all shards of a database as one HDF5 file, for other HDF5 tools.

Its datasets are virtual ones, which name the shards by paths relative to it: the folder can be moved. Where a
shard is missing, other tools read zeros there without a word, which is why `Database` never opens this file.

Functions
---------
write_view : Write `database.h5`.
view_damage : What is wrong with it.
"""

import io
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from database.store.files import VIEW, Folder, write_atomically
from database.store.manifest import read_manifest
from database.store.shard_reading import DAMAGE, Shard
from database.store.shard_writing import FILE_FORMAT, storage_type, write_attributes

Layout = dict[str, tuple[tuple[int, ...], np.dtype]]


def write_view(folder: Folder) -> None:
    """Write `database.h5` over all finished shards.

    Parameters
    ----------
    folder : path
        The database's.

    Raises
    ------
    OSError, ValueError
        If the manifest or a shard cannot be read, if there is none, or if shards differ in what they hold.
    """
    rows = read_manifest(folder)
    if not rows:
        raise ValueError(f"{folder}: no finished shards, so there is nothing to view")
    layouts: dict[str, Layout] = {}
    kind: tuple[object, ...] | None = None
    for row in rows:
        with Shard(folder, row) as shard:
            layouts[shard.name] = shard.layout
            attributes = shard.attributes
            kind = kind or shard.kind
            if shard.kind != kind:
                raise ValueError(f"{Path(folder) / shard.name}: of another kind than the shards before it")
    memory = io.BytesIO()
    with h5py.File(memory, "w", **FILE_FORMAT) as file:
        write_attributes(file, attributes)
        for name in layouts[rows[0]["name"]]:
            file.create_virtual_dataset(name, _virtual(name, layouts))
    write_atomically(Path(folder) / VIEW, memory.getvalue())


def view_damage(folder: Folder, rows: list[dict[str, Any]]) -> str:
    """What is wrong with `database.h5`, given the rows of the manifest; empty where nothing is."""
    path = Path(folder) / VIEW
    if not path.is_file():
        return "missing"
    names = [row["name"] for row in rows]
    n_clips = sum(row["clips"] for row in rows)
    try:
        with h5py.File(path, "r") as file:
            for name, dataset in file.items():
                sources = [source.file_name for source in dataset.virtual_sources()]
                if sources != names or len(dataset) != n_clips:
                    return f"its {name} is not that of the shards"
            return "" if "cues" in file else "it has no cues"
    except DAMAGE as error:
        return f"damaged ({error})"


def _virtual(name: str, layouts: dict[str, Layout]) -> h5py.VirtualLayout:
    """One dataset over all shards, whose clips follow each other."""
    parts = [(shard, *layout[name]) for shard, layout in layouts.items()]
    n_clips = sum(shape[0] for _, shape, _ in parts)
    dtype = storage_type(np.result_type(*(dtype for _, _, dtype in parts)))
    virtual = h5py.VirtualLayout((n_clips, *parts[0][1][1:]), dtype)
    virtual.dcpl.set_obj_track_times(False)  # equal content gives equal bytes
    start = 0
    for shard, shape, part_dtype in parts:
        stop = start + shape[0]
        virtual[start:stop] = h5py.VirtualSource(shard, name, shape, storage_type(part_dtype))
        start = stop
    return virtual
