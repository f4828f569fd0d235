"""No more room: files that may not grow, and a small disk.

- `file_size_limits`: a limit on the size of a file
- `full_disks`: a disk in memory that fills up
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.faults import Outcome, Scenario
from benchmarks.faults.builds import (
    N_WORKERS,
    finish,
    leftovers,
    outcome,
    run_command,
    started,
    undisturbed,
)
from database.exit_status import MACHINE

PROMISED = "the bytes needed, status 4, never a signal, no leftovers; goes on when there is room"


def file_size_limits(folder: Path, n: int) -> Outcome:
    """No file may grow beyond a random size."""
    expected = undisturbed(folder / "undisturbed")
    largest = max(path.stat().st_size for path in (folder / "undisturbed").rglob("*") if path.is_file())
    rng = np.random.default_rng(0)
    broken: list[str] = []
    for limit in np.exp(rng.uniform(np.log(1000), np.log(largest), n)).astype(int).tolist():
        builder = started(_run_limited, folder, limit)
        builder.join()
        said = (folder / "said.txt").read_text()
        broken += _broken(folder / "database", builder.exitcode, f"{limit} bytes: {said}")
        broken += finish(folder / "database", expected)
    return outcome("a limit on the size of files", PROMISED, n, broken, f"1000 to {largest} bytes")


def full_disks(folder: Path, n: int) -> Outcome:
    """The disk fills up at a random moment."""
    if not can_mount(folder):
        return outcome("a full disk", PROMISED, 0, [], "not tried: no disk can be mounted here")
    expected = undisturbed(folder / "undisturbed")
    size = sum(path.stat().st_size for path in (folder / "undisturbed").rglob("*") if path.is_file())
    rng = np.random.default_rng(0)
    broken: list[str] = []
    for room in rng.uniform(0.05, 0.95, n) * size:
        with _small_disk(folder / "disk", int(room)):
            status, said = run_command(folder / "disk" / "database", "--workers", str(N_WORKERS))
            broken += _broken(folder / "disk" / "database", status, f"{room:.0f} bytes: {said}")
            subprocess.run(["mount", "-o", "remount,size=100M", str(folder / "disk")], check=True)
            broken += finish(folder / "disk" / "database", expected)
    return outcome("a full disk", PROMISED, n, broken, f"5 to 95 % of {size} bytes")


SCENARIOS: list[tuple[Scenario, int]] = [(file_size_limits, 30), (full_disks, 30)]


def can_mount(folder: Path) -> bool:
    """Whether this process may mount a disk in memory."""
    try:
        with _small_disk(folder / "probe", 4096):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextmanager
def _small_disk(place: Path, size: int) -> Iterator[None]:
    place.mkdir(exist_ok=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=True, capture_output=True
    )
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def _run_limited(folder: Path, limit: int) -> None:
    import resource  # not on every system

    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    status, said = run_command(folder / "database", "--workers", str(N_WORKERS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    (folder / "said.txt").write_text(said)
    sys.exit(status)


def _broken(database: Path, status: int | None, said: str) -> list[str]:
    """What is not as promised when there was no room."""
    broken = [f"{name} was left behind" for name in leftovers(database)] if database.exists() else []
    if status != MACHINE or "bytes needed" not in said:
        broken.append(f"status {status}, {said}")
    return broken
