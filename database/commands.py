"""What `python -m database build | info | verify | download` do once their arguments are understood.

Each command takes its options as `arguments.command_parser` gives them, prints what it has to say, and
returns its exit status.

- `build`, `info`, `verify`, `download`: the commands
"""

# ruff: noqa: T201 - a command line prints

from __future__ import annotations

import io
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
from jsonargparse import Namespace
from numpy.typing import NDArray

from binaural_feature import CueFormat
from database import download as downloads
from database import store
from database.arguments import build_parser
from database.build import build as build_database
from database.description import description
from database.equalisation import equalised
from database.exit_status import DONE, REJECTS, DamageError
from database.facing import facing_front
from database.hrtf import Head, kemar, read_head
from database.on_error import OnError
from database.recipe import SPLITS, Recipe
from database.sources import noise_source, speech_source


def build(options: Namespace) -> int:
    """Build a database, or what is missing of it."""
    recipe = asked_recipe(options)
    for name in ("speech", "noise"):
        if options[name] is None:
            print(f"no --{name}: synthetic {name}, made by the computer and not recorded")
    on_error = OnError(skip=options.on_error == "skip")
    heads = _read_heads(options, on_error)
    left = {head.name for head in heads}
    kept = {name: split for name, split in recipe.head_splits.items() if name in left}
    recipe = replace(recipe, head_splits=kept)
    speech, noise = speech_source(options.speech), noise_source(options.noise)
    build_database(
        options.folder,
        recipe,
        speech,
        noise,
        heads,
        n_workers=options.workers,
        scheduler=options.scheduler,
        local_cluster=options.local_cluster,
        on_error=on_error,
    )
    rejects = store.read_rejects(options.folder)
    for what, n in Counter(reject.what for reject in rejects).items():
        first = next(reject for reject in rejects if reject.what == what)
        more = f"; and {n - 1} more, see {options.folder / 'rejects.jsonl'}" if n > 1 else ""
        print(f"left out: {what} {first.name}: {first.why}{more}", file=sys.stderr)
    return REJECTS if rejects else DONE


def asked_recipe(options: Namespace) -> Recipe:
    """The recipe that the options of `build` ask for; ValueError if there can be none."""
    _check_kinds(options)
    splits = options.splits
    if len(splits) != len(SPLITS) or not min(splits) >= 0 or not abs(sum(splits) - 100) <= 1e-7:
        raise ValueError(f"splits are {splits}: expected three percentages, none negative, with the sum 100")
    return Recipe(
        n_clips=options.clips,
        seed=options.seed,
        duration=options.duration,
        format=CueFormat.default(
            options.fs, options.bands, options.filter_type, options.model_type, options.high
        ),
        snr_db=tuple(options.snr_db),
        noise_types=_noise_types(options.noise_types),
        noise_files=options.noise_files,
        n_rooms=options.rooms,
        shares=tuple(share / 100 for share in options.splits),
        keep_audio=options.keep_audio,
        scenes_per_shard=options.scenes_per_shard,
        only=tuple(options.only),
        n_realizations=options.realizations,
        train_noise_types=tuple(options.train_noise_types),
        test_noise_types=tuple(options.test_noise_types),
        head_splits=_head_splits(options),
        diffuse_noise=options.diffuse_noise,
        speech_speed=tuple(options.speech_speed),
        median_plane=options.median_plane,
    )


def _check_kinds(options: Namespace) -> None:
    """Refuse what a YAML file can give and words cannot: an option of another kind than its default."""
    for name, default in vars(build_parser().get_defaults()).items():
        value = options[name]
        is_alike = default is None or type(value) is type(default)
        if is_alike and isinstance(default, list):  # of an empty one's items, who uses them knows the kind
            is_alike = all(type(each) is type(first) for first in default[:1] for each in value)
        if not is_alike:
            raise ValueError(f"{name} is {value!r}: expected a value such as {default!r}")


def _head_splits(options: Namespace) -> dict[str, str]:
    """The split of each head by its name, which is its file's; empty if they are to be drawn."""
    given = {split: options[f"{split}_head"] for split in SPLITS}
    if not any(given.values()):
        return {}
    lacking = [f"--{split}-head" for split in options.only if split in given and not given[split]]
    if lacking or options.head:
        wrong = f"{', '.join(lacking)} left out" if lacking else "--head given as well"
        raise ValueError(f"{wrong}: expected heads for each split that is built, and no others")
    splits: dict[str, str] = {}
    for split, paths in given.items():
        for path in paths:
            if splits.setdefault(path.stem, split) != split:
                raise ValueError(f"--{split}-head {path}: is for {splits[path.stem]} already")
    return splits


def _read_heads(options: Namespace, on_error: OnError) -> list[Head]:
    paths = [*options.head, *(path for split in SPLITS for path in options[f"{split}_head"])]
    if not paths:
        for name in ("clockwise", "interpolate", "incomplete_heads"):
            if options[name]:
                raise ValueError(
                    f"--{name.replace('_', '-')} given without a head to be read: expected --head"
                )
        return [_corrected(kemar(), options)]
    heads = []
    for path in paths:
        try:
            head = read_head(
                path,
                interpolate=options.interpolate,
                incomplete=options.incomplete_heads,
                clockwise=options.clockwise,
            )
            heads.append(_corrected(head, options))
        except (ValueError, OSError) as error:
            on_error("head", str(path), error)
    if not heads:  # without any, the build would take the built-in one
        raise ValueError(f"no head is left{on_error.left_out('head')}")
    return heads


def _corrected(head: Head, options: Namespace) -> Head:
    """A head without what its measurement added, as far as that is asked for."""
    if options.align_heads:
        head = facing_front(head)
    return equalised(head) if options.equalise_heads else head


def _noise_types(words: Sequence[str]) -> int | tuple[str, ...]:
    return int(words[0]) if len(words) == 1 and words[0].isdecimal() else tuple(words)


def info(options: Namespace) -> int:
    """Print what a database holds, and write one of its mixtures to a file."""
    _check_is_database(options.folder)
    with _damage(OSError, ValueError):
        database = store.Database(options.folder)
        text = description(database)
    print(text)
    if options.play is not None:
        number, path = options.play
        if not number.isdecimal():
            raise ValueError(f"--play {number}: expected the number of a mixture, from 0")
        if Path(path).suffix.lower() != ".wav":
            raise ValueError(f"--play {path}: expected a name that ends in .wav")
        with _damage(OSError):
            audio = database.read_audio(int(number))
        _write_wav(Path(path), audio, database.format.fs)
        print(f"mixture {number} is in {path}")
    return DONE


def _write_wav(path: Path, audio: NDArray[np.float32], fs: float) -> None:
    content = io.BytesIO()
    soundfile.write(content, audio, round(fs), format="WAV", subtype="PCM_16")
    store.write_atomically(path, content.getvalue())


def verify(options: Namespace) -> int:
    """Compare everything in a database with its checksums, and print every damage."""
    _check_is_database(options.folder)
    damages = store.verify(options.folder, progress=True)
    for damage in damages:
        print(damage)
    if damages:
        raise DamageError(f"{options.folder}: {len(damages)} damages")
    print(f"{options.folder}: {len(store.read_manifest(options.folder))} shards, all sound")
    return DONE


def download(options: Namespace) -> int:
    """Download recordings or a head."""
    print(downloads.download(options.name, options.to))
    return DONE


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
