"""The shards of a database that are open for reading.

Classes
-------
OpenShards : Shards by their number, opened when they are needed.
"""

import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from database.exit_status import DamageError
from database.store.files import Folder
from database.store.shard_reading import Shard

try:
    import resource
except ModuleNotFoundError:  # on Windows
    resource = None  # type: ignore[assignment]

MANY_OPEN = 256  # shards open at once, each for about 0.6 MB


class OpenShards:
    """Shards by their number, opened when they are needed, in the place of the one not used for longest.

    A shard is checked when it is first opened. Each process opens files for itself: this can be pickled, and
    used after a fork.

    Parameters
    ----------
    folder : path
        The database's.
    rows : sequence of mapping
        Of the manifest, one for each shard.
    """

    def __init__(self, folder: Folder, rows: Sequence[Mapping[str, Any]]) -> None:
        self._folder = Path(folder)
        self._rows = rows
        self._open: OrderedDict[int, Shard] = OrderedDict()
        self._process = os.getpid()
        self._trusted: set[int] = set()
        self._kind: tuple[object, ...] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> Shard:
        """A shard, checked and open; DamageError or ValueError where it is damaged or of another kind."""
        if self._process != os.getpid():  # after a fork the files are the parent's
            self._process = os.getpid()
            self._open = OrderedDict()
        if number in self._open:
            self._open.move_to_end(number)
            return self._open[number]
        shard = Shard(self._folder, self._rows[number], trusted=number in self._trusted)
        if number not in self._trusted:
            self._kind = self._kind or shard.kind
            if shard.kind != self._kind:
                first = self._rows[0]["name"]
                raise DamageError(f"{self._folder / shard.name}: of another kind than {first}")
            self._trusted.add(number)
        if len(self._open) >= _most_open():
            self._open.popitem(last=False)[1].close()
        self._open[number] = shard
        return shard

    def close(self) -> None:
        """Close all files; the next reading opens them again."""
        while self._open:
            self._open.popitem()[1].close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}


def _most_open() -> int:
    """How many shards are kept open: `MANY_OPEN`, or half the files that this process may open."""
    if resource is None:
        return MANY_OPEN
    granted, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MANY_OPEN if granted == resource.RLIM_INFINITY else min(granted // 2, MANY_OPEN)
