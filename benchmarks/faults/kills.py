"""The builder killed, and two of them at once.

- `killed_at_random`, `killed_at_every_step`: by SIGKILL
- `stale_locks`, `two_builders`: what keeps builders apart
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import FileIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.faults import Outcome, Scenario
from benchmarks.faults.builds import (
    N_WORKERS,
    broken_promises,
    build_with_workers,
    finish,
    finished_shards,
    outcome,
    run_command,
    small_recipe,
    started,
    undisturbed,
    unlisted_shards,
)
from database.build import build
from database.exit_status import MACHINE

TWO_SHARDS = small_recipe(
    n_clips=1, shares=(1.0, 0.0, 0.0), noise_types=1, noise_files=2, scenes_per_shard=36
)


def killed_at_random(folder: Path, n: int) -> Outcome:
    """The builder is killed at a random moment and started again, until the database is there; then anew."""
    expected = undisturbed(folder / "undisturbed")
    longest = {n_workers: _seconds(folder / f"timed {n_workers}", n_workers) for n_workers in (0, N_WORKERS)}
    database, rng = folder / "database", np.random.default_rng(0)
    broken, n_finished = [], 0
    for _ in range(n):
        before = finished_shards(database)
        n_workers = int(rng.choice([*longest]))
        builder = started(build_with_workers, database, n_workers)
        builder.join(rng.uniform(0, longest[n_workers]))
        builder.kill()
        builder.join()
        after, lost = finished_shards(database), unlisted_shards(database)
        if not before.items() <= after.items():
            broken.append("a finished shard was built again")
        if len(lost) > max(n_workers, 1):
            broken.append(f"{n_workers} workers had {len(lost)} shards that were not noted as finished")
        if len(after) == len(expected):
            broken += finish(database, expected)
            n_finished += 1
    broken += finish(database, expected)
    return outcome(
        "the builder killed at random moments, then started again",
        "the digests of an undisturbed build; at most one shard per worker done twice; no leftovers",
        n,
        broken,
        f"{n_finished + 1} databases finished by {n} killed builders",
    )


def killed_at_every_step(folder: Path, n: int) -> Outcome:
    """The builder is killed before each thing that it does to a file, and in the middle of each writing."""
    expected = undisturbed(folder / "undisturbed", TWO_SHARDS)
    report = folder / "steps.json"
    started(_build_in_steps, folder / "counted", 0, report).join()
    steps = json.loads(report.read_text())
    chosen = sorted(set(np.linspace(1, len(steps), min(n, len(steps))).round().astype(int).tolist()))
    broken = []
    for number in chosen:
        builder = started(_build_in_steps, folder / "database", number, report)
        builder.join()
        if builder.exitcode != -signal.SIGKILL:
            broken.append(f"{steps[number - 1]}: the builder ended with {builder.exitcode}")
        if len(unlisted_shards(folder / "database")) > 1:
            broken.append(f"{steps[number - 1]}: more than one shard to be done twice")
        broken += [f"{steps[number - 1]}: {why}" for why in finish(folder / "database", expected, TWO_SHARDS)]
    return outcome(
        "the builder killed at every step of writing, then started again",
        "the same digests; at most one shard done twice; no leftovers",
        len(chosen),
        broken,
        f"{len(chosen)} of {len(steps)} steps",
    )


def two_builders(folder: Path, n: int) -> Outcome:
    """A second builder comes into the folder of another one."""
    expected = undisturbed(folder / "undisturbed")
    broken: list[str] = []
    for number in range(n):
        database = folder / str(number)
        builder = started(build_with_workers, database)
        assert builder.pid is not None
        lock = database / "build.lock"
        while builder.is_alive() and not (lock.exists() and f"process {builder.pid} on" in lock.read_text()):
            time.sleep(0.01)
        os.kill(builder.pid, signal.SIGSTOP)  # or it might be done before the other comes
        status, said = run_command(database)
        os.kill(builder.pid, signal.SIGCONT)
        if status != MACHINE or f"process {builder.pid} on" not in said:
            broken.append(f"status {status}: {said}")
        builder.join()
        broken += broken_promises(database, expected)
    return outcome(
        "two builders in one folder", "the second is told who builds there, status 4", n, broken, ""
    )


def stale_locks(folder: Path, n: int) -> Outcome:
    """A killed builder leaves its lock."""
    expected = undisturbed(folder / "undisturbed")
    broken: list[str] = []
    n_killed = 0
    while n_killed < n:
        builder = started(build_with_workers, folder / "database")
        while builder.is_alive() and not finished_shards(folder / "database"):
            time.sleep(0.01)
        builder.kill()
        builder.join()
        if builder.exitcode != 0:  # else it was done before it could be killed
            n_killed += 1
            if not (folder / "database" / "build.lock").exists():
                broken.append("there was no lock")
        broken += finish(folder / "database", expected)
    return outcome("the lock of a dead builder", "taken over", n, broken)


SCENARIOS: list[tuple[Scenario, int]] = [
    (killed_at_random, 50),
    (killed_at_every_step, 1000),
    (two_builders, 5),
    (stale_locks, 5),
]


def _seconds(database: Path, n_workers: int) -> float:
    """How long a build takes."""
    start = time.perf_counter()
    started(build_with_workers, database, n_workers).join()
    return time.perf_counter() - start


def _build_in_steps(database: Path, last: int, report: Path) -> None:
    """Build, with a SIGKILL at the step of this number; without one, write down the steps."""
    steps: list[str] = []
    with _stepping(steps, last):
        build(database, TWO_SHARDS, n_workers=0, progress=False)
    report.write_text(json.dumps(steps))


@contextmanager
def _stepping(steps: list[str], last: int) -> Iterator[None]:
    """Note what is about to be done to files, and end the process before the last of it."""

    def step(what: str) -> None:
        steps.append(what)
        if len(steps) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    class SteppedFile(FileIO):
        def write(self, content: Any) -> int:
            half = len(content) // 2
            step(f"write {self.name}")
            super().write(content[:half])
            step(f"the other half of {self.name}")
            return half + super().write(content[half:])

    def stepped_open(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if set(mode) & set("wxa+") == set():
            return opened(path, mode, *arguments, **options)
        step(f"open {path}")
        return SteppedFile(path, mode.replace("b", ""))

    def stepped(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            step(f"{name} {arguments[0]}")
            return function(*arguments, **options)

        return call

    opened = Path.open
    with ExitStack() as stack:
        stack.enter_context(patch.object(Path, "open", stepped_open))
        for owner, name in (
            (os, "fsync"),
            (Path, "replace"),
            (Path, "unlink"),
            (Path, "mkdir"),
            (os, "rmdir"),
        ):
            stack.enter_context(patch.object(owner, name, stepped(name, getattr(owner, name))))
        yield
