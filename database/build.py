"""A database from a recipe, over all cores; the same call goes on where it was stopped.

    plan ─► scenes ─► mixtures ─► cues ─► shards ─► manifest ─► view

- `build`: build a database, or what is missing of it
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from os import PathLike
from pathlib import Path

from tqdm import tqdm

from database.hrtf import Head, kemar
from database.machine import versions
from database.plan import Plan, draw_plan, head_checksums
from database.recipe import Recipe, differences
from database.rendering import SCRATCH, shard_builder
from database.sources import Source, noise_source, speech_source
from database.store import (
    append_manifest,
    read_manifest,
    read_plan,
    remove_leftovers,
    shard_number,
    write_plan,
    write_view,
)
from database.workers import n_cores, refuse_unguarded_script, shard_rows


def build(
    folder: str | PathLike[str],
    recipe: Recipe,
    speech: Source | None = None,
    noise: Source | None = None,
    heads: Sequence[Head] = (),
    *,
    n_workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Build a database, or what is missing of it.

    Parameters
    ----------
    folder : path
        The database's: made where there is none, otherwise empty or one of the same recipe and sources, whose
        finished shards are kept.
    recipe : Recipe
        What decides the database.
    speech, noise : Source, optional
        As `speech_source` and `noise_source` return them; the synthetic ones if left out.
    heads : sequence of Head
        With different names; the built-in KEMAR if left out.
    n_workers : int, optional
        Processes of one thread each; one for each core if left out. The database does not depend on it.
    progress : bool
        Whether to show a progress bar, in clips.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ValueError
        If the folder holds something else, or the sources do not suffice for the recipe.
    OSError
        If a recording cannot be read or the database cannot be written. What is finished stays, and the same
        call goes on from there, as after an interrupt.
    """
    refuse_unguarded_script()
    folder = Path(folder)
    if n_workers is not None and n_workers < 1:
        raise ValueError(f"n_workers is {n_workers}: expected 1 or more")
    speech = speech_source() if speech is None else speech
    noise = noise_source() if noise is None else noise
    heads = tuple(heads) or (kemar(),)
    plan = _plan(folder, recipe, speech, noise, heads)
    finished = _finished_shards(folder)
    missing = [number for number in range(plan.n_shards) if number not in finished]
    n_workers = max(1, min(n_workers or n_cores(), len(missing)))
    n_done = sum(len(plan.shard_scenes(number)) for number in finished)
    make_task = partial(shard_builder, folder, plan, speech, noise, heads)
    if progress and not missing:
        tqdm.write(f"{folder}: all {plan.n_scenes} clips are there already")
    try:
        hidden = not (progress and missing)
        with (
            tqdm(total=plan.n_scenes, initial=n_done, unit=" clips", disable=hidden) as bar,
            closing(shard_rows(make_task, missing, n_workers, bar.update, folder / SCRATCH)) as rows,
        ):
            for row in rows:
                append_manifest(folder, row)
    finally:
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)
    write_view(folder)
    return folder


def _plan(folder: Path, recipe: Recipe, speech: Source, noise: Source, heads: tuple[Head, ...]) -> Plan:
    """The plan in the folder, if it is the same database's, or a new one."""
    try:
        plan = Plan.from_dict(read_plan(folder))
    except FileNotFoundError:
        return _new_plan(folder, recipe, speech, noise, heads)
    parted = [
        *differences(recipe, plan.recipe),
        *_other_sources(plan, speech, noise),
        *_other_sums("head", head_checksums(heads), plan.checksums["head"]),
    ]
    if parted:
        raise ValueError(f"{folder} holds another database: {'; '.join(parted)}")
    now, then = versions(), plan.versions
    changed = [f"{name} {then.get(name)} → {now[name]}" for name in now if now[name] != then.get(name)]
    if changed:
        warnings.warn(
            f"{folder} was begun with other versions, the last bit of a cue may differ: {', '.join(changed)}",
            stacklevel=3,
        )
    return plan


def _new_plan(folder: Path, recipe: Recipe, speech: Source, noise: Source, heads: tuple[Head, ...]) -> Plan:
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty and holds no database: expected an empty folder, or none")
    plan = draw_plan(recipe, speech, noise, heads)
    write_plan(folder, plan.to_dict())
    return plan


def _other_sources(plan: Plan, speech: Source, noise: Source) -> list[str]:
    """Where the sources are not those of the plan."""
    parted = []
    for name, source in (("speech", speech), ("noise", noise)):
        if source.kind != plan.sources[name]:
            parted.append(f"{name}: {source.kind} given, {plan.sources[name]} in the folder")
            continue
        recordings = {recording.file: recording for recording in source.recordings}
        wanted = plan.checksums[name]
        sums = {file: source.checksum(recordings[file]) for file in wanted if file in recordings}
        parted += _other_sums(name, sums, wanted)
    return parted


def _other_sums(what: str, given: dict[str, str], stored: dict[str, str]) -> list[str]:
    """Files or heads that are not the same, the first five by name."""
    parted = [
        *(f"{what} {name} is missing" for name in stored if name not in given),
        *(f"{what} {name} is new" for name in given if name not in stored),
        *(f"{what} {name} has changed" for name in given if stored.get(name, given[name]) != given[name]),
    ]
    return parted if len(parted) <= 5 else [*parted[:5], f"and {len(parted) - 5} more"]


def _finished_shards(folder: Path) -> set[int]:
    """Numbers of the shards that are there as the manifest says; what killed builders left is removed."""
    rows = {row["name"]: row for row in read_manifest(folder)}
    finished = {name for name, row in rows.items() if _size(folder / name) == row["bytes"]}
    remove_leftovers(folder)
    shutil.rmtree(folder / SCRATCH, ignore_errors=True)
    for path in (folder / "shards").glob("*"):
        if f"shards/{path.name}" not in finished:
            path.unlink()
    return {shard_number(name) for name in finished}


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1
