"""The same bytes whoever builds, and wherever.

- `all_engines`: this process, worker processes, a Dask cluster
- `surroundings`: locale, time zone, umask, names of folders
- `cluster_worker_killed`: a Dask cluster of two workers, of which one is killed
- `cluster_deadly_shards`: one over whose shard all of them die
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults import Outcome, Scenario
from benchmarks.faults.builds import (
    WORDS,
    broken_promises,
    finish,
    finished_shards,
    outcome,
    small_recipe,
    undisturbed,
)
from benchmarks.faults.workers import deadly_shard
from database.build import build

ENGINES: list[dict[str, Any]] = [{"local_cluster": 2}, {"n_workers": 1}, {"n_workers": 2}, {"n_workers": 3}]
# Name of the folder, environment, umask.
SURROUNDINGS: list[tuple[str, dict[str, str], int]] = [
    ("Hörner und Köpfe", {"LC_ALL": "C", "TZ": "Pacific/Kiritimati"}, 0o077),
    ("a b  c", {"LC_ALL": "tr_TR.UTF-8", "TZ": "America/St_Johns"}, 0o002),
    ("耳", {"LC_ALL": "de_DE.ISO-8859-1", "PYTHONHASHSEED": "7"}, 0o000),
    ("-o'\"$(x)%s", {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, 0o027),
]


def all_engines(folder: Path, n: int) -> Outcome:
    """Each engine builds the database."""
    expected = undisturbed(folder / "undisturbed")
    broken = []
    for number, engine in enumerate(islice(cycle(ENGINES), n)):
        build(folder / str(number), small_recipe(), progress=False, **engine)
        broken += [f"{engine}: {why}" for why in broken_promises(folder / str(number), expected)]
    return outcome("1, 2, 3 workers, Dask", "the digests of a build in one process", n, broken)


def surroundings(folder: Path, n: int) -> Outcome:
    """The command is given in other surroundings."""
    expected = undisturbed(folder / "undisturbed")
    broken = []
    for name, environment, umask in islice(cycle(SURROUNDINGS), n):
        built = subprocess.run(
            [sys.executable, "-m", "database", "build", *WORDS, "--workers", "0", "--", str(folder / name)],
            env=os.environ | environment,
            umask=umask,
            capture_output=True,
            check=False,
        )
        if built.returncode:
            broken.append(f"{name}: status {built.returncode}, {built.stderr.decode(errors='replace')}")
        modes = {path.stat().st_mode & umask for path in (folder / name).rglob("*")}
        if modes != {0}:
            broken.append(f"{name}: the umask is not heeded")
        broken += [f"{name}: {why}" for why in finish(folder / name, expected)]
    return outcome(
        "another locale, time zone, umask; a path with blanks and umlauts", "the same digests", n, broken
    )


def cluster_worker_killed(folder: Path, n: int) -> Outcome:
    """A scheduler and two workers on the loopback interface, one of them killed in the middle of a build."""
    expected = undisturbed(folder / "undisturbed")
    broken = []
    for number in range(n):
        database = folder / str(number)
        with _cluster(folder / f"cluster {number}") as (scheduler, workers):
            killer = threading.Thread(target=_kill_in_the_middle, args=(database, workers[number % 2]))
            killer.start()
            build(os.path.relpath(database), small_recipe(), scheduler=scheduler, progress=False)
            killer.join()
        broken += broken_promises(database, expected)
    return outcome("a worker of a Dask cluster killed", "the digests of a build in one process", n, broken)


def cluster_deadly_shards(folder: Path, n: int) -> Outcome:
    """A shard that kills every worker of a cluster that begins it."""
    expected = undisturbed(folder / "undisturbed")
    rng = np.random.default_rng(0)
    broken: list[str] = []
    for number in range(n):
        broken += deadly_shard(folder / str(number), int(rng.integers(9)), expected, "--local-cluster", "2")
    return outcome(
        "a shard over which all workers of a Dask cluster died",
        "it is reported, the rest is finished, status 3; built when it can be",
        n,
        broken,
    )


SCENARIOS: list[tuple[Scenario, int]] = [
    (all_engines, len(ENGINES)),
    (surroundings, len(SURROUNDINGS)),
    (cluster_worker_killed, 5),
    (cluster_deadly_shards, 2),
]


@contextmanager
def _cluster(folder: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A Dask scheduler and two workers: its address, and their processes."""
    folder.mkdir()
    file = folder / "scheduler.json"
    common = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(file)]
    worker = ["--nthreads", "1", "--no-nanny", "--local-directory", str(folder)]
    commands = [["scheduler", "--port", "0"], ["worker", *worker], ["worker", *worker]]
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            with (folder / f"{len(processes)}.log").open("wb") as log:
                words = [sys.executable, "-m", "distributed.cli.dask_" + command[0], *command[1:], *common]
                environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
                processes.append(subprocess.Popen(words, stdout=log, stderr=log, env=environment, cwd=folder))
        while not (file.exists() and file.stat().st_size) and processes[0].poll() is None:
            time.sleep(0.05)
        yield json.loads(file.read_text())["address"], processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _kill_in_the_middle(database: Path, worker: subprocess.Popen[bytes]) -> None:
    while not finished_shards(database):
        time.sleep(0.01)
    worker.kill()
