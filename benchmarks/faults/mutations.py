"""Files changed at random: what reads them answers with the data or with an error of the documented kinds.

A mutation flips a bit, overwrites a stretch with noise or a number with a boundary value, cuts the end off,
repeats, leaves out or exchanges stretches; its number decides it. Mutations are tried in another process,
which announces each before it starts: where that process is ended by a signal, by lack of memory or by the
clock, the last one announced is to blame, and another process goes on after it.

- `wave_mutations`, `flac_mutations`, `sofa_mutations`, `shard_mutations`: the scenarios
- `mutated`: one mutation
"""

from __future__ import annotations

import faulthandler
import hashlib
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from benchmarks.faults import Outcome, Scenario
from benchmarks.faults.hostile import write_head
from binaural_feature import CueFormat
from database.hrtf import read_head
from database.isolation import MAX_BYTES, limit_memory
from database.recordings import read_audio
from database.sofa import read_horizontal
from database.store import (
    Database,
    append_manifest,
    plan_digest,
    read_manifest,
    shard_name,
    verify,
    write_plan,
    write_shard,
)

SECONDS = 10.0  # that one mutation may take
BOUNDARIES = (0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF)
PROMISE = "ValueError, OSError or the data; no signal, no hang"


class BrokenPromiseError(Exception):
    """Something was read that is not there."""


# ---- mutations


def mutated(content: bytes, number: int) -> bytes:
    """The content after one to four changes; equal numbers make equal changes."""
    rng = np.random.default_rng(number)
    data = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        # Half of them near the beginning, where most formats keep what they say of the rest.
        start = int(rng.integers(max(1, len(data) if rng.random() < 0.5 else min(len(data), 2048))))
        length = min(2 ** int(rng.integers(10)), len(data) - start)
        CHANGES[rng.integers(len(CHANGES))](data, start, length, rng)
    return bytes(data)


def _flip(data: bytearray, start: int, length: int, rng: np.random.Generator) -> None:
    data[start : start + 1] = bytes(byte ^ 1 << int(rng.integers(8)) for byte in data[start : start + 1])


def _overwrite(data: bytearray, start: int, length: int, rng: np.random.Generator) -> None:
    data[start : start + length] = rng.bytes(length)


def _set_to_boundary(data: bytearray, start: int, length: int, rng: np.random.Generator) -> None:
    """A number of 1 to 8 bytes, in either order, becomes one at the edge of what it can be."""
    size = min(2 ** int(rng.integers(4)), length)
    number = [int(rng.choice(BOUNDARIES)), *[int(rng.choice([0x00, 0xFF]))] * 7][:size]
    data[start : start + size] = bytes(number if rng.random() < 0.5 else number[::-1])


def _cut_off(data: bytearray, start: int, length: int, rng: np.random.Generator) -> None:
    del data[start:]


def _repeat(data: bytearray, start: int, length: int, rng: np.random.Generator) -> None:
    data[start:start] = data[start : start + length]


def _leave_out(data: bytearray, start: int, length: int, rng: np.random.Generator) -> None:
    del data[start : start + length]


def _exchange(data: bytearray, start: int, length: int, rng: np.random.Generator) -> None:
    other = int(rng.integers(len(data) - length + 1))
    stretch = data[start : start + length]
    data[start : start + length] = data[other : other + length]
    data[other : other + length] = stretch


CHANGES = (_flip, _overwrite, _set_to_boundary, _cut_off, _repeat, _leave_out, _exchange)


# ---- what is mutated, and how it is read


def _make_sound(path: Path) -> None:
    soundfile.write(path, 0.5 * np.sin(np.arange(4000.0)), 16000)


PLAN = {"n_shards": 1}
FORMAT = CueFormat.default(fs=8000, n_bands=4)
FACTS = {"azimuth": 5.0 * np.arange(6), "speaker": np.array(["Ann", "Bö"] * 3), "room": np.full(6, -1)}
CUES = np.random.default_rng(0).standard_normal((6, 4, 4, 5)).astype(np.float16)
AUDIO = np.random.default_rng(1).standard_normal((6, 400, 2)).astype(np.float32)


def _make_shard(path: Path) -> None:
    """The one shard of a database."""
    folder = path.parents[1]
    write_plan(folder, PLAN)
    row = write_shard(folder, 0, CUES, FACTS, FORMAT.to_dict() | {"duration": 0.05}, AUDIO)
    append_manifest(folder, row, plan_digest(PLAN))


def _read_shard(path: Path) -> None:
    """See that `verify` finds a change; then read by a manifest that has the changed shard's size and sum."""
    folder, content = path.parents[1], path.read_bytes()
    (row,) = read_manifest(folder)
    found = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    if found["sha256"] != row["sha256"] and not any(row["name"] in damage for damage in verify(folder)):
        raise BrokenPromiseError("verify did not find the change")
    manifest = folder / "manifest.jsonl"
    sound = manifest.read_bytes()
    try:
        append_manifest(folder, row | found, row["plan"])
        with Database(folder) as database:
            _compare(database)
    finally:
        manifest.write_bytes(sound)


