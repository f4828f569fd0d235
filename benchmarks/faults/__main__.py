"""Make every fault many times, and print what was promised and how often it was kept.

    python -m benchmarks.faults --json faults.json
    python -m benchmarks.faults --only kills.killed_at_random --scale 0.1

Exit status 1 if a promise was broken. Each scenario works in a folder of its own, removed afterwards.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from tqdm import tqdm

from benchmarks import print_table, write_results
from benchmarks.faults import (
    Outcome,
    Scenario,
    damage,
    disk,
    engines,
    hostile,
    interrupts,
    kills,
    mutations,
    run_files,
    sources,
    training,
    workers,
)

MODULES = (
    kills,
    workers,
    interrupts,
    disk,
    engines,
    damage,
    sources,
    hostile,
    mutations,
    training,
    run_files,
)
SCENARIOS: dict[str, tuple[Scenario, int]] = {
    f"{module.__name__.rpartition('.')[2]}.{scenario.__name__}": (scenario, count)
    for module in MODULES
    for scenario, count in module.SCENARIOS
}


def try_scenario(name: str, scale: float, scratch: Path | None) -> tuple[Outcome, float]:
    """What came out of a scenario, tried `scale` times as often as in the long run, and its seconds."""
    scenario, count = SCENARIOS[name]
    start = perf_counter()
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        outcome = scenario(Path(folder), max(1, round(count * scale)))
    return outcome, perf_counter() - start


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program, and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faults", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--only", choices=SCENARIOS, nargs="+", metavar="NAME", help=", ".join(SCENARIOS))
    parser.add_argument(
        "--scale", type=float, default=1.0, help="share of the tries of the long run (%(default)s)"
    )
    parser.add_argument("--scratch", type=Path, help="where the folders are made")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what came out to this file")
    options = parser.parse_args(argv)
    # Started in a shell's background it would ignore SIGINT, and hand that on to all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    bar = tqdm(options.only or SCENARIOS, unit=" scenarios")
    tried = []
    for name in bar:
        bar.set_description(name)
        tried.append((name, *try_scenario(name, options.scale, options.scratch)))
    print_table(
        ("fault", "promised", "kept", "s", "notes"),
        [
            (
                outcome.fault,
                outcome.promised,
                f"{outcome.kept} of {outcome.tried}",
                f"{seconds:.0f}",
                outcome.notes,
            )
            for _, outcome, seconds in tried
        ],
    )
    results = [
        {"scenario": name, **outcome._asdict(), "seconds": seconds} for name, outcome, seconds in tried
    ]
    write_results(options.json, {"scale": options.scale, "faults": results})
    return int(any(outcome.kept < outcome.tried for _, outcome, _ in tried))


if __name__ == "__main__":
    sys.exit(main())
