"""A database, opened for reading.

Functions and classes
---------------------
Database : The clips of a database: their cues, and the facts of their scenes.
"""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from binaural_feature import CueFormat
from database.exit_status import DamageError
from database.store.columns import Columns
from database.store.files import SHARDS, Folder
from database.store.manifest import database_digest, read_manifest, shard_name
from database.store.open_shards import OpenShards
from database.store.plan import plan_digest, read_plan
from database.store.shard_reading import decoded
from database.store.shard_writing import FORMAT_FIELDS
from database.store.view import view_column


class Database:
    """The clips of a database: their cues, and the facts of their scenes.

    The manifest says what is there; a shard is checked when it is first opened, and its checksums whenever
    something is read from it. Columns are read from the view, where it is that of these shards and sound, and
    otherwise from the shards. Files are opened when they are needed, by each process for itself: a database
    can be pickled, and used after a fork.

    Parameters
    ----------
    folder : path
        That of a finished database.

    Attributes
    ----------
    folder : Path
        As given.
    plan : dict
        The plan it was built by.
    digest : str
        Of the plan without its versions, and of all shards, in hexadecimal digits: equal databases have
        equal ones.
    attributes : dict
        Of the shards: the cue format, the names and units of the cues, and what else was written.
    format : CueFormat
        How the cues were made.
    duration : float
        Of each clip, in s.
    shape : tuple of int
        Of one clip's cues, (4, n_bands, n_frames): itd, ild, ic, energy.
    has_audio : bool
        Whether the mixtures were kept.
    columns : mapping of str to ndarray, (n_clips,)
        The facts of the scenes; each is read when it is first asked for.

    Raises
    ------
    OSError
        If the folder is no database, or cannot be read.
    DamageError
        If the plan, the manifest or a shard is damaged or missing, the database is not finished, or its
        shards do not belong together.

    Examples
    --------
    >>> database = Database("noisy_hrtf")  # doctest: +SKIP
    >>> test = np.flatnonzero(database.columns["split"] == "test")  # doctest: +SKIP
    >>> database.read_cues(test[:128]).shape  # doctest: +SKIP
    (128, 4, 32, 100)
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = Path(folder)
        self.plan = read_plan(self.folder)
        self._rows = read_manifest(self.folder)
        self._check_complete()
        self.digest = database_digest(self._rows)
        self._starts = np.cumsum([0, *(row["clips"] for row in self._rows)])
        self._shards = OpenShards(self.folder, self._rows)
        first = self._shards[0]
        self.attributes = first.attributes
        self.shape = first.shape
        self.has_audio = first.has_audio
        self.columns: Mapping[str, NDArray[Any]] = Columns(first.column_names, self._stored_column)
        self.format = CueFormat.from_dict({name: self.attributes[name] for name in FORMAT_FIELDS})
        self.duration = float(self.attributes["duration"])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __repr__(self) -> str:
        return f"Database({str(self.folder)!r}): {len(self)} clips of {self.shape}"

    def read_cues(self, indices: ArrayLike) -> NDArray[np.float16]:
        """Read the cues of some clips.

        Parameters
        ----------
        indices : array_like of int, (k,)
            Of the clips, 0 to len - 1, in any order, repeated or not.

        Returns
        -------
        ndarray of float16, (k, 4, n_bands, n_frames)
            In the order of `indices`. To be turned into float32 before anything is computed from it.

        Raises
        ------
        ValueError
            If an index is no integer or out of range.
        DamageError
            If a shard is missing or damaged.
        """
        wanted = self._indices(indices)
        cues = np.empty((len(wanted), *self.shape), np.float16)
        order = np.argsort(wanted, kind="stable")
        ascending = wanted[order]
        of_shard = self.shard_numbers(ascending)
        # Runs of neighbours within a shard are read at once.
        breaks = np.flatnonzero((np.diff(ascending) != 1) | (np.diff(of_shard) != 0)) + 1
        for run in np.split(np.arange(len(wanted)), breaks) if len(wanted) else []:
            number = int(of_shard[run[0]])
            start = int(ascending[run[0]] - self._starts[number])
            cues[order[run]] = self._shards[number].cues(start, start + len(run))
        return cues

    def read_audio(self, index: int) -> NDArray[np.float32]:
        """Read the mixture of one clip.

        Parameters
        ----------
        index : int
            Of the clip.

        Returns
        -------
        ndarray of float32, (n_samples, 2)
            Left ear first.

        Raises
        ------
        ValueError
            If the index is out of range, or the database was built without audio.
        DamageError
            If the shard is missing or damaged.
        """
        (number,) = self.shard_numbers([index])
        if not self.has_audio:
            raise ValueError(f"{self.folder}: built without audio, so there is none to read")
        return self._shards[number].audio(int(index - self._starts[number]))

    def matching(self, name: str, value: str | float) -> NDArray[np.int64]:
        """Find the clips of which a fact holds.

        As `np.flatnonzero(columns[name] == value)`, in a fraction of its memory where the fact is a text.

        Parameters
        ----------
        name : str
            Of the column.
        value : str or float

        Returns
        -------
        ndarray of int, (k,)
            Indices of the clips, ascending.

        Raises
        ------
        KeyError
            If there is no such column.
        """
        stored = self._stored_column(name)
        return np.flatnonzero(stored == (value.encode() if isinstance(value, str) else value))

    def distinct(self, name: str, indices: ArrayLike) -> list[Any]:
        """List what some clips have of a fact.

        As `np.unique(columns[name][indices])`, in a fraction of its memory where the fact is a text.

        Parameters
        ----------
        name : str
            Of the column.
        indices : array_like of int, (k,)
            Of the clips.

        Returns
        -------
        list
            Each value once, ascending.

        Raises
        ------
        KeyError
            If there is no such column.
        """
        return decoded(np.unique(self._stored_column(name)[np.asarray(indices)])).tolist()

    def shard_numbers(self, indices: ArrayLike) -> NDArray[np.int64]:
        """Say in which shards clips lie: to read those of one shard together saves opening files.

        Parameters
        ----------
        indices : array_like of int, (k,)
            Of the clips.

        Returns
        -------
        ndarray of int, (k,)
            Numbers of the shards, from 0.

        Raises
        ------
        ValueError
            If an index is no integer or out of range.
        """
        return np.searchsorted(self._starts, self._indices(indices), side="right") - 1

    def close(self) -> None:
        """Close all files; the next reading opens them again."""
        self._shards.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _stored_column(self, name: str) -> NDArray[Any]:
        """One column as it is stored, (n_clips,), texts as UTF-8: from the view, or else from all shards."""
        if name not in self.columns:
            raise KeyError(name)
        values = view_column(self.folder, name, self.digest, len(self))
        if values is None:
            numbers = range(len(self._shards))
            values = np.concatenate([self._shards[number].stored_column(name) for number in numbers])
        return values

    def _indices(self, indices: ArrayLike) -> NDArray[np.int64]:
        array = np.asarray(indices)
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            raise ValueError(f"indices: expected (k,) integers, got {array.dtype} {array.shape}")
        outside = array[(array < 0) | (array >= len(self))]
        if outside.size:
            raise ValueError(f"indices: {outside[0]} is not one of the scenes 0 to {len(self) - 1}")
        return array.astype(np.int64)

    def _check_complete(self) -> None:
        """Every planned shard is in the manifest, and its file is there."""
        expected = [shard_name(number) for number in range(self.plan["n_shards"])]
        found = {row["name"] for row in self._rows}
        unfinished = [name for name in expected if name not in found]
        if unfinished or not expected:
            raise DamageError(
                f"{self.folder}: not finished, {len(unfinished)} of {len(expected)} shards are to be built "
                f"({_some(unfinished)}); the same build again goes on"
            )
        if foreign := sorted(found.difference(expected)):
            raise DamageError(f"{self.folder}: the manifest names {_some(foreign)}, which the plan does not")
        digest = plan_digest(self.plan)
        if others := [row["name"] for row in self._rows if row["plan"] != digest]:
            raise DamageError(f"{self.folder}: another plan than this one built {_some(others)}")
        there = {f"{SHARDS}/{path.name}" for path in (self.folder / SHARDS).glob("*")}
        missing = [name for name in expected if name not in there]
        if missing:
            raise DamageError(f"{self.folder}: missing {_some(missing)}; the same build again makes them")


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
