"""A database of random cues, written in seconds: as large as a real one to read, and as worthless to learn.

- `write_random_database`: three splits of it
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from database.recipe import SPLITS, Recipe
from database.store import append_manifest, plan_digest, write_plan, write_shard

N_AZIMUTHS = 72


def write_random_database(folder: Path, recipe: Recipe) -> Path:
    """Write a database of the shape that a recipe gives, of noise and with no sound behind it.

    Parameters
    ----------
    folder : Path
        Where it shall be; empty or not there.
    recipe : Recipe
        Only clips, duration, format, shares, seed and scenes in a shard count.

    Returns
    -------
    Path
        `folder`.
    """
    rng = np.random.default_rng(recipe.seed)
    n_scenes = recipe.n_clips * N_AZIMUTHS
    bounds = np.rint(np.cumsum(recipe.shares) * recipe.n_clips)
    splits = np.array(SPLITS)[np.searchsorted(bounds, np.arange(recipe.n_clips), side="right").clip(max=2)]
    n_frames = round(recipe.duration * recipe.format.frame_rate)
    starts = range(0, n_scenes, recipe.scenes_per_shard)
    plan = {"n_shards": len(starts), "recipe": {"seed": recipe.seed}}
    write_plan(folder, plan)
    for number, first in enumerate(starts):
        scenes = np.arange(first, min(first + recipe.scenes_per_shard, n_scenes))
        cues = rng.standard_normal((len(scenes), 4, recipe.format.n_bands, n_frames), dtype=np.float32)
        clips = scenes // N_AZIMUTHS
        columns = {
            "azimuth": 5.0 * (scenes % N_AZIMUTHS),
            "split": splits[clips],
            "speaker": np.char.add("talker-", clips.astype(str)),
            "noise_type": np.array(["rain", "wind"])[clips % 2],
            "noise_file_1": np.full(len(scenes), "rain.wav"),
            "noise_file_2": np.full(len(scenes), "wind.wav"),
            "snr_db": rng.uniform(0, 30, len(scenes)),
            "head": np.full(len(scenes), "none"),
        }
        attributes = {**recipe.format.to_dict(), "duration": recipe.duration}
        append_manifest(folder, write_shard(folder, number, cues, columns, attributes), plan_digest(plan))
    return folder
