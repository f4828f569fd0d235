"""Damage to a finished database: found by name, never read as wrong numbers, and mended by the next build.

- `flipped_shard`, `flipped_audio`, `truncated_shard`, `missing_shard`: damage to the shards
- `flipped_manifest`, `flipped_plan`, `flipped_view`: damage to what lies beside them
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.faults import Outcome, Scenario
from binaural_feature import CueFormat
from database.build import build
from database.recipe import Recipe
from database.store import Database, read_manifest, shard_name, verify

RECIPE = Recipe(
    n_clips=3,
    duration=0.1,
    format=CueFormat.default(8000, 4),
    noise_types=2,
    noise_files=6,
    scenes_per_shard=36,
)
PROMISED = "verify names it, no wrong number is read, build repairs just this"

Damage = Callable[[Path, np.random.Generator], str]  # damages one file of a database and returns its name


class Content(NamedTuple):
    """All that can be read from a database."""

    cues: NDArray[np.float16]
    audio: list[NDArray[np.float32]]  # empty where none was kept
    columns: dict[str, NDArray]


def flipped_shard(folder: Path, n: int) -> Outcome:
    """One byte anywhere in a shard of cues is another, and the file's size the same."""
    return _outcome("a flipped byte in a shard", _in_some_shard(_flip), folder, n)


def flipped_audio(folder: Path, n: int) -> Outcome:
    """The same in a shard that is nearly all mixtures."""
    recipe = replace(RECIPE, keep_audio=True)
    return _outcome("a flipped byte in a shard with audio", _in_some_shard(_flip), folder, n, recipe)


def truncated_shard(folder: Path, n: int) -> Outcome:
    """A shard ends too early."""

    def truncate(path: Path, rng: np.random.Generator) -> None:
        content = path.read_bytes()
        path.write_bytes(content[: rng.integers(len(content))])

    return _outcome("a truncated shard", _in_some_shard(truncate), folder, n)


def missing_shard(folder: Path, n: int) -> Outcome:
    """A shard is not there."""
    return _outcome("a missing shard", _in_some_shard(lambda path, _: path.unlink()), folder, n)


def flipped_manifest(folder: Path, n: int) -> Outcome:
    """One byte of the manifest is another, which damages a line or makes one of two."""
    return _outcome("a flipped byte in the manifest", partial(_flip_in, "manifest.jsonl"), folder, n)


def flipped_plan(folder: Path, n: int) -> Outcome:
    """One byte of the plan is another."""
    return _outcome("a flipped byte in the plan", partial(_flip_in, "plan.json"), folder, n)


def flipped_view(folder: Path, n: int) -> Outcome:
    """One byte of the view is another."""
    return _outcome("a flipped byte in the view", partial(_flip_in, "database.h5"), folder, n)


SCENARIOS: list[tuple[Scenario, int]] = [
    (flipped_shard, 200),
    (flipped_audio, 200),
    (truncated_shard, 50),
    (missing_shard, 20),
    (flipped_manifest, 200),
    (flipped_plan, 200),
    (flipped_view, 200),
]


def _outcome(fault: str, damage: Damage, folder: Path, n: int, recipe: Recipe = RECIPE) -> Outcome:
    sound = build(folder / "sound", recipe, n_workers=0, progress=False)
    content = _content(sound)
    rng = np.random.default_rng(0)
    broken = []
    for _ in range(n):
        copy = Path(shutil.copytree(sound, folder / "damaged"))
        name = damage(copy, rng)
        if found := _broken_promise(copy, name, sound, content, recipe):
            broken.append(f"{name}: {found}")
        shutil.rmtree(copy)
    return Outcome(fault, PROMISED, n, n - len(broken), broken[0] if broken else "")


def _broken_promise(damaged: Path, name: str, sound: Path, content: Content, recipe: Recipe) -> str:
    """Which promise is not kept, or nothing."""
    named = {damage.split(": ")[0] for damage in verify(damaged)}
    # Without its line in the manifest a shard counts as unfinished, and is named as well.
    if name not in named or (name != "manifest.jsonl" and len(named) > 1):
        return f"verify named {named}"
    if wrong := _wrong_numbers(damaged, content):
        return f"{wrong} read as other numbers"
    before = _written(damaged)
    with redirect_stdout(io.StringIO()):  # it tells what it repairs
        build(damaged, recipe, n_workers=0, progress=False)
    again = {shard for shard, time in _written(damaged).items() if before.get(shard) != time}
    if len(again) > (2 if name == "manifest.jsonl" else 1) or not again <= named:
        return f"built again: {again}"
    if verify(damaged) or not _equal(damaged, sound):
        return "not repaired"
    return ""


def _wrong_numbers(damaged: Path, content: Content) -> str:
    """What is read and is not what was written, or nothing; an error of the documented kinds is right."""
    try:
        database = Database(damaged)
    except (OSError, ValueError):
        return ""
    reads: dict[str, tuple[Callable[[], NDArray], NDArray]] = {}
    for clip in range(len(content.cues)):
        reads[f"cues {clip}"] = partial(database.read_cues, [clip]), content.cues[[clip]]
    for clip, audio in enumerate(content.audio):
        reads[f"audio {clip}"] = partial(database.read_audio, clip), audio
    for name, values in content.columns.items():
        reads[name] = partial(database.columns.__getitem__, name), values
    with database:
        for what, (read, expected) in reads.items():
            try:
                found = read()
            except (OSError, ValueError):
                continue
            if not np.array_equal(found, expected):
                return what
    return ""


def _content(folder: Path) -> Content:
    with Database(folder) as database:
        clips = range(len(database))
        audio = [database.read_audio(clip) for clip in clips] if database.has_audio else []
        return Content(database.read_cues(clips), audio, dict(database.columns))


def _written(folder: Path) -> dict[str, int]:
    """When each shard was written, in ns."""
    return {shard_name(int(path.stem)): path.stat().st_mtime_ns for path in (folder / "shards").iterdir()}


def _equal(folder: Path, other: Path) -> bool:
    """Whether two databases are the same bytes; shards may stand in the manifest in another order."""
    names = {path.relative_to(other) for path in other.rglob("*.*") if path.name != "manifest.jsonl"}
    same = all((folder / name).read_bytes() == (other / name).read_bytes() for name in names)
    return same and read_manifest(folder) == read_manifest(other)


def _in_some_shard(damage: Callable[[Path, np.random.Generator], None]) -> Damage:
    def damage_one(folder: Path, rng: np.random.Generator) -> str:
        rows = read_manifest(folder)
        name = rows[rng.integers(len(rows))]["name"]
        damage(folder / name, rng)
        return name

    return damage_one


def _flip_in(name: str, folder: Path, rng: np.random.Generator) -> str:
    _flip(folder / name, rng)
    return name


def _flip(path: Path, rng: np.random.Generator) -> None:
    """Change one byte of a file."""
    content = bytearray(path.read_bytes())
    content[rng.integers(len(content))] ^= rng.integers(1, 256)
    path.write_bytes(content)
