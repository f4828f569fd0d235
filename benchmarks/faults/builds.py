"""Small builds to be disturbed, and whether they came out as an undisturbed one.

- `WORDS`, `small_recipe`: a database of nine shards, for the command line and for `build`
- `undisturbed`: built in this process, and the checksums of its shards; `build_with_workers`: by others
- `started`: a function in a process of its own, to be killed
- `run_command`: the command in this process; its exit status, and what it says
- `finished_shards`, `unlisted_shards`, `leftovers`, `broken_promises`: what there is afterwards
- `finish`: build the rest and compare
- `outcome`: what came out
"""

from __future__ import annotations

import io
import multiprocessing
import shutil
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from benchmarks.faults import Outcome
from binaural_feature import CueFormat
from database.__main__ import main
from database.build import build
from database.recipe import Recipe
from database.store import read_manifest, verify

WORDS = ["--clips", "3", "--duration", "0.2", "--fs", "8000", "--bands", "4"]
WORDS += ["--noise-types", "2", "--noise-files", "3", "--scenes-per-shard", "24"]
N_WORKERS = 2
FILES = {"plan.json", "manifest.jsonl", "database.h5", "shards"}  # all that a finished database has


def small_recipe(**changes: Any) -> Recipe:
    """The recipe of `WORDS`, but for these fields."""
    small: dict[str, Any] = {
        "n_clips": 3,
        "duration": 0.2,
        "format": CueFormat.default(8000, 4),
        "noise_types": 2,
        "noise_files": 3,
        "scenes_per_shard": 24,
    }
    return Recipe(**small | changes)


def undisturbed(folder: Path, recipe: Recipe | None = None) -> dict[str, str]:
    """Build in this process and nothing else, and return the sha256 of each shard."""
    build(folder, recipe or small_recipe(), n_workers=0, progress=False)
    return sums(folder)


def build_with_workers(folder: Path, n_workers: int = N_WORKERS) -> None:
    """Build the small database."""
    build(folder, small_recipe(), n_workers=n_workers, progress=False)


def sums(folder: Path) -> dict[str, str]:
    """The sha256 of each finished shard."""
    return {row["name"]: row["sha256"] for row in read_manifest(folder)}


def started(function: Callable[..., Any], *arguments: Any) -> BaseProcess:
    """A process that calls a function, forked from one that has imported all and does nothing else."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=function, args=arguments)
    process.start()
    return process


def run_command(folder: Path, *words: str) -> tuple[int, str]:
    """`python -m database build` of the small database in this process: its status, and what it says."""
    said = io.StringIO()
    with redirect_stderr(said), redirect_stdout(io.StringIO()):
        status = main(["build", str(folder), *WORDS, *words])
    return status, said.getvalue()


def finished_shards(folder: Path) -> dict[str, int]:
    """The shards in the manifest, and when each was written."""
    rows = read_manifest(folder) if (folder / "manifest.jsonl").exists() else []
    return {row["name"]: (folder / row["name"]).stat().st_mtime_ns for row in rows}


def unlisted_shards(folder: Path) -> list[str]:
    """Shards that are whole but not in the manifest, so that they are done twice."""
    return sorted(
        {f"shards/{path.name}" for path in (folder / "shards").glob("*.h5")} - {*finished_shards(folder)}
    )


def leftovers(folder: Path) -> list[str]:
    """What a stopped build should not leave behind."""
    unlisted = {folder / name for name in unlisted_shards(folder)}
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path in unlisted or path.relative_to(folder).parts[0] not in FILES or path.suffix == ".partial"
    )


def outcome(fault: str, promised: str, n: int, broken: Sequence[str], notes: str = "") -> Outcome:
    """What came out of `n` tries, given what was wrong, if anything."""
    return Outcome(fault, promised, n, n - min(n, len(broken)), broken[0] if broken else notes)


def finish(folder: Path, expected: dict[str, str], recipe: Recipe | None = None) -> list[str]:
    """Build what is missing, compare, and remove the database; what is wrong, if anything."""
    before = finished_shards(folder)
    build(folder, recipe or small_recipe(), n_workers=0, progress=False)
    broken = broken_promises(folder, expected)
    if not before.items() <= finished_shards(folder).items():
        broken.append("a finished shard was built again")
    shutil.rmtree(folder)
    return broken


def broken_promises(folder: Path, expected: dict[str, str]) -> list[str]:
    """Where a finished database differs from an undisturbed one."""
    broken = [f"{name} was left behind" for name in leftovers(folder)]
    if sums(folder) != expected:
        broken.append("the shards are others")
    return broken + verify(folder)
