"""A database from a recipe, over all cores; the same call goes on where it was stopped.

    plan ─► scenes ─► mixtures ─► cues ─► shards ─► manifest ─► view

- `build`: build a database, or what is missing of it
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from os import PathLike
from pathlib import Path

from tqdm import tqdm

from database.engines import choose_engine
from database.hrtf import Head, kemar
from database.interrupts import signals_held
from database.lock import locked
from database.machine import changes
from database.on_error import STOP, OnError
from database.plan import Plan, draw_plan, head_checksums
from database.recipe import Recipe, differences
from database.rendering import SCRATCH, clear_scratch, scratch_files, shard_builder
from database.sources import Source, noise_source, speech_source
from database.store import (
    BEGINNINGS,
    Reject,
    append_manifest,
    begins_as_ours,
    leftovers,
    plan_digest,
    read_plan,
    read_rejects,
    remove_leftovers,
    repair,
    scan_manifest,
    shard_name,
    write_plan,
    write_rejects,
    write_view,
)
from database.tasks import Engine, Task
from database.workers import refuse_unguarded_script

CHANGED_HEAD = "has changed: its file, or how its azimuths are read, filled, turned or equalised"
HOPELESS = 3  # shards over which workers died, before any could be built: then it is not the shards' fault


def build(
    folder: str | PathLike[str],
    recipe: Recipe,
    speech: Source | None = None,
    noise: Source | None = None,
    heads: Sequence[Head] = (),
    *,
    n_workers: int | None = None,
    scheduler: str | None = None,
    local_cluster: int | None = None,
    on_error: OnError = STOP,
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
        Processes of one thread each; one for each core if left out. With 0 the shards are built in this
        process, which then ends with whatever ends one of them. The database does not depend on it.
    scheduler : str, optional
        Address of a Dask cluster to build on, whose workers see `folder` and the recordings.
    local_cluster : int, optional
        Processes of a Dask cluster to start on this machine, and to build on.
    on_error : OnError
        What becomes of a recording that cannot be used: with `OnError(skip=True)` it is left out.
    progress : bool
        Whether to show a progress bar, in scenes.

    Returns
    -------
    Path
        The folder, absolute. What had to be left out, if anything, is in its `rejects.jsonl`.

    Raises
    ------
    ValueError
        If the folder holds something else, in which nothing is changed then, the sources do not suffice for
        the recipe, or are no sources, or the heads no heads.
    OSError
        If a recording cannot be read, the database cannot be written, another process builds in the folder
        (BlockingIOError), workers die at their start or over every shard (ChildProcessError), or there is no
        cluster to be reached (ConnectionError). What is finished stays, and the same call goes on from
        there, as after an interrupt.
    """
    refuse_unguarded_script()
    engine = choose_engine(n_workers, scheduler, local_cluster)
    folder = Path(folder).absolute()  # workers may be at home elsewhere
    for name, source in (("speech", speech), ("noise", noise)):
        if isinstance(source, str | PathLike):
            raise ValueError(f"{name} is {str(source)!r}: expected {name}_source({str(source)!r})")
    if isinstance(heads, Head) or not all(isinstance(head, Head) for head in heads):
        raise ValueError(
            f"heads is {heads!r:.80}: expected a list of heads, as read_head and kemar return them"
        )
    speech = speech_source() if speech is None else speech
    noise = noise_source() if noise is None else noise
    heads = tuple(heads) or (kemar(),)
    with locked(folder):
        plan = _plan(folder, recipe, speech, noise, heads, on_error)
        clear_scratch(folder)
        finished, repaired = repair(folder, plan_digest(plan.to_dict()), progress)
        for damage in repaired:
            tqdm.write(f"{folder}: repairing {damage}")
        rejects = [reject for reject in read_rejects(folder) if reject.what != "shard"]
        rejects += [reject for reject in on_error.rejects if reject not in rejects]
        if len(finished) < plan.n_shards:
            make_task = partial(shard_builder, folder, plan, speech, noise, heads)
            rejects += _build_shards(folder, plan, finished, engine, make_task, progress)
        elif progress:
            tqdm.write(f"{folder}: all {plan.n_scenes} scenes are there already")
        write_rejects(folder, rejects)
        write_view(folder, progress)
    return folder


