"""Whether a database is what was built.

Functions
---------
verify : Every damage, each with the file's name.
"""

import hashlib
from pathlib import Path
from typing import Any

from tqdm import tqdm

from database.store.files import PLAN, SHARDS, VIEW, Folder, leftovers
from database.store.manifest import scan_manifest, shard_name
from database.store.plan import read_plan
from database.store.shard_reading import Shard
from database.store.view import view_damage


def verify(folder: Folder, progress: bool = False) -> list[str]:
    """Compare everything in a database with its checksums, and tell every damage.

    Parameters
    ----------
    folder : path
        The database's.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    list of str
        One for each damage, beginning with the file's name relative to the folder; empty where all is sound.

    Raises
    ------
    OSError
        If there is no such folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder")
    rows, damages = scan_manifest(root, torn=True)
    damages += _misplaced(root, [row["name"] for row in rows])
    kind: tuple[object, ...] | None = None
    for row in tqdm(rows, desc="verify", unit="shard", disable=not progress):
        try:
            with Shard(root, row) as shard:
                _check_sum(root, row)
                shard.read_all()
                kind = kind or shard.kind
                if shard.kind != kind:
                    damages.append(f"{shard.name}: of another kind than the shards before it")
        except (OSError, ValueError) as error:
            damages.append(_named(root, row["name"], error))
    if rows and not damages and (wrong := view_damage(root, rows)):
        damages.append(f"{VIEW}: {wrong}; it can be written again")
    return damages


def _misplaced(root: Path, names: list[str]) -> list[str]:
    """What is wrong with the plan, and the shards that are missing or should not be there."""
    damages = []
    planned = names
    try:
        planned = [shard_name(number) for number in range(read_plan(root)["n_shards"])]
    except (OSError, ValueError) as error:
        damages.append(_named(root, PLAN, error))
    finished, expected, unfinished = set(names), set(planned), set(leftovers(root))
    found = {path.relative_to(root).as_posix() for path in (root / SHARDS).glob("*")}
    for reason, wrong in (
        ("not in the manifest, so never finished", expected - finished),
        ("not in the plan", finished - expected),
        ("left behind by a killed build", unfinished),
        ("not part of the database", found - expected - finished - unfinished),
    ):
        damages += [f"{name}: {reason}" for name in sorted(wrong)]
    return damages


def _check_sum(root: Path, row: dict[str, Any]) -> None:
    with (root / row["name"]).open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != row["sha256"]:
        raise OSError(f"{root / row['name']}: damaged, its sha256 differs from the manifest's")


def _named(root: Path, name: str, error: Exception) -> str:
    """The message of an error, beginning with the file's name relative to the folder."""
    message = str(error).removeprefix(f"{root / name}: ")
    return f"{name}: {message}"
