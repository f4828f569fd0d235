"""SIGINT and SIGTERM, as a terminal, a cluster or another process sends them.

- `interrupted`: a build at random moments
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from itertools import cycle, islice
from os import kill, killpg
from pathlib import Path

import numpy as np

from benchmarks.faults import Outcome, Scenario
from benchmarks.faults.builds import N_WORKERS, WORDS, finish, leftovers, outcome, undisturbed
from database.exit_status import DONE

SOON, FOR_EVER = 10.0, 120.0  # s
# Which signal, whether the whole process group gets it, and who builds.
SENT = [
    (signal.SIGINT, True, "--workers"),
    (signal.SIGTERM, False, "--workers"),
    (signal.SIGTERM, True, "--local-cluster"),
    (signal.SIGTERM, True, "--workers"),
    (signal.SIGINT, True, "--local-cluster"),
]


def interrupted(folder: Path, n: int) -> Outcome:
    """A build gets a signal at a random moment, and is started again."""
    expected = undisturbed(folder / "undisturbed")
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    _start(folder / "timed", "--workers").communicate()
    longest = time.perf_counter() - start
    broken, seconds, n_early, n_late = [], [0.0], 0, 0
    for number, to_group, engine in islice(cycle(SENT), n):
        builder = _start(folder / "database", engine)
        time.sleep(rng.uniform(0, longest))
        start = time.perf_counter()
        (killpg if to_group else kill)(builder.pid, number)
        said = builder.communicate(timeout=FOR_EVER)[1]
        seconds.append(time.perf_counter() - start)
        n_early += builder.returncode == -number  # Python itself was not ready yet
        n_late += builder.returncode == DONE
        broken += [
            f"{number.name}: {why}" for why in _broken(folder / "database", builder.returncode, number, said)
        ]
        broken += finish(folder / "database", expected)
    if n_early + n_late == n:
        broken.append("no signal came while a build was at work")
    if max(seconds) > SOON:
        broken.append(f"it took {max(seconds):.1f} s")
    return outcome(
        "SIGINT and SIGTERM at random moments, to the builder or its whole group",
        f"ends within {SOON:g} s, status 130 or 143, one line, no leftovers, resumable",
        n,
        broken,
        f"at most {max(seconds):.1f} s; {n_early} came before the program had begun, {n_late} after its end",
    )


SCENARIOS: list[tuple[Scenario, int]] = [(interrupted, 40)]


def _start(database: Path, engine: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "database", "build", str(database), *WORDS, engine, str(N_WORKERS)]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def _broken(database: Path, status: int, number: signal.Signals, said: str) -> list[str]:
    """What is not as promised after a signal."""
    if status in (DONE, -number):  # too late, or too early: before the program has begun
        return []
    lines = said.replace("\r", "\n").splitlines()
    errors = [line for line in lines if line.strip() and "%|" not in line]  # but for the progress bar
    broken = [f"{name} was left behind" for name in leftovers(database) if database.exists()]
    if status != 128 + number or len(errors) != 1 or not errors[0].startswith("error: "):
        broken.append(f"status {status}, it says {errors}")
    return broken