def _build_shards(
    folder: Path,
    plan: Plan,
    finished: set[int],
    engine: Engine,
    make_task: Callable[[], Task],
    progress: bool,
) -> list[Reject]:
    """Build the missing shards, and return those that could not be built; nothing else is left behind."""
    missing = [number for number in range(plan.n_shards) if number not in finished]
    n_done = sum(len(plan.shard_scenes(number)) for number in finished)
    digest = plan_digest(plan.to_dict())
    unlisted = {shard_name(number) for number in missing}
    is_empty, rejects = not finished, []
    with (
        signals_held() as signals,
        _cleared_at_the_end(folder, unlisted),
        tqdm(total=plan.n_scenes, initial=n_done, unit=" scenes", disable=not progress) as bar,
        closing(engine(make_task, missing, bar.update, folder / SCRATCH, signals)) as shards,
    ):
        for shard in shards:
            if not isinstance(shard, Reject):
                append_manifest(folder, shard, digest)
                unlisted.remove(shard["name"])
                is_empty = False
                continue
            rejects.append(shard)
            if is_empty and len(rejects) == min(HOPELESS, len(missing)):
                raise ChildProcessError(f"{shard.name}: {shard.why}, and no shard could be built")
    return rejects


@contextmanager
def _cleared_at_the_end(folder: Path, unlisted: Iterable[str]) -> Iterator[None]:
    """What workers made for each other is removed, and what they left behind when they had to stop."""
    try:
        yield
    finally:
        clear_scratch(folder)
        remove_leftovers(folder)
        for name in unlisted:  # it may just have been finished
            (folder / name).unlink(missing_ok=True)


def _plan(
    folder: Path, recipe: Recipe, speech: Source, noise: Source, heads: tuple[Head, ...], on_error: OnError
) -> Plan:
    """The plan in the folder, if it is the same database's, or a new one."""
    try:
        stored = read_plan(folder)
    except (FileNotFoundError, ValueError):
        return _new_plan(folder, recipe, speech, noise, heads, on_error)
    plan = Plan.from_dict(stored)
    parted = [
        *differences(recipe, plan.recipe),
        *_other_sources(plan, speech, noise),
        *_other_sums("head", head_checksums(heads), plan.checksums["head"], CHANGED_HEAD),
    ]
    if parted:
        raise ValueError(f"{folder} holds another database: {'; '.join(parted)}")
    changed = changes(plan.versions)
    if changed:
        warnings.warn(f"{folder} was begun with {changed}", stacklevel=3)
    return plan


def _new_plan(
    folder: Path, recipe: Recipe, speech: Source, noise: Source, heads: tuple[Head, ...], on_error: OnError
) -> Plan:
    """A plan drawn now: of an empty folder, or in the place of the damaged one that built what is there."""
    rows, _ = scan_manifest(folder)
    if not rows and (others := _others(folder)):
        found = others[0] + (f" and {len(others) - 1} more" if len(others) > 1 else "")
        raise ValueError(
            f"{folder} is not empty and holds no database: expected an empty folder, or none, found {found}"
        )
    plan = draw_plan(recipe, speech, noise, heads, on_error)
    drawn = plan.to_dict()
    if {row["plan"] for row in rows} - {plan_digest(drawn)}:
        raise ValueError(
            f"{folder}: plan.json is missing or damaged, and its shards were built by another plan than this "
            "recipe and these sources give"
        )
    if (folder / "plan.json").exists() or rows:
        tqdm.write(f"{folder}: repairing plan.json: missing or damaged, drawn again")
    write_rejects(folder, on_error.rejects)  # first: where there is a plan, nothing is drawn again
    write_plan(folder, drawn)
    return plan


def _others(folder: Path) -> list[str]:
    """Names in a folder of what no build leaves behind that ended before its first shard."""
    own = {folder / name for name in ("build.lock", "shards", SCRATCH, *leftovers(folder))}
    own |= {folder / name for name in BEGINNINGS if begins_as_ours(folder / name)}
    found = {path for place in (folder, folder / "shards", folder / SCRATCH) for path in place.glob("*")}
    return sorted(path.relative_to(folder).as_posix() for path in found - own - {*scratch_files(folder)})


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


def _other_sums(
    what: str, given: dict[str, str], stored: dict[str, str], changed: str = "has changed"
) -> list[str]:
    """Files or heads that are not the same, the first five by name."""
    parted = [
        *(f"{what} {name} is missing" for name in stored if name not in given),
        *(f"{what} {name} is new" for name in given if name not in stored),
        *(f"{what} {name} {changed}" for name in given if stored.get(name, given[name]) != given[name]),
    ]
    return parted if len(parted) <= 5 else [*parted[:5], f"and {len(parted) - 5} more"]
