"""The rejects of a build: what was left out of a database and why, one line of `rejects.jsonl` for each.

Functions and classes
---------------------
Reject : What was left out, its name, and why.
write_rejects, read_rejects : The file, which is only there where something was left out.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from database.exit_status import DamageError
from database.store.files import REJECTS, Folder, write_atomically


class Reject(NamedTuple):
    """Something that was left out of a database.

    Attributes
    ----------
    what : str
        "speech", "noise" or "head" for a source, "shard" for a shard that could not be built.
    name : str
        Of the file, the head, or the shard as in the manifest.
    why : str
        In words.
    """

    what: str
    name: str
    why: str


def write_rejects(folder: Folder, rejects: Iterable[Reject]) -> None:
    """Write `rejects.jsonl` in the place of the one there; without rejects there is none.

    Parameters
    ----------
    folder : path
        The database's.
    rejects : iterable of Reject

    Raises
    ------
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_rejects(folder, [Reject("noise", "rain/3.wav", "silent")])
    ...     read_rejects(folder)
    [Reject(what='noise', name='rain/3.wav', why='silent')]
    """
    path = Path(folder) / REJECTS
    lines = [json.dumps(reject._asdict(), ensure_ascii=False) + "\n" for reject in rejects]
    if lines:
        write_atomically(path, "".join(lines).encode())
    else:
        path.unlink(missing_ok=True)


def read_rejects(folder: Folder) -> list[Reject]:
    """Read `rejects.jsonl`.

    Parameters
    ----------
    folder : path
        The database's.

    Returns
    -------
    list of Reject
        As they were written; empty where there is no such file.

    Raises
    ------
    DamageError
        If the file is damaged.
    OSError
        If it cannot be read.
    """
    path = Path(folder) / REJECTS
    if not path.exists():
        return []
    rejects = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            rejects.append(Reject(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise DamageError(
                f"{path}: line {number} is damaged ({error}); remove the file and plan.json, and the same "
                "build draws both again"
            ) from error
    return rejects
