"""The plan: what a database shall hold, in `plan.json`, written first and with a checksum of its text.

Functions
---------
write_plan, read_plan : The plan.
plan_digest : What tells one plan from another.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from database.exit_status import DamageError
from database.store.files import BEGINNINGS, PLAN, Folder, write_atomically


def write_plan(folder: Folder, plan: Mapping[str, Any]) -> None:
    """Write `plan.json`, before anything else is written.

    Parameters
    ----------
    folder : path
        The database's, made where there is none.
    plan : mapping
        What JSON can hold, with the number of shards of the finished database as `n_shards`.

    Raises
    ------
    ValueError
        If `n_shards` is missing, or something in it is no JSON.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_plan(folder, {"seed": 0, "n_shards": 2})
    ...     read_plan(folder)
    {'seed': 0, 'n_shards': 2}
    """
    if not is_count(plan.get("n_shards")):
        raise ValueError(f"plan: expected the number of shards as n_shards, found {plan.get('n_shards')!r}")
    try:
        text = json.dumps(plan, ensure_ascii=False, allow_nan=False, indent=1)
    except (TypeError, ValueError) as error:
        raise ValueError(f"plan: expected plain numbers, texts, lists and mappings ({error})") from error
    write_atomically(Path(folder) / PLAN, _document(text.encode()))


def read_plan(folder: Folder) -> dict[str, Any]:
    """Read `plan.json`.

    Parameters
    ----------
    folder : path
        The database's.

    Returns
    -------
    dict
        The plan as it was written (tuples have become lists).

    Raises
    ------
    OSError
        If there is none (`FileNotFoundError`), or it cannot be read.
    DamageError
        If it is damaged.
    """
    path = Path(folder) / PLAN
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file, so {folder} is not a database")
    content = path.read_bytes()
    text = content[_PLAN_STARTS : -len(_END)]
    if content != _document(text):
        raise DamageError(f"{path}: damaged, its checksum differs")
    try:
        plan = json.loads(text)
        sound = is_count(plan["n_shards"])
    except (ValueError, TypeError, KeyError) as error:
        raise DamageError(f"{path}: no plan can be read from it ({error})") from error
    if not sound:
        raise DamageError(f"{path}: its number of shards is {plan['n_shards']!r}")
    return plan


def plan_digest(plan: Mapping[str, Any]) -> str:
    """The sha256 of a plan in plain JSON types, in hexadecimal digits: equal plans have equal ones.

    `versions`, the software by which it was drawn, does not count: the same plan can be drawn again later.

    Examples
    --------
    >>> plan_digest({"seed": 0, "versions": {"numpy": "1.26"}}) == plan_digest({"seed": 0})
    True
    """
    counts = {name: value for name, value in plan.items() if name != "versions"}
    return hashlib.sha256(json.dumps(counts, sort_keys=True).encode()).hexdigest()


_END = b"}\n"


def _document(text: bytes) -> bytes:
    """The file: JSON again, whose first line is the checksum of the plan's text, blanks and all."""
    checksum = hashlib.sha256(text).hexdigest().encode()
    return BEGINNINGS[PLAN] + checksum + b'",\n"plan": ' + text + _END


_PLAN_STARTS = len(_document(b"")) - len(_END)


def is_count(value: object) -> bool:
    """Whether a value read from JSON is a whole number, 0 or more."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