def _compare(database: Database) -> None:
    found: dict[str, NDArray[Any]] = {
        "cues": database.read_cues(np.arange(len(database))),
        "audio": np.stack([database.read_audio(clip) for clip in range(len(database))]),
        **database.columns,
    }
    expected: dict[str, NDArray[Any]] = {"cues": CUES, "audio": AUDIO, **FACTS}
    wrong = [name for name in expected if not np.array_equal(found.get(name, []), expected[name])]
    if wrong or len(found) != len(expected) or database.format != FORMAT or database.duration != 0.05:
        raise BrokenPromiseError(f"wrong numbers were read: {wrong or 'format'}")


class Kind(NamedTuple):
    """What is mutated: the file, how it is made and how it is read.

    `isolated` is the public door that reads in a process of its own. Where a mutation ends the process that
    calls `read`, this must refuse it; without such a door the promise is broken.
    """

    file: str
    make: Callable[[Path], object]
    read: Callable[[Path], object]
    isolated: Callable[[Path], object] | None = None


KINDS = {
    "WAV": Kind("sound.wav", _make_sound, read_audio),
    "FLAC": Kind("sound.flac", _make_sound, read_audio),
    "SOFA": Kind("head.sofa", write_head, read_horizontal, read_head),
    "shard": Kind(shard_name(0), _make_shard, _read_shard),
}


# ---- one mutation after the other

ANNOUNCED = "> "
READ, REFUSED, CONTAINED = "read", "refused", "refused as what ended a process of its own"


def _answer(read: Callable[[Path], object], path: Path) -> str:
    try:
        read(path)
    except (ValueError, OSError):
        return REFUSED
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return READ


def _try_in_this_process(name: str, folder: str, first: str, stop: str) -> None:
    """Announce and try mutations, one line for each."""
    kind = KINDS[name]
    path = Path(folder) / kind.file
    kind.make(path)
    sound = path.read_bytes()
    limit_memory(MAX_BYTES)
    for number in range(int(first), int(stop)):
        print(ANNOUNCED, end="", flush=True)
        faulthandler.dump_traceback_later(SECONDS, exit=True)  # its thread needs nothing of Python's
        path.write_bytes(mutated(sound, number))
        print(_answer(kind.read, path).replace("\n", " "), flush=True)
    faulthandler.cancel_dump_traceback_later()


def _try_in_another_process(name: str, folder: Path, numbers: range) -> list[str]:
    """Answers to mutations, up to the first that ends the process."""
    module = "benchmarks.faults.mutations"
    arguments = [name, str(folder), str(numbers.start), str(numbers.stop)]
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()
    answers = [line.removeprefix(ANNOUNCED) for line in lines]
    if done.returncode == 0:
        return answers
    if not answers or answers[-1]:
        raise RuntimeError(f"{module} {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
    kind = KINDS[name]
    contained = kind.isolated and _answer(kind.isolated, folder / kind.file) == REFUSED
    ended = f"ended the process with status {done.returncode}: {done.stderr.strip()[:200]}"
    return [*answers[:-1], CONTAINED if contained else ended]


# ---- the scenarios


def _outcome(name: str, folder: Path, n: int) -> Outcome:
    answers: list[str] = []
    while len(answers) < n:
        answers += _try_in_another_process(name, folder, range(len(answers), n))
    kept = Counter(answer for answer in answers if answer in (READ, REFUSED, CONTAINED))
    broken = [f"{number}: {answer}" for number, answer in enumerate(answers) if answer not in kept]
    notes = "; ".join([", ".join(f"{count} {answer}" for answer, count in kept.items()), *broken[:3]])
    return Outcome(f"mutations of a {name} file", PROMISE, n, kept.total(), notes)


def wave_mutations(folder: Path, n: int) -> Outcome:
    """A WAV file, read as recordings are."""
    return _outcome("WAV", folder, n)


def flac_mutations(folder: Path, n: int) -> Outcome:
    """A FLAC file, the format of LibriSpeech."""
    return _outcome("FLAC", folder, n)


def sofa_mutations(folder: Path, n: int) -> Outcome:
    """A SOFA file, read as heads are."""
    return _outcome("SOFA", folder, n)


def shard_mutations(folder: Path, n: int) -> Outcome:
    """A shard whose manifest does not give it away: all that is left are HDF5's own checksums."""
    return _outcome("shard", folder, n)


SCENARIOS: list[tuple[Scenario, int]] = [
    (wave_mutations, 10_000),
    (flac_mutations, 10_000),
    (sofa_mutations, 10_000),
    (shard_mutations, 10_000),
]

if __name__ == "__main__":
    _try_in_this_process(*sys.argv[1:])
