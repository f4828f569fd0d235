"""Programs that measure this library, side by side with others where there are any.

    python -m benchmarks.cues
    python -m benchmarks.build

Each prints tables and, with `--json FILE`, writes what it measured. Nothing here is timed in a test.

- `run_with_one_thread`: what a program calls before anything else
- `at_least_one`: a number of rounds, clips or bands, as a program is given it
- `median_seconds`: contestants in turn, so that all of them have the same machine
- `Target`: a figure, and what it is to be
- `print_table`, `print_targets`: what was measured, as Markdown
- `write_results`: the same as JSON, with the machine it was measured on
"""

from __future__ import annotations

import json
import os
import platform
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple, TypeVar

from tqdm import tqdm

from database.machine import versions
from database.store import write_atomically
from database.worker_process import ENVIRONMENT
from database.workers import n_cores

Name = TypeVar("Name", str, int)


def run_with_one_thread() -> None:
    """Start the program again in the environment of a build's workers, unless it has it.

    numpy's libraries and numba read the number of their threads, and the C library how to deal with memory,
    once, when they are loaded: too late to set either here. The memory matters as much as the threads, since
    a fifth of the time is otherwise spent on getting pages from the system; so every contestant has the same.
    """
    if any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **ENVIRONMENT})


def at_least_one(word: str) -> int:
    """The whole number that a word of the command line stands for; an error of argparse if it is below 1."""
    if not word.isdecimal() or int(word) < 1:
        raise ArgumentTypeError(f"{word}: expected a whole number of 1 or more")
    return int(word)


def median_seconds(contestants: Mapping[Name, Callable[[], Any]], n_rounds: int) -> dict[Name, float]:
    """Median time of each contestant.

    Each runs once to warm up, then all of them in turn, once a round: whatever else the machine does, and
    however its clock drifts, it does to all of them alike.

    Parameters
    ----------
    contestants : dict of str or int to callable
        What to time, without arguments, under its name.
    n_rounds : int
        How often.

    Returns
    -------
    dict of str or int to float
        Seconds.

    Examples
    --------
    >>> sorted(median_seconds({"nothing": lambda: None, "a sum": lambda: sum(range(1000))}, n_rounds=3))
    ['a sum', 'nothing']
    """
    seconds: dict[Name, list[float]] = {name: [] for name in contestants}
    for contestant in contestants.values():
        contestant()
    for _ in tqdm(range(n_rounds), unit=" rounds", leave=False):
        for name, contestant in contestants.items():
            start = perf_counter()
            contestant()
            seconds[name].append(perf_counter() - start)
    return {name: median(times) for name, times in seconds.items()}


class Target(NamedTuple):
    """A figure, and what it is to be.

    Attributes
    ----------
    what : str
        What was measured.
    found : float
        The figure.
    least, most : float
        Between which it is to lie.
    """

    what: str
    found: float
    least: float = float("-inf")
    most: float = float("inf")

    @property
    def met(self) -> bool:
        """Whether it does."""
        return self.least <= self.found <= self.most


def print_targets(targets: Sequence[Target]) -> None:
    """Print figures beside what they are to be."""
    rows = [
        (
            target.what,
            f"{target.found:.2f}",
            f"at least {target.least:g}" if target.least > float("-inf") else f"at most {target.most:g}",
            "met" if target.met else "missed",
        )
        for target in targets
    ]
    print_table(("target", "found", "wanted", ""), rows)


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a Markdown table, numbers (all but the first column) to the right.

    Examples
    --------
    >>> print_table(("ear", "ms"), [("left", "9.5"), ("right", "10.5")])
    | ear   |   ms |
    |:------|-----:|
    | left  |  9.5 |
    | right | 10.5 |
    <BLANKLINE>
    """
    rows = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [" | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    rule = "|".join([":" + "-" * (widths[0] + 1), *("-" * (width + 1) + ":" for width in widths[1:])])
    print(f"| {lines[0]} |", f"|{rule}|", *(f"| {line} |" for line in lines[1:]), "", sep="\n")


def write_results(path: Path | None, results: dict[str, Any], targets: Sequence[Target] = ()) -> None:
    """Write what was measured as JSON, with the machine and the targets, if there is a path to write to."""
    if path is not None:
        measured = {
            "machine": machine(),
            **results,
            "targets": [
                {"what": target.what, "found": target.found, "met": target.met} for target in targets
            ],
        }
        write_atomically(path, json.dumps(measured, indent=1).encode())


def machine() -> dict[str, Any]:
    """Processor, cores, what else kept them busy in the last minutes, and versions."""
    load = os.getloadavg() if hasattr(os, "getloadavg") else None  # Windows has none
    return {"processor": _processor(), "n_cores": n_cores(), "load": load, "versions": versions()}


def _processor() -> str:
    facts = Path("/proc/cpuinfo")  # platform.processor() is empty or "x86_64" on Linux
    for line in facts.read_text().splitlines() if facts.exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
