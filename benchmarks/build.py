"""Clips a second through the whole build, by workers and by size; the share of each stage; memory.

    python -m benchmarks.build --speech LibriSpeech --noise ESC-50 --json build.json

Every build runs in a process of its own that holds nothing yet, into a folder that is removed afterwards; a
first one, of the first size, warms up and is not counted. Its time is that of `database.build.build`, with
the plan and the start of the workers. Its memory is the largest resident set that each of its processes ever
had, as Linux keeps it. A shard is one worker's, so that what makes one shard, 720 clips, is done by one. The
stages (`benchmarks.stages`) are those of one more build of the last size.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import product
from math import nan
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

from tqdm import tqdm

from benchmarks import Target, at_least_one, print_table, print_targets, run_with_one_thread, write_results
from benchmarks.stages import stage_seconds
from database.build import build
from database.hrtf import AZIMUTHS
from database.recipe import Recipe
from database.sources import Source, noise_source, speech_source
from database.workers import n_cores

RECIPE = Recipe()
FULL = 700  # clips of speech
LOOK = 0.05  # s between two looks at the memory of the processes
MOST_OF_CUES, LEAST_OF_TWO_WORKERS, MOST_MIB = 1.0, 1.8, 1024.0


class Built(NamedTuple):
    """What a build took: seconds, and MiB of the builder and of its largest worker."""

    seconds: float
    builder: float
    worker: float


def build_seconds(folder: Path, recipe: Recipe, speech: Source, noise: Source, n_workers: int) -> float:
    """Seconds of a build."""
    start = perf_counter()
    build(folder, recipe, speech, noise, n_workers=n_workers, progress=False)
    return perf_counter() - start


def in_new_process(function: Callable[..., Any], *arguments: Any) -> tuple[Any, list[float]]:
    """What a function returns in a new process; the peaks of the memory of it and of its children, in MiB."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, function, *arguments))
    process.start()
    sender.close()
    peaks: dict[int | None, float] = {}
    while not receiver.poll(LOOK):
        _look(process.pid, peaks)
    try:
        return receiver.recv(), list(peaks.values())
    except EOFError:
        raise ChildProcessError("the process of a build failed, and says above why") from None
    finally:
        process.join()


def _send(connection: Connection, function: Callable[..., Any], *arguments: Any) -> None:
    connection.send(function(*arguments))


def _look(pid: int | None, peaks: dict[int | None, float]) -> None:
    """Note the largest resident set so far of a process and, after it, of its descendants."""
    with suppress(OSError):  # it may end meanwhile; and only Linux has these files
        found = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        if found:
            peaks[pid] = int(found[1]) / 1024
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in children.read_text().split():
                _look(int(child), peaks)


