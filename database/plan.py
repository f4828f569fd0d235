"""The plan of a database: everything in it that is drawn once, as `plan.json` keeps it.

These are the clips of speech, the noise recordings, the rooms and the splits, all from one seed, and with
them the checksums of every source.

- `Plan`: everything drawn once
- `draw_plan`: a plan from a recipe and its sources
- `head_checksums`: what tells one head's responses from another's
"""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from database.diffuse_field import all_round
from database.hrtf import AZIMUTHS, FEWEST, Head
from database.machine import versions
from database.on_error import STOP, OnError
from database.recipe import SPLITS, Recipe, generator
from database.rooms import Room, draw_room
from database.sources import Recording, Segment, Source, choose_noises, draw_segments, loud_starts
from database.splits import draw_all_splits

N_AZIMUTHS = len(AZIMUTHS)
MEDIAN_PLANE = tuple(np.flatnonzero(AZIMUTHS % 180 == 0))

# Keys of what is drawn once. A scene's key is one or two numbers, so that none of these can be a scene's.
SEGMENTS_KEY, NOISES_KEY, SPLITS_KEY, ROOMS_KEY = ((0, 0, number) for number in range(4))


@dataclass(frozen=True)
class Plan:
    """Everything about a database that is drawn once, in types that JSON has.

    Attributes
    ----------
    recipe : Recipe
        What was asked for.
    sources : dict of str to str
        What kind of "speech" and "noise" was used.
    segments : tuple of Segment
        Speech of each clip.
    noises : tuple of Recording
        The noise recordings.
    heads : tuple of str
        Names of the heads.
    rooms : tuple of Room
        The rooms; none in free field.
    splits : dict
        "speech" and "noise": origin to split; "head": name to split; "room": number to split. Heads and rooms
        are in all splits, and their tables empty, where there are fewer than three.
    checksums : dict
        "speech" and "noise": file to sha256; "head": name to sha256 of its responses.
    versions : dict of str to str
        Software and instruction set: where they differ, the last bit of a cue may.
    azimuths : dict of str to list of int
        Classes that a head has, for heads that do not have all 72.
    corrections : dict of str to list of str
        What was changed in a head's responses after they were measured, for heads where something was.
    """

    recipe: Recipe
    sources: dict[str, str]
    segments: tuple[Segment, ...]
    noises: tuple[Recording, ...]
    heads: tuple[str, ...]
    rooms: tuple[Room, ...]
    splits: dict[str, dict[str, str]]
    checksums: dict[str, dict[str, str]]
    versions: dict[str, str]
    azimuths: dict[str, list[int]] = field(default_factory=dict)
    corrections: dict[str, list[str]] = field(default_factory=dict)

    @property
    def n_scenes(self) -> int:
        """How many are built."""
        return int(self._first_scenes[-1])

    def split_of(self, clip: int) -> str:
        """The split of a clip of speech, which is its speaker's."""
        return self.splits["speech"][self.segments[clip].origin]

    def scene_key(self, index: int) -> tuple[int, int]:
        """Number, 72 times the clip plus the class, and realization of a scene that is built."""
        clip = int(np.searchsorted(self._first_scenes, index, side="right")) - 1
        split = self.split_of(clip)
        azimuth_class, realization = self._heard[split][index - int(self._first_scenes[clip])]
        return clip * N_AZIMUTHS + azimuth_class, realization

    @cached_property
    def _first_scenes(self) -> NDArray[np.int64]:
        """Index of each clip's first scene, and of the one after the last: (n_clips + 1,)."""
        of_clips = [len(self._heard[self.split_of(clip)]) for clip in range(len(self.segments))]
        return np.cumsum([0, *of_clips])

    @cached_property
    def _heard(self) -> dict[str, list[tuple[int, int]]]:
        """Azimuth class and realization of the scenes of each clip, for each split."""
        return {
            split: [
                (k, realization)
                for k in range(N_AZIMUTHS)
                if split in self.recipe.only and self.heads_with(split, k)
                for realization in range(self._n_times(split, k))
            ]
            for split in SPLITS
        }

    def _n_times(self, split: str, azimuth_class: int) -> int:
        if split != "train":
            return 1
        return self.recipe.n_realizations * (self.recipe.median_plane if azimuth_class in MEDIAN_PLANE else 1)

    @property
    def n_shards(self) -> int:
        """Files that the scenes fill; the last one may be shorter."""
        return -(-self.n_scenes // self.recipe.scenes_per_shard)

    def shard_scenes(self, number: int) -> range:
        """Indices of the scenes in one shard."""
        size = self.recipe.scenes_per_shard
        return range(number * size, min((number + 1) * size, self.n_scenes))

    @cached_property
    def noises_of(self) -> dict[str, dict[str, list[int]]]:
        """Split to type of noise to the numbers of its recordings in `noises`."""
        numbers: dict[str, dict[str, list[int]]] = {split: defaultdict(list) for split in SPLITS}
        for number, noise in enumerate(self.noises):
            numbers[self.splits["noise"][noise.origin]][noise.label].append(number)
        return {split: dict(types) for split, types in numbers.items()}

    def members(self, kind: str, split: str) -> list[int]:
        """Numbers of the heads ("head") or rooms ("room") that a split may use."""
        names = self.heads if kind == "head" else tuple(map(str, range(len(self.rooms))))
        table = self.splits[kind]
        return [number for number, name in enumerate(names) if table.get(name, split) == split]

    def classes_of(self, head: int) -> Sequence[int]:
        """Azimuth classes that a head has."""
        return self.azimuths.get(self.heads[head], range(N_AZIMUTHS))

    def heads_with(self, split: str, azimuth_class: int) -> list[int]:
        """Numbers of the heads of a split that have an azimuth."""
        return [head for head in self.members("head", split) if azimuth_class in self.classes_of(head)]

    def to_dict(self) -> dict[str, Any]:
        """Plan as JSON has it."""
        values = asdict(self)
        for name in ("azimuths", "corrections"):  # as plans were before there were any
            if not values[name]:
                del values[name]
        return values | {
            "n_shards": self.n_shards,
            "recipe": self.recipe.to_dict(),
            "segments": [segment._asdict() for segment in self.segments],
            "noises": [noise._asdict() for noise in self.noises],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Plan:
        """Plan that `to_dict` wrote; ValueError if it is none of this version."""
        try:
            return cls(
                **{
                    **{name: value for name, value in values.items() if name != "n_shards"},
                    "recipe": Recipe.from_dict(values["recipe"]),
                    "segments": tuple(Segment(**segment) for segment in values["segments"]),
                    "noises": tuple(Recording(**noise) for noise in values["noises"]),
                    "heads": tuple(values["heads"]),
                    "rooms": tuple(Room(**room) for room in values["rooms"]),
                }
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"plan.json: written by another version of this software, {error}") from None


def draw_plan(
    recipe: Recipe, speech: Source, noise: Source, heads: Sequence[Head], on_error: OnError = STOP
) -> Plan:
    """Draw everything that is drawn once, and read every recording in it, so that a bad one is refused now.

    Clipped recordings can be used, and are named in a warning.

    Parameters
    ----------
    recipe : Recipe
        What is asked for.
    speech, noise : Source
        Where the recordings come from.
    heads : sequence of Head
        One or more, with different names.
    on_error : OnError
        What becomes of a recording that cannot be used. Where none is left out it makes no difference.

    Returns
    -------
    Plan

    Raises
    ------
    ValueError
        If the sources have too few speakers or recordings for the splits, or two heads one name.
    OSError
        If a recording cannot be read.
    """
    checksums = {"head": head_checksums(heads)}
    fs, seed = recipe.format.fs, recipe.seed
    segments = draw_segments(
        speech, recipe.n_clips, fs, recipe.duration, generator(seed, *SEGMENTS_KEY), on_error
    )
    noises = _draw_noises(recipe, noise, on_error)
    room_rng = generator(seed, *ROOMS_KEY)
    rooms = [draw_room(room_rng) for _ in range(recipe.n_rooms)]
    spoken = {recording.file: recording for recording in speech.recordings}
    used = {"speech": [spoken[file] for file in sorted({s.file for s in segments})], "noise": noises}
    for what, source in (("speech", speech), ("noise", noise)):
        checksums[what] = {recording.file: source.checksum(recording) for recording in used[what]}
        _warn_of_clipping(what, source, used[what])
    rng = generator(seed, *SPLITS_KEY)
    plan = Plan(
        recipe=recipe,
        sources={"speech": speech.kind, "noise": noise.kind},
        segments=tuple(segments),
        noises=tuple(noises),
        heads=tuple(head.name for head in heads),
        rooms=tuple(rooms),
        splits=draw_all_splits(recipe, segments, noises, list(checksums["head"]), rng),
        checksums=checksums,
        versions=versions(),
        azimuths=_azimuths_of_incomplete(heads, recipe.n_rooms),
        corrections={head.name: list(head.corrections) for head in heads if head.corrections},
    )
    if not plan.n_scenes:
        raise ValueError(f"only is {recipe.only}: no clip is for that, the shares are {recipe.shares}")
    return plan


def _draw_noises(recipe: Recipe, source: Source, on_error: OnError) -> list[Recording]:
    """The noise recordings, each of which was read: damaged, silent and short ones are errors, by name."""

    def is_usable(noise: Recording) -> bool:
        try:
            signal = source.read(noise, recipe.format.fs)
        except (ValueError, OSError) as error:
            on_error("noise", noise.file, error)
            return False
        try:
            loud_starts(signal, recipe.format.fs, recipe.duration)
        except ValueError as error:
            on_error("noise", noise.file, ValueError(f"{noise.file}: {error}"))
            return False
        return True

    rng = generator(recipe.seed, *NOISES_KEY)
    try:
        return choose_noises(source, recipe.noise_types, recipe.noise_files, rng, is_usable)
    except ValueError as error:
        raise ValueError(f"{error}{on_error.left_out('noise')}") from error


def _azimuths_of_incomplete(heads: Sequence[Head], n_rooms: int) -> dict[str, list[int]]:
    """The table `Plan.azimuths`; ValueError where they are too few, or for rooms too far apart."""
    table = {}
    for head in heads:
        classes = [k for k, azimuth in enumerate(AZIMUTHS) if head.has(azimuth)]
        if len(classes) == N_AZIMUTHS:
            continue
        if len(classes) < FEWEST:
            raise ValueError(
                f"head {head.name}: has {len(classes)} of the 72 azimuths, expected {FEWEST} or more"
            )
        if n_rooms:
            all_round(head)  # which says now what cannot be filled, and not in the middle of the build
        table[head.name] = classes
    return table


def _warn_of_clipping(what: str, source: Source, recordings: Sequence[Recording]) -> None:
    """Name the clipped recordings, the first five."""
    clipped = [recording.file for recording in recordings if source.is_clipped(recording)]
    if clipped:
        names = ", ".join(clipped[:5]) + (", ..." if len(clipped) > 5 else "")
        warnings.warn(
            f"{len(clipped)} of {len(recordings)} {what} recordings are clipped: {names}", stacklevel=3
        )


def head_checksums(heads: Sequence[Head]) -> dict[str, str]:
    """Checksum of each head's responses, under its name; ValueError where two share one name."""
    twice = [name for name, count in Counter(head.name for head in heads).items() if count > 1]
    if twice:
        raise ValueError(f"two heads are called {twice[0]}: expected heads of different names")
    return {
        head.name: hashlib.sha256(
            repr(head.fs).encode() + head.azimuths.tobytes() + np.ascontiguousarray(head.responses).tobytes()
        ).hexdigest()
        for head in heads
    }
