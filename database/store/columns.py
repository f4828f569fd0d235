"""The columns of a database.

Classes
-------
Columns : Each column under its name, read when it is first asked for.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from numpy.typing import NDArray

from database.store.shard_reading import decoded


class Columns(Mapping[str, NDArray[Any]]):
    """Each column under its name, read when it is first asked for, and then kept.

    Parameters
    ----------
    names : iterable of str
        Of the columns.
    read : callable
        Reads the column of a name as it is stored, texts as UTF-8.
    """

    def __init__(self, names: Iterable[str], read: Callable[[str], NDArray[Any]]) -> None:
        self._read = read
        self._values: dict[str, NDArray[Any] | None] = dict.fromkeys(names)

    def __getitem__(self, name: str) -> NDArray[Any]:
        values = self._values[name]
        if values is None:
            values = self._values[name] = decoded(self._read(name))
        return values

    def __contains__(self, name: object) -> bool:
        return name in self._values  # without reading it

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_values": dict.fromkeys(self._values)}  # read again where it is needed
