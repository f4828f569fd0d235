"""Faults of a run's files: damaged by chance, or made on purpose.

- `damaged_files`: bytes flipped, files cut short
- `hostile_checkpoints`: pickles that would run something
"""

from __future__ import annotations

import hashlib
import io
import pickle
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.faults import Outcome, Scenario
from benchmarks.faults.training import finished_run
from database.exit_status import DamageError
from localization.checkpoints import checkpoint_bytes
from localization.runs import BEST, CONFIG, LAST, PREVIOUS, load_run, read_config
from localization.training.folder import resume_point


def damaged_files(folder: Path, n: int) -> Outcome:
    """Flip a byte of a file, or cut it short; read it, or go on from it."""
    run = finished_run(folder)
    config = read_config(run)
    rng = np.random.default_rng(n)
    broken = []
    for k in range(n):
        name = (LAST, BEST, PREVIOUS, CONFIG)[k % 4]
        content = (run / name).read_bytes()
        place = int(rng.integers(len(content)))
        flipped = bytearray(content)
        flipped[place] ^= int(rng.integers(1, 256))
        cut = k % 16 >= 12  # a quarter of the tries
        with _replaced(run / name, content[:place] if cut else bytes(flipped)):
            if not _damage_is_handled(run, name, config):
                broken.append(f"{name}, {'cut' if cut else 'flipped'} at {place}")
    fault = "a byte of a checkpoint or of config.json flipped, or the file truncated"
    promise = "refused with its name; training goes on from the checkpoint before"
    return Outcome(fault, promise, n, n - len(broken), "; ".join(broken[:3]))


def hostile_checkpoints(folder: Path, n: int) -> Outcome:
    """Put pickles in the place of a checkpoint that would write a file when they are read."""
    run = finished_run(folder)
    config = read_config(run)
    canary = folder / "executed"
    trap = {"epoch": 0, "state_dict": {}, "trap": _Trap(canary)}
    forms = [
        pickle.dumps(trap, protocol=2),  # torch's own, and so without its warning
        _with_checksum(pickle.dumps(trap, protocol=2)),
        _saved(trap),
        _with_checksum(_saved(trap)),
        checkpoint_bytes(trap),
    ]
    broken = []
    for form in forms:  # otherwise nothing would be shown by what follows
        with suppress(RuntimeError, EOFError):
            torch.load(io.BytesIO(form), weights_only=False)
        canary.unlink()
    for k, name in enumerate(islice(cycle((LAST, BEST, PREVIOUS)), n)):
        with _replaced(run / name, forms[k % len(forms)]):
            if not _damage_is_handled(run, name, config) or canary.exists():
                broken.append(f"{name}, form {k % len(forms)}")
                canary.unlink(missing_ok=True)
    fault = "a checkpoint replaced by a malicious pickle, with and without a right checksum"
    promise = "refused with its name, nothing executed; the one before is used"
    return Outcome(fault, promise, n, n - len(broken), "; ".join(broken[:3]))


SCENARIOS: list[tuple[Scenario, int]] = [(damaged_files, 320), (hostile_checkpoints, 15)]


def _damage_is_handled(run: Path, name: str, config: dict[str, Any]) -> bool:
    """Whether a damaged file is refused by its name, and what was there before is used where it can be."""
    if name == LAST:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            used = resume_point(run)
        return used == run / PREVIOUS and any(str(run / LAST) in str(warning.message) for warning in said)
    try:
        if name == PREVIOUS:  # wanted only when the last is damaged as well
            with _replaced(run / LAST, b""):
                resume_point(run)
        else:
            load_run(run)
    except DamageError as error:
        return str(run / name) in str(error)
    return name == CONFIG and read_config(run) == config  # one blank for another is no damage


@contextmanager
def _replaced(path: Path, content: bytes) -> Iterator[None]:
    sound = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(sound)


class _Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return open, (str(self.canary), "w")


def _saved(checkpoint: dict[str, Any]) -> bytes:
    """As torch saved before it saved archives."""
    content = io.BytesIO()
    torch.save(checkpoint, content, _use_new_zipfile_serialization=False)
    return content.getvalue()


def _with_checksum(content: bytes) -> bytes:
    return content + hashlib.sha256(content).hexdigest().encode()
