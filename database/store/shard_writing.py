"""Writing the shards: HDF5 files, each with some hundred clips of a database.

A shard holds

- `cues` float16 (n_clips, 4, n_bands, n_frames): itd, ild, ic, energy in s, dB, 1, dB, chunked one clip at a
  time;
- `audio` float32 (n_clips, n_samples, 2), chunked likewise, where the mixtures were kept;
- one column (n_clips,) for each fact of the scene: float64, int64 or UTF-8 text of fixed length;
- attributes: the cue format, the names and units of the cues, the frame rate, the format's version.

Every dataset carries a fletcher32 checksum, and the HDF5 1.10 file format one of everything else, so that
damage is read as an error and never as wrong numbers (texts have fixed lengths for this reason: HDF5 keeps no
checksum of others). A shard is built in memory, since HDF5 can end the process where a disk is full, and
holds no time or path: equal content gives equal bytes.

Functions
---------
write_shard : Write one shard, and return its row for the manifest.
write_attributes, storage_type : How attributes and texts are written.
"""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from binaural_feature import CueFormat
from database.store.files import Folder, write_atomically
from database.store.manifest import shard_name

FORMAT_VERSION = 1
CUES = ("itd", "ild", "ic", "energy")
CUE_UNITS = ("s", "dB", "1", "dB")
AXES = ("clip", "cue", "band", "frame")
FORMAT_FIELDS = tuple(field.name for field in fields(CueFormat))
ARRAYS = ("cues", "audio")  # every other dataset is a column

# The file format is fixed, so that the bytes do not depend on what the installed HDF5 takes for the latest.
FILE_FORMAT = {"libver": ("v110", "v110"), "track_order": True}


def write_shard(
    folder: Folder,
    number: int,
    cues: ArrayLike,
    columns: Mapping[str, ArrayLike],
    attributes: Mapping[str, Any],
    audio: ArrayLike | None = None,
) -> dict[str, Any]:
    """Write one shard, as a whole or not at all, and return its row for the manifest.

    Parameters
    ----------
    folder : path
        The database's.
    number : int
        The shard's, from 0.
    cues : array_like, (n_clips, 4, n_bands, n_frames)
        itd, ild, ic, energy in s, dB, 1, dB.
    columns : mapping of str to array_like, (n_clips,)
        Facts of the scenes: floats, integers or texts.
    attributes : mapping
        `CueFormat.to_dict()` and the clips' `duration` in s: numbers, texts, or sequences of one of them.
    audio : array_like, (n_clips, n_samples, 2), optional
        The mixtures, left ear first.

    Returns
    -------
    dict
        `name`, `clips`, `bytes`, `sha256`, for `append_manifest`.

    Raises
    ------
    ValueError
        If a shape does not fit, or a value is not finite or beyond float16 (±65504).
    OSError
        If the file cannot be written.
    """
    name = shard_name(number)
    arrays: dict[str, NDArray[Any]] = {"cues": _float16(cues, name)}
    n_clips = len(arrays["cues"])
    if audio is not None:
        arrays["audio"] = _float32(audio, name)
    for column, values in columns.items():
        if column in ARRAYS:
            raise ValueError(f"{name}: no column may be called {column}")
        arrays[column] = _column(values, f"{name}, column {column}")
    for key, array in arrays.items():
        if len(array) != n_clips:
            raise ValueError(f"{name}: {len(array)} of {key}, but {n_clips} of cues")
    content = _file_bytes(arrays, attributes)
    write_atomically(Path(folder) / name, content)
    digest = hashlib.sha256(content).hexdigest()
    return {"name": name, "clips": n_clips, "bytes": len(content), "sha256": digest}


def write_attributes(file: h5py.File, attributes: Mapping[str, Any]) -> None:
    """Write numbers, texts, and sequences of one of them; texts in fixed length, with HDF5's checksum."""
    for name, value in attributes.items():
        array = np.asarray(value)
        if array.dtype.kind not in "bifuU" or array.size == 0:
            raise ValueError(f"attribute {name}: expected numbers or texts, got {value!r}")
        file.attrs[name] = _encoded(array)


def storage_type(dtype: np.dtype) -> np.dtype:
    """The type in the file: as in numpy, and bytes marked as UTF-8."""
    return h5py.string_dtype("utf-8", dtype.itemsize) if dtype.kind == "S" else dtype


def _file_bytes(arrays: Mapping[str, NDArray[Any]], attributes: Mapping[str, Any]) -> bytes:
    """The shard as the bytes of an HDF5 file."""
    memory = io.BytesIO()
    with h5py.File(memory, "w", **FILE_FORMAT) as file:
        write_attributes(file, _description(attributes))
        for name, array in arrays.items():
            chunks = (1, *array.shape[1:]) if name in ARRAYS else array.shape
            # Flushed now, or its place in the file depends on when Python lets go of the object.
            file.create_dataset(name, data=array, chunks=chunks, fletcher32=True).flush()
    return memory.getvalue()


def _description(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """What a stranger who opens the file needs, and the caller's attributes."""
    missing = [name for name in (*FORMAT_FIELDS, "duration") if name not in attributes]
    if missing:
        raise ValueError(
            f"attributes: expected the cue format and the duration, found no {', '.join(missing)}"
        )
    return {
        "format_version": FORMAT_VERSION,
        "cue_names": CUES,
        "cue_units": CUE_UNITS,
        "axes": AXES,
        "frame_rate": attributes["fs"] / attributes["frame_shift"],
        **attributes,
    }


def _float16(cues: ArrayLike, name: str) -> NDArray[np.float16]:
    cues = np.asarray(cues)
    if cues.ndim != 4 or cues.shape[1] != len(CUES) or cues.size == 0:
        raise ValueError(f"{name}: expected cues (n_clips, 4, n_bands, n_frames), got shape {cues.shape}")
    largest = np.maximum(cues.max(), -cues.min())  # without a copy, as all here: a shard may be large
    if not largest <= np.finfo(np.float16).max:
        raise ValueError(f"{name}: expected cues within ±65504, the range of float16, found {largest}")
    return cues.astype(np.float16, copy=False)


def _float32(audio: ArrayLike, name: str) -> NDArray[np.float32]:
    audio = np.asarray(audio)
    if audio.ndim != 3 or audio.shape[2] != 2 or audio.size == 0:
        raise ValueError(f"{name}: expected audio (n_clips, n_samples, 2), got shape {audio.shape}")
    if not np.isfinite(audio).all():
        raise ValueError(f"{name}: the audio holds NaN or infinity")
    return audio.astype(np.float32, copy=False)


def _column(values: ArrayLike, where: str) -> NDArray[Any]:
    """Floats as float64, integers as int64, texts as UTF-8 bytes of one length."""
    array = np.asarray(values)
    if array.dtype.kind == "O":
        array = np.asarray([*array.tolist()])
    if array.ndim != 1 or array.dtype.kind not in "fiuU":
        raise ValueError(
            f"{where}: expected (n_clips,) floats, integers or texts, got {array.dtype} {array.shape}"
        )
    kinds = {"f": np.float64, "i": np.int64, "u": np.int64}
    return array.astype(kinds[array.dtype.kind]) if array.dtype.kind in kinds else _encoded(array)


def _encoded(array: NDArray[Any]) -> NDArray[Any]:
    """Texts as UTF-8 bytes of one length, anything else as it is."""
    if array.dtype.kind != "U":
        return array
    encoded = np.char.encode(array, "utf-8")
    return encoded.astype(storage_type(encoded.dtype))
