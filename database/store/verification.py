"""Whether a database is what was built.

Functions
---------
verify : Every damage, each with the file's name.
"""

from pathlib import Path
from typing import Any

from tqdm import tqdm

from database.store.checksums import shard_damages
from database.store.files import PLAN, REJECTS, SHARDS, VIEW, Folder, leftovers
from database.store.manifest import database_digest, scan_manifest, shard_name
from database.store.plan import plan_digest, read_plan
from database.store.rejects import read_rejects
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
    plan, plan_damage = _plan(root)
    damages += [*plan_damage, *_misplaced(root, rows, plan)]
    kind: tuple[object, ...] | None = None
    checked = zip(rows, shard_damages(root, rows), strict=True)
    for row, damage in tqdm(checked, "verify", len(rows), unit=" shards", disable=not progress):
        if damage:
            damages.append(f"{row['name']}: {damage}")
            continue
        # The bytes are those that were written: it remains whether they are a shard of this database.
        try:
            with Shard(root, row) as shard:
                kind = kind or shard.kind
                if shard.kind != kind:
                    damages.append(f"{shard.name}: of another kind than the shards before it")
        except (OSError, ValueError) as error:
            damages.append(_named(root, row["name"], error))
    if plan and len(rows) == plan["n_shards"] and (wrong := view_damage(root, database_digest(rows))):
        damages.append(f"{VIEW}: {wrong}; the same build again writes it")
    try:
        read_rejects(root)
    except (OSError, ValueError) as error:
        damages.append(_named(root, REJECTS, error))
    return damages


def _plan(root: Path) -> tuple[dict[str, Any], list[str]]:
    """The plan, and what is wrong with it: one of the two is empty."""
    try:
        return read_plan(root), []
    except (OSError, ValueError) as error:
        return {}, [_named(root, PLAN, error)]


def _misplaced(root: Path, rows: list[dict[str, Any]], plan: dict[str, Any]) -> list[str]:
    """The shards that are missing or should not be there, in words."""
    finished, unfinished = {row["name"] for row in rows}, set(leftovers(root))
    expected = {shard_name(number) for number in range(plan["n_shards"])} if plan else finished
    others = {row["name"] for row in rows if plan and row["plan"] != plan_digest(plan)}
    found = {path.relative_to(root).as_posix() for path in (root / SHARDS).glob("*")}
    return [
        f"{name}: {reason}"
        for reason, wrong in (
            ("not in the manifest, so never finished", expected - finished),
            ("not in the plan", finished - expected),
            ("built by another plan", others),
            ("left behind by a killed build", unfinished),
            ("not part of the database", found - expected - finished - unfinished),
        )
        for name in sorted(wrong)
    ]


def _named(root: Path, name: str, error: Exception) -> str:
    """The message of an error, beginning with the file's name relative to the folder."""
    message = str(error).removeprefix(f"{root / name}: ")
    return f"{name}: {message}"
