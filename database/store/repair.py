"""What is done to a database before a build goes on with it.

Functions
---------
repair : Remove whatever is not sound, so that it is built again.
"""

from pathlib import Path

from tqdm import tqdm

from database.store.checksums import shard_damages
from database.store.files import MANIFEST, SHARDS, VIEW, Folder, remove_leftovers
from database.store.manifest import scan_manifest, shard_number, write_manifest
from database.store.view import view_damage


def repair(folder: Folder, plan_digest: str, progress: bool = False) -> tuple[set[int], list[str]]:
    """Compare what is finished with its checksums, and remove whatever is not sound.

    These are shards that are damaged or not in the manifest, damaged lines of the manifest, a damaged view,
    and what killed writers left. To build what is missing then makes the database whole. No writer may be at
    work.

    Parameters
    ----------
    folder : path
        The database's.
    plan_digest : str
        Of its plan.
    progress : bool
        Whether to show a progress bar where it takes more than a second.

    Returns
    -------
    sound : set of int
        Numbers of the shards that stay.
    repaired : list of str
        What was wrong, one for each file or line, beginning with the file's name relative to the folder.

    Raises
    ------
    ValueError
        If a shard was built by another plan; then nothing is removed.
    OSError
        If something cannot be read or removed.
    """
    root = Path(folder)
    rows, repaired = scan_manifest(root, torn=True)
    for row in rows:
        if row["plan"] != plan_digest:
            raise ValueError(f"{root / row['name']}: built by another plan, says {MANIFEST}")
    remove_leftovers(root)
    sound = []
    checked = zip(rows, shard_damages(root, rows), strict=True)
    for row, damage in tqdm(
        checked, "check", len(rows), unit=" shards", delay=1, disable=not progress, leave=False
    ):
        if damage:
            repaired.append(f"{row['name']}: {damage}")
        else:
            sound.append(row)
    if repaired:
        write_manifest(root, sound)
    repaired += _remove_others(root, {row["name"] for row in sound}, {row["name"] for row in rows})
    if (root / VIEW).exists() and (damage := view_damage(root)):
        (root / VIEW).unlink()
        repaired.append(f"{VIEW}: {damage}")
    return {shard_number(row["name"]) for row in sound}, repaired


def _remove_others(root: Path, sound: set[str], listed: set[str]) -> list[str]:
    """Remove the shards that are not sound; the names of those that the manifest did not list."""
    names = (f"{SHARDS}/{path.name}" for path in (root / SHARDS).glob("*") if path.is_file())
    found = {name for name in names if _is_shards(name)}
    for name in found - sound:
        (root / name).unlink()
    return [f"{name}: not in the manifest" for name in sorted(found - listed)]


def _is_shards(name: str) -> bool:
    """Whether a name is a shard's; other files that somebody put there are not ours to remove."""
    try:
        shard_number(name)
    except ValueError:
        return False
    return True
