"""What `python -m database build | info | verify | download` do once their arguments are understood.

Each command takes its options as `arguments.command_parser` gives them, and prints what it has to say.

- `build`, `info`, `verify`, `download`: the commands
- `DamageError`: a database that is there is damaged or not finished
"""

# ruff: noqa: T201 - a command line prints

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
from jsonargparse import Namespace
from numpy.typing import NDArray

from binaural_feature import CueFormat
from database import download as downloads
from database import store
from database.build import build as build_database
from database.description import description
from database.hrtf import read_head
from database.recipe import Recipe
from database.sources import noise_source, speech_source


class DamageError(Exception):
    """A database that is there is damaged, or not finished; its cause is the error that showed it."""


def build(options: Namespace) -> None:
    """Build a database, or what is missing of it."""
    recipe = Recipe(
        n_clips=options.clips,
        seed=options.seed,
        duration=options.duration,
        format=CueFormat.default(options.fs, options.bands, options.filter_type, options.model_type),
        snr_db=tuple(options.snr_db),
        noise_types=_noise_types(options.noise_types),
        noise_files=options.noise_files,
        n_rooms=options.rooms,
        shares=tuple(share / 100 for share in options.splits),
        keep_audio=options.keep_audio,
    )
    for name in ("speech", "noise"):
        if options[name] is None:
            print(f"no --{name}: synthetic {name}, made by the computer and not recorded")
    heads = [
        read_head(path, interpolate=options.interpolate, clockwise=options.clockwise) for path in options.head
    ]
    speech, noise = speech_source(options.speech), noise_source(options.noise)
    build_database(options.folder, recipe, speech, noise, heads, n_workers=options.workers)


def _noise_types(words: Sequence[str]) -> int | tuple[str, ...]:
    return int(words[0]) if len(words) == 1 and words[0].isdecimal() else tuple(words)


def info(options: Namespace) -> None:
    """Print what a database holds, and write one of its mixtures to a file."""
    _check_is_database(options.folder)
    with _damage(OSError, ValueError):
        database = store.Database(options.folder)
        print(description(database))
    if options.play is not None:
        number, path = options.play
        if not number.isdecimal():
            raise ValueError(f"--play {number}: expected the number of a mixture, from 0")
        with _damage(OSError):
            audio = database.read_audio(int(number))
        _write_wav(Path(path), audio, database.format.fs)
        print(f"mixture {number} is in {path}")


def _write_wav(path: Path, audio: NDArray[np.float32], fs: float) -> None:
    with path.open("wb") as file:  # opened here, so that an error is an OSError
        soundfile.write(file, audio, round(fs), format="WAV", subtype="PCM_16")


def verify(options: Namespace) -> None:
    """Compare everything in a database with its checksums, and print every damage."""
    _check_is_database(options.folder)
    damages = store.verify(options.folder, progress=True)
    for damage in damages:
        print(damage)
    if damages:
        raise DamageError(f"{options.folder}: {len(damages)} damages")
    print(f"{options.folder}: {len(store.read_manifest(options.folder))} shards, all sound")


def download(options: Namespace) -> None:
    """Download recordings or a head."""
    print(downloads.download(options.name, options.to))


def _check_is_database(folder: Path) -> None:
    if not any((folder / name).exists() for name in ("plan.json", "manifest.jsonl", "shards")):
        raise FileNotFoundError(f"{folder}: no database there")


@contextmanager
def _damage(*kinds: type[Exception]) -> Iterator[None]:
    """What goes wrong in here is the database's fault."""
    try:
        yield
    except kinds as error:
        raise DamageError(str(error)) from error
