"""The manifest: which shards of a database are finished, one line of `manifest.jsonl` for each.

A line holds a checksum of itself. It is on the disk before the function that appends it returns. Names are
relative to the database's folder, with forward slashes.

Functions
---------
append_manifest, read_manifest, scan_manifest : The manifest.
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

from database.store.files import MANIFEST, SHARDS, Folder, naming_disk_errors, sync_folder
from database.store.plan import is_count, plan_digest

ROW_KEYS = ("name", "clips", "bytes", "sha256")
LONGEST_LINE = 4096  # bytes, far above what a row takes


def append_manifest(folder: Folder, row: Mapping[str, Any]) -> None:
    """Append the row of a finished shard to `manifest.jsonl`.

    One process at a time may append. A last line that a killed process left torn is cut off first.

    Parameters
    ----------
    folder : path
        The database's.
    row : mapping
        What `write_shard` returned.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    path = Path(folder) / MANIFEST
    line = _line(row)
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
        `sha256`. Of several lines for one shard the last holds. Empty where there is no manifest yet.

    Raises
    ------
    ValueError
        If a line is damaged. A torn last line is what a killed process leaves, and is passed over.
    OSError
        If the file cannot be read.
    """
    rows, damages = scan_manifest(folder)
    if damages:
        raise ValueError(str(Path(folder) / damages[0]))
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


def database_digest(plan: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> str:
    """The sha256 of a plan and of all its shards: equal databases have equal ones."""
    sums = "".join(row["sha256"] for row in rows)
    return hashlib.sha256((plan_digest(plan) + sums).encode()).hexdigest()


def _line(row: Mapping[str, Any]) -> bytes:
    plain = {key: row[key] for key in ROW_KEYS}
    checksum = zlib.crc32(json.dumps(plain).encode())
    return json.dumps({**plain, "crc32": checksum}).encode() + b"\n"


def _row(line: bytes) -> dict[str, Any] | None:
    """The row of a line, or None where the line is damaged."""
    try:
        row = json.loads(line.decode())
        shard_number(row["name"])
        sound = _line(row) == line + b"\n" and is_count(row["clips"]) and is_count(row["bytes"])
    except (ValueError, TypeError, KeyError):
        return None
    return {key: row[key] for key in ROW_KEYS} if sound else None