def measure(recipe: Recipe, n_workers: int, speech: Source, noise: Source, scratch: Path | None) -> Built:
    """Build once."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        seconds, peaks = in_new_process(
            build_seconds, Path(folder, "database"), recipe, speech, noise, n_workers
        )
    return Built(seconds, peaks[0] if peaks else nan, max(peaks[1:], default=nan))


def summary(recipe: Recipe, n_workers: int, builds: Sequence[Built]) -> dict[str, Any]:
    """Of all builds of one kind, the median of their seconds and the largest of their memory."""
    return {
        "clips": recipe.n_clips * len(AZIMUTHS),
        "workers": n_workers,
        "seconds": median(built.seconds for built in builds),
        "builder_mib": max(built.builder for built in builds),
        "worker_mib": max(built.worker for built in builds),
    }


def over_one_worker(row: dict[str, Any], rows: Sequence[dict[str, Any]]) -> float | None:
    """How many times as fast as with one worker, if that was measured."""
    alone = [other for other in rows if other["clips"] == row["clips"] and other["workers"] == 1]
    return alone[0]["seconds"] / row["seconds"] if alone else None


def print_results(rows: Sequence[dict[str, Any]], n_clips: int, stages: dict[str, float]) -> None:
    """Print what was measured: the builds, and the stages of one of `n_clips`."""
    print_table(
        ("clips", "workers", "s", "clips/s", "× one worker", "builder, MiB", "worker, MiB"),
        [
            (
                f"{row['clips']:,}",
                f"{row['workers']}",
                f"{row['seconds']:.1f}",
                f"{row['clips'] / row['seconds']:.1f}",
                f"{times:.2f}" if (times := over_one_worker(row, rows)) else "",
                f"{row['builder_mib']:.0f}",
                f"{row['worker_mib']:.0f}",
            )
            for row in rows
        ],
    )
    total = sum(stages.values())
    print_table(
        (f"stage, of {n_clips:,} clips", "s", "ms a clip", "%"),
        [
            (stage, f"{seconds:.1f}", f"{1000 * seconds / n_clips:.2f}", f"{100 * seconds / total:.1f}")
            for stage, seconds in sorted(stages.items(), key=lambda item: -item[1])
        ],
    )


def targets(rows: Sequence[dict[str, Any]], stages: dict[str, float]) -> list[Target]:
    """What is wanted."""
    others = sum(stages.values()) / stages["cues"] - 1
    times_of_two = [over_one_worker(row, rows) for row in rows if row["workers"] == 2]
    two_workers = [times for times in times_of_two if times][-1:]
    return [
        Target("all other stages, over the cues", others, most=MOST_OF_CUES),
        Target("largest worker, MiB", max(row["worker_mib"] for row in rows), most=MOST_MIB),
        *(Target("two workers, over one", times, least=LEAST_OF_TWO_WORKERS) for times in two_workers),
    ]


def main(arguments: Sequence[str] | None = None, recipe: Recipe = RECIPE) -> None:
    """Measure builds of a recipe with different numbers of clips, print, write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.build", description=__doc__.partition("\n")[0]
    )
    add = parser.add_argument
    add(
        "--clips",
        type=at_least_one,
        nargs="+",
        default=[10, 100],
        help="clips of speech, each from all azimuths (%(default)s)",
    )
    add(
        "--workers",
        type=at_least_one,
        nargs="+",
        default=[*range(1, n_cores() + 1)],
        help="for each of these sizes (%(default)s)",
    )
    add("--rounds", type=at_least_one, default=3, help="of which the median is taken (%(default)s)")
    add("--full", action="store_true", help=f"{FULL} clips as well, once, with the most workers")
    add("--speech", type=Path, metavar="DIR", help="synthetic talkers if left out")
    add("--noise", type=Path, metavar="DIR", help="synthetic noise if left out")
    add("--scratch", type=Path, metavar="DIR", help="where to build; among temporary files if left out")
    add("--json", type=Path, metavar="FILE", help="where to write what was measured")
    options = parser.parse_args(arguments)
    try:
        speech, noise = speech_source(options.speech), noise_source(options.noise)
        recipes = [replace(recipe, n_clips=n_clips) for n_clips in options.clips]
    except (ValueError, OSError) as error:
        parser.error(str(error))
    jobs = options.rounds * list(product(recipes, options.workers))
    if options.full:
        jobs.append((replace(recipe, n_clips=FULL), max(options.workers)))
    built: dict[tuple[Recipe, int], list[Built]] = defaultdict(list)
    measure(recipes[0], 1, speech, noise, options.scratch)  # warms up
    for job in tqdm(jobs, unit=" builds", leave=False):
        built[job].append(measure(job[0], job[1], speech, noise, options.scratch))
    rows = [summary(*job, builds) for job, builds in built.items()]
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        stages, _ = in_new_process(stage_seconds, Path(folder, "database"), recipes[-1], speech, noise)
    wanted = targets(rows, stages)
    n_clips = recipes[-1].n_clips * len(AZIMUTHS)
    print_results(rows, n_clips, stages)
    print_targets(wanted)
    sources = {"speech": speech.kind, "noise": noise.kind}
    measured = {"sources": sources, "builds": rows, "stages": {"clips": n_clips, "seconds": stages}}
    write_results(options.json, measured, wanted)


if __name__ == "__main__":
    run_with_one_thread()
    main()
