"""What decides a database: one frozen `Recipe`, the same everywhere from the command line to `plan.json`.

Two builds of one recipe from the same sources give the same database, byte for byte. Everything that is drawn
comes from the recipe's seed through `generator`, with a key for each thing drawn: no draw depends on another.

- `Recipe`: seed, clips, rate, SNRs, noise, rooms, splits, cue format
- `differences`: where two recipes part, in words
- `generator`: the random numbers of one key
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import Any

import numpy as np

from binaural_feature import CueFormat
from database.mixing import MAX_SNR_DB, MIN_PEAK_DB
from database.recordings import MAX_DURATION

SPLITS = ("train", "validation", "test")
SPEEDS = (0.8, 1.25)  # of speech that is still speech

# Fields that are written down only where they are not at their default: a plan that does without them is
# the same, byte for byte, as before there were any.
OPTIONAL = (
    *("only", "n_realizations", "train_noise_types", "test_noise_types", "head_splits"),
    *("diffuse_noise", "speech_speed", "median_plane"),
)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a database, besides the recordings and the heads themselves.

    Parameters
    ----------
    n_clips : int
        Clips of speech; each is heard from every one of the 72 azimuths.
    seed : int
        Decides everything that is drawn.
    duration : float
        Length of a clip in s, at most the 60 s that are read of a recording.
    format : CueFormat
        What the cues are, with the sampling rate `format.fs` at which everything is rendered.
    snr_db : tuple of float
        Lowest and highest signal-to-noise ratio in dB, drawn uniformly for each noise on its own.
    peak_db : tuple of float
        Lowest and highest peak of the mixture in dB re full scale, -100 to 0, drawn uniformly.
    noise_types : int or tuple of str
        How many types of noise, or their names.
    noise_files : int
        Recordings of each type.
    n_rooms : int
        Rooms to draw; 0 is free field.
    shares : tuple of float
        Shares of the clips for training, validation and test; their sum is 1.
    keep_audio : bool
        Whether the mixtures are stored beside their cues.
    scenes_per_shard : int
        Scenes in one file of the database.
    only : tuple of str
        The splits whose scenes are built. Who and what is in which split, and every scene, is the same
        whichever are built.
    n_realizations : int
        How often each clip for training is heard from each azimuth, each time amid other noises.
    train_noise_types, test_noise_types : tuple of str
        Types of noise heard in training and validation, and those heard in the test; all if empty. They
        change nothing about which recordings are for training and which for the test.
    head_splits : dict of str to str
        The split of each head, by name; drawn if empty.
    diffuse_noise : bool
        Whether the noises come from all around instead of from two directions. It changes nothing else about
        a scene.
    speech_speed : tuple of float
        Slowest and fastest speed at which speech for training is played, from 0.8 to 1.25, drawn uniformly
        for each scene. Pitch and formants go with it, so that one talker becomes several (speed perturbation,
        Ko, Peddinti, Povey & Khudanpur 2015, Interspeech, 3586-3589). A clip whose middle is silent keeps its
        speed where it would be slowed down to that.
    median_plane : int
        How many times as often as from elsewhere each clip for training is heard from 0 and 180 degrees, each
        time amid other noises and at a speed of its own. Where both ears of a head are alike, only the
        spectrum tells these two apart, which takes more to learn than all else.

    Raises
    ------
    ValueError
        If a value lies outside what it can be, or is of another type; the message names the field.

    Examples
    --------
    >>> recipe = Recipe(n_clips=10, snr_db=(15.0, 40.0))
    >>> recipe.n_samples, recipe.shares
    (16000, (0.7, 0.15, 0.15))
    >>> Recipe.from_dict(recipe.to_dict()) == recipe
    True
    """

    n_clips: int = 700
    seed: int = 0
    duration: float = 1.0
    format: CueFormat = field(default_factory=CueFormat.default)
    snr_db: tuple[float, float] = (0.0, 30.0)
    peak_db: tuple[float, float] = (-21.0, -1.0)
    noise_types: int | tuple[str, ...] = 10
    noise_files: int = 20
    n_rooms: int = 0
    shares: tuple[float, float, float] = (0.7, 0.15, 0.15)
    keep_audio: bool = False
    scenes_per_shard: int = 720
    only: tuple[str, ...] = SPLITS
    n_realizations: int = 1
    train_noise_types: tuple[str, ...] = ()
    test_noise_types: tuple[str, ...] = ()
    head_splits: dict[str, str] = field(default_factory=dict, hash=False)
    diffuse_noise: bool = False
    speech_speed: tuple[float, float] = (1.0, 1.0)
    median_plane: int = 1

    def __post_init__(self) -> None:
        for name in ("snr_db", "peak_db", "shares", "speech_speed"):
            values = getattr(self, name)
            try:
                if isinstance(values, str):  # a digit of it is no number of its own
                    raise TypeError
                object.__setattr__(self, name, tuple(float(value) for value in values))
            except (TypeError, ValueError):
                raise ValueError(f"{name} is {values!r}: expected numbers") from None
        self._check_names()
        for name in ("keep_audio", "diffuse_noise"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is {getattr(self, name)!r}: expected True or False")
        if not isinstance(self.format, CueFormat):
            raise ValueError(f"format is {self.format!r}: expected a CueFormat")
        for name, least in (
            ("n_clips", 1),
            ("seed", 0),
            ("noise_files", 1),
            ("n_rooms", 0),
            ("scenes_per_shard", 1),
            ("n_realizations", 1),
            ("median_plane", 1),
        ):
            value = getattr(self, name)
            if not _is_whole(value) or value < least:
                raise ValueError(f"{name} is {value!r}: expected a whole number of {least} or more")
        if self.noise_types in (0, ()) or (isinstance(self.noise_types, int) and self.noise_types < 0):
            raise ValueError(f"noise_types is {self.noise_types!r}: expected at least one type of noise")
        for name in ("snr_db", "peak_db"):
            low, high = _pair(name, getattr(self, name))
            if not (np.isfinite([low, high]).all() and low <= high):
                raise ValueError(
                    f"{name} is {low} to {high} dB: expected two finite levels, the lower one first"
                )
        if max(map(abs, self.snr_db)) > MAX_SNR_DB:
            raise ValueError(f"snr_db is {self.snr_db} dB: expected {MAX_SNR_DB:g} dB at most, either way")
        if self.peak_db[1] > 0:
            raise ValueError(f"peak_db goes up to {self.peak_db[1]} dB: above 0 dB the mixtures would clip")
        if self.peak_db[0] < MIN_PEAK_DB:
            raise ValueError(
                f"peak_db goes down to {self.peak_db[0]} dB: expected {MIN_PEAK_DB:g} dB or more"
            )
        speeds = (SPEEDS[0], *self.speech_speed, SPEEDS[1])
        if len(speeds) != 4 or not all(low <= high for low, high in pairwise(speeds)):
            raise ValueError(
                f"speech_speed is {self.speech_speed}: expected the slowest and the fastest, "
                f"from {SPEEDS[0]} to {SPEEDS[1]}"
            )
        if (
            len(self.shares) != len(SPLITS)
            or not min(self.shares) >= 0
            or not abs(sum(self.shares) - 1) <= 1e-9
        ):
            raise ValueError(f"shares are {self.shares}: expected three, none negative, with the sum 1")
        for name, splits in (("only", self.only), ("head_splits", self.head_splits.values())):
            if not all(split in SPLITS for split in splits) or not self.only:
                raise ValueError(f"{name} is {getattr(self, name)}: expected some of {', '.join(SPLITS)}")
        object.__setattr__(self, "only", tuple(split for split in SPLITS if split in self.only))
        if not (_is_whole(self.duration) or isinstance(self.duration, float)):
            raise ValueError(f"duration is {self.duration!r}: expected seconds")
        if not 0 < self.duration <= MAX_DURATION:
            raise ValueError(
                f"duration is {self.duration!r}: expected seconds, at most the {MAX_DURATION:g} "
                "that are read of a recording"
            )
        if self.n_samples < self.format.frame_shift:
            raise ValueError(
                f"duration is {self.duration} s at {self.format.fs:g} Hz: "
                f"expected at least one frame of {self.format.frame_shift} samples"
            )

    def _check_names(self) -> None:
        """Refuse what is not names where names are expected, and make tuples of lists of them."""
        for name in ("noise_types", "only", "train_noise_types", "test_noise_types"):
            names = getattr(self, name)
            if name == "noise_types" and _is_whole(names):
                continue
            if not isinstance(names, list | tuple) or not all(isinstance(each, str) for each in names):
                expected = "a number or a list of names" if name == "noise_types" else "a list of names"
                raise ValueError(f"{name} is {names!r}: expected {expected}")
            if name != "only" and len(set(names)) < len(names):  # it would be heard more often than others
                raise ValueError(f"{name} is {names!r}: expected each name once")
            object.__setattr__(self, name, tuple(names))
        if not isinstance(self.head_splits, dict):
            raise ValueError(f"head_splits is {self.head_splits!r}: expected the split of each head by name")

    @property
    def n_samples(self) -> int:
        """Samples of one clip."""
        return round(self.duration * self.format.fs)

    def to_dict(self) -> dict[str, Any]:
        """Fields as JSON has them."""
        values, default = _all_fields(self), _all_fields(Recipe())
        return {
            name: value for name, value in values.items() if name not in OPTIONAL or value != default[name]
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Recipe that `to_dict` wrote."""
        return cls(**{**values, "format": CueFormat.from_dict(values["format"])})


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _all_fields(recipe: Recipe) -> dict[str, Any]:
    values = {f.name: getattr(recipe, f.name) for f in fields(recipe)}
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    return values | {"format": recipe.format.to_dict()}


def _pair(name: str, values: tuple[float, ...]) -> tuple[float, float]:
    if len(values) != 2:
        raise ValueError(f"{name} is {values}: expected two levels in dB, the lowest and the highest")
    return values[0], values[1]


def differences(given: Recipe, stored: Recipe) -> list[str]:
    """Where two recipes part, one line for each field.

    Examples
    --------
    >>> differences(Recipe(seed=1), Recipe(seed=0))
    ['seed: 1 given, 0 in the folder']
    """
    ours, theirs = _all_fields(given), _all_fields(stored)
    ours, theirs = ({**values, **values["format"]} for values in (ours, theirs))
    return [
        f"{name}: {ours[name]} given, {theirs[name]} in the folder"
        for name in ours
        if name != "format" and ours[name] != theirs[name]
    ]


def generator(seed: int, *key: int) -> np.random.Generator:
    """Random numbers that depend on the seed and the key alone.

    Parameters
    ----------
    seed : int
        The recipe's.
    *key : int
        What is drawn. A scene has one or two numbers (`scenes.draw_scene`); everything else has three.

    Examples
    --------
    >>> bool(generator(0, 5).random() == generator(0, 5).random() != generator(0, 6).random())
    True
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
