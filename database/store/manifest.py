"""The manifest: which shards of a database are finished, one line of `manifest.jsonl` for each.

A line holds a checksum of itself. It is on the disk before the function that appends it returns. Names are
relative to the database's folder, with forward slashes.

Functions
---------
append_manifest, read_manifest, scan_manifest, write_manifest : The manifest.
shard_name, shard_number : The name of a shard, and its number.
database_digest : One checksum of plan and shards.
"""

import hashlib
import json
import os
import re
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from database.exit_status import DamageError
from database.store.files import (
    MANIFEST,
    SHARDS,
    Folder,
    naming_disk_errors,
    sync_folder,
    write_atomically,
)
from database.store.plan import is_count

ROW_KEYS = ("name", "clips", "bytes", "sha256", "plan")
LONGEST_LINE = 4096  # bytes, far above what a row takes


def append_manifest(folder: Folder, row: Mapping[str, Any], plan: str) -> None:
    """Append the row of a finished shard to `manifest.jsonl`.

    One process at a time may append. A last line that a killed process left torn is cut off first.

    Parameters
    ----------
    folder : path
        The database's.
    row : mapping
        What `write_shard` returned.
    plan : str
        The `plan_digest` of the plan that the shard was built by.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    path = Path(folder) / MANIFEST
    line = _line({**row, "plan": plan})
    is_new = not path.exists()
    with naming_disk_errors(path, len(line)), path.open("xb" if is_new else "r+b") as file:
        if not is_new:
            start = max(0, file.seek(0, os.SEEK_END) - LONGEST_LINE)
            file.seek(start)
            file.seek(start + file.read().rfind(b"\n") + 1)
            file.truncate()
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        sync_folder(path.parent)


def read_manifest(folder: Folder) -> list[dict[str, Any]]:
    """Read `manifest.jsonl`.

    Parameters
    ----------
    folder : path
        The database's.

    Returns
    -------
    list of dict
        One for each finished shard, by ascending number: `name` (relative to the folder), `clips`, `bytes`,
        `sha256`, and as `plan` the digest of the plan it was built by. Of several lines for one shard the
        last holds. Empty where there is no manifest yet.

    Raises
    ------
    DamageError
        If a line is damaged. A torn last line is what a killed process leaves, and is passed over.
    OSError
        If the file cannot be read.
    """
    rows, damages = scan_manifest(folder)
    if damages:
        raise DamageError(str(Path(folder) / damages[0]))
    return rows


def scan_manifest(folder: Folder, torn: bool = False) -> tuple[list[dict[str, Any]], list[str]]:
    """Read what is sound in `manifest.jsonl`, and say what is not.

    Parameters
    ----------
    folder : path
        The database's.
    torn : bool
        Whether a torn last line counts as a damage.

    Returns
    -------
    rows : list of dict
        As `read_manifest`.
    damages : list of str
        One for each damaged line, with its number.
    """
    path = Path(folder) / MANIFEST
    *lines, tail = path.read_bytes().split(b"\n") if path.exists() else [b""]
    rows, damages = {}, []
    for number, line in enumerate(lines, start=1):
        row = _row(line)
        if row is None:
            damages.append(f"{MANIFEST}: line {number} is damaged")
        else:
            rows[shard_number(row["name"])] = row
    if tail and torn:
        damages.append(f"{MANIFEST}: line {len(lines) + 1} is torn")
    return [rows[number] for number in sorted(rows)], damages


def write_manifest(folder: Folder, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write `manifest.jsonl` anew, from rows as `scan_manifest` returned them."""
    write_atomically(Path(folder) / MANIFEST, b"".join(map(_line, rows)))


def shard_name(number: int) -> str:
    """The name of a shard in the manifest.

    Examples
    --------
    >>> shard_name(7)
    'shards/00007.h5'
    """
    return f"{SHARDS}/{number:05d}.h5"


def shard_number(name: str) -> int:
    """The number of a shard from its name in the manifest; ValueError for another name.

    Examples
    --------
    >>> shard_number("shards/00007.h5")
    7
    """
    match = re.fullmatch(rf"{SHARDS}/(\d{{5,9}})\.h5", name)
    if match is None or shard_name(int(match[1])) != name:
        raise ValueError(f"{name}: no name of a shard, expected one like {shard_name(0)}")
    return int(match[1])


def database_digest(rows: Iterable[Mapping[str, Any]]) -> str:
    """The sha256 of all shards and of the plan that they were built by: equal databases have equal ones."""
    return hashlib.sha256("".join(row["plan"] + row["sha256"] for row in rows).encode()).hexdigest()


def _line(row: Mapping[str, Any]) -> bytes:
    plain = json.dumps({key: row[key] for key in ROW_KEYS}).encode()
    return plain[:-1] + _checksum(plain) + b"\n"


def _checksum(plain: bytes) -> bytes:
    """How the line of a row ends: the checksum of the row, as the last member of its object."""
    return b', "crc32": %d}' % zlib.crc32(plain)


def _row(line: bytes) -> dict[str, Any] | None:
    """The row of a line, or None where the line is damaged."""
    plain = line[: line.rfind(b', "crc32": ')] + b"}"
    if plain[:-1] + _checksum(plain) != line:
        return None
    try:
        row = json.loads(plain)
        shard_number(row["name"])
        sound = tuple(row) == ROW_KEYS and is_count(row["clips"]) and is_count(row["bytes"])
    except (ValueError, TypeError, KeyError):
        return None
    return row if sound else None
