"""One shard, opened for reading.

Classes
-------
Shard : Its cues, mixtures, columns and attributes; whatever is damaged is an error with the file's name.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from database.exit_status import DamageError
from database.guard import check_hdf5
from database.store.checksums import size_damage
from database.store.files import Folder
from database.store.shard_writing import ARRAYS, CUES, FORMAT_VERSION

# What h5py raises on damage, and what comes of a file that holds other things than a shard.
DAMAGE = (OSError, RuntimeError, LookupError, TypeError, ValueError, AttributeError)


class Shard:
    """One shard, opened for reading after everything that can be known beforehand was checked.

    Parameters
    ----------
    folder : path
        The database's.
    row : mapping
        The shard's, from the manifest.
    trusted : bool
        Whether it was checked before.

    Attributes
    ----------
    name : str
        As in the manifest.
    shape : tuple of int
        Of one clip's cues, (4, n_bands, n_frames).
    has_audio : bool
        Whether the mixtures were kept.
    column_names : list of str
        As they were written.

    Raises
    ------
    DamageError
        If it is missing, damaged, of another version of the format, or other than the manifest says.
    ValueError
        If it is refused by `check_hdf5`.
    """

    def __init__(self, folder: Folder, row: Mapping[str, Any], trusted: bool = False) -> None:
        self.name: str = row["name"]
        self._path = Path(folder) / self.name
        if not trusted:
            if damage := size_damage(self._path, row):
                raise DamageError(f"{self._path}: {damage}")
            check_hdf5(self._path, max_bytes=row["bytes"])  # nothing is compressed
        with self._damage():
            # Without a cache of chunks: it holds what is not read again, and costs more than to read.
            self._file = h5py.File(self._path, "r", rdcc_nbytes=0)
            self._cues = self._file["cues"]
            self._audio = self._file.get("audio")
            self.shape: tuple[int, ...] = self._cues.shape[1:]
            self.has_audio = self._audio is not None
            self.column_names = [name for name in self._file if name not in ARRAYS]
            if not trusted:
                self._check_content(row["clips"])

    def cues(self, start: int, stop: int) -> NDArray[np.float16]:
        """Cues of the clips from `start` to before `stop`, (stop - start, 4, n_bands, n_frames)."""
        with self._damage():
            return self._cues[start:stop]

    def audio(self, clip: int) -> NDArray[np.float32]:
        """The mixture of one clip, (n_samples, 2)."""
        with self._damage():
            return self._audio[clip]

    def stored_column(self, name: str) -> NDArray[Any]:
        """One column as it is stored, (n_clips,): texts as bytes."""
        with self._damage():
            return self._file[name][:]

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """The attributes as plain numbers, texts, and lists of them."""
        with self._damage():
            return {name: _plain(value) for name, value in self._file.attrs.items()}

    @cached_property
    def layout(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Shape and type of each dataset."""
        with self._damage():
            return {name: (dataset.shape, dataset.dtype) for name, dataset in self._file.items()}

    @cached_property
    def kind(self) -> tuple[object, ...]:
        """What the shards of one database share: attributes, datasets, and the shape of one clip's."""
        return self.attributes, {
            name: (shape[1:], dtype.kind) for name, (shape, dtype) in self.layout.items()
        }

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_content(self, n_clips: int) -> None:
        version = self.attributes["format_version"]
        if version != FORMAT_VERSION:
            raise ValueError(f"version {version} of the format, expected {FORMAT_VERSION}")
        if self._cues.dtype != np.float16 or len(self.shape) != 3 or self.shape[0] != len(CUES):
            raise ValueError(
                f"cues {self._cues.dtype} {self._cues.shape}, expected float16 (n_clips, 4, ...)"
            )
        for name, (shape, _) in self.layout.items():
            if shape[:1] != (n_clips,):
                raise ValueError(f"{name} of shape {shape}, but the manifest says {n_clips} clips")

    @contextmanager
    def _damage(self) -> Iterator[None]:
        """One error of ours, with the file's name, for all that h5py raises on damage."""
        try:
            yield
        except DAMAGE as error:
            raise DamageError(f"{self._path}: damaged or no shard ({error})") from error


def decoded(array: NDArray[Any]) -> NDArray[Any]:
    """Stored texts as texts, anything else as it is."""
    if array.dtype.kind != "S":
        return array
    try:
        return array.astype(np.str_)  # much the faster way, for ASCII alone
    except UnicodeDecodeError:
        return np.char.decode(array, "utf-8")


def _plain(value: Any) -> Any:
    """An attribute as h5py gives it, as plain numbers, texts, and lists of them."""
    return decoded(np.asarray(value)).tolist()
