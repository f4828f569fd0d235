"""The scenes of a database: who is heard from where, how loud, on whose head and in which room.

The scene of number `n` is clip `n // 72` of speech from the azimuth of class `n % 72`, so that each clip is
heard from each of the 72 azimuths. Everything else about it is drawn anew, and follows from the plan and the
number alone; where a plan asks for several realizations of a scene, from the realization as well. A plan may
leave out scenes, which changes nothing about the others.

- `Scene`: who is heard from where
- `draw_scene`: one scene of a plan
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from database.hrtf import AZIMUTHS
from database.plan import N_AZIMUTHS, Plan
from database.recipe import generator


class Scene(NamedTuple):
    """Who is heard from where. Numbers are positions in the plan's tuples."""

    number: int
    clip: int  # of `Plan.segments`
    split: str
    azimuth: float  # degrees
    head: int
    room: int  # -1 in free field
    noises: tuple[int, int]
    noise_azimuths: tuple[float, float]  # degrees; NaN for noise from all around
    noise_positions: tuple[
        float, float
    ]  # in [0, 1), over the starts in a recording at which it is loud enough
    snrs_db: tuple[float, float]
    peak_db: float
    realization: int = 0
    speed: float = 1.0  # at which the speech is played


def draw_scene(plan: Plan, index: int) -> Scene:
    """Draw one scene of those that are built.

    Parameters
    ----------
    plan : Plan
        What the scene is drawn from.
    index : int
        Which scene, from 0 to `plan.n_scenes - 1`.

    Returns
    -------
    Scene
        Two noises of one type from two directions or from all around, from recordings of different origin
        where there are any.
    """
    recipe = plan.recipe
    number, realization = plan.scene_key(index)
    rng = generator(recipe.seed, number, *([realization] if realization else []))
    clip, azimuth_class = divmod(number, N_AZIMUTHS)
    split = plan.split_of(clip)
    types = plan.noises_of[split]
    names = sorted((recipe.test_noise_types if split == "test" else recipe.train_noise_types) or types)
    noises = _draw_two(plan, types[names[rng.integers(len(names))]], rng)
    first, second = AZIMUTHS[rng.choice(N_AZIMUTHS, size=2, replace=False)]
    positions, snrs = rng.random(2), rng.uniform(*recipe.snr_db, size=2)
    peak_db = rng.uniform(*recipe.peak_db)
    heads, rooms = plan.heads_with(split, azimuth_class), plan.members("room", split)
    head = heads[rng.integers(len(heads))]
    room = rooms[rng.integers(len(rooms))] if rooms else -1
    if len(plan.classes_of(head)) < N_AZIMUTHS:  # last, so that this changes nothing for complete heads
        first, second = AZIMUTHS[rng.choice(plan.classes_of(head), size=2, replace=False)]
    if recipe.diffuse_noise:
        first = second = np.nan
    played = split == "train" and recipe.speech_speed != (1.0, 1.0)
    speed = rng.uniform(*recipe.speech_speed) if played else 1.0  # after all else, which it does not change
    return Scene(
        number=number,
        clip=clip,
        split=split,
        azimuth=float(AZIMUTHS[azimuth_class]),
        head=head,
        room=room,
        noises=noises,
        noise_azimuths=(float(first), float(second)),
        noise_positions=(float(positions[0]), float(positions[1])),
        snrs_db=(float(snrs[0]), float(snrs[1])),
        peak_db=float(peak_db),
        realization=realization,
        speed=float(speed),
    )


def _draw_two(plan: Plan, numbers: Sequence[int], rng: np.random.Generator) -> tuple[int, int]:
    """Two recordings of different origin, or of different files, or else the same one twice."""
    first = numbers[int(rng.integers(len(numbers)))]
    others = [number for number in numbers if plan.noises[number].origin != plan.noises[first].origin]
    others = others or [number for number in numbers if number != first] or [first]
    return first, others[int(rng.integers(len(others)))]
