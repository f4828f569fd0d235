"""Faults: what the builder and the trainer promise under each, tried many times and counted.

    python -m benchmarks.faults

A scenario is a function of an empty folder and of how often to try, and returns an `Outcome`; each module
lists its own, with the count of a long run, in `SCENARIOS`. The tests call the same functions with few tries.

- `Outcome`: what came out of one scenario
- `Scenario`: the kind of function that one is
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Outcome(NamedTuple):
    """What came out of one scenario.

    Attributes
    ----------
    fault : str
        What was done to the program or its files.
    promised : str
        What shall hold nevertheless.
    tried : int
        How often the fault was made.
    kept : int
        How often the promise was kept.
    notes : str
        What was seen, for the table; at least the first broken promise where there is one.
    """

    fault: str
    promised: str
    tried: int
    kept: int
    notes: str


Scenario = Callable[[Path, int], Outcome]
