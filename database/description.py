"""What a database holds, in words.

- `description`: a few lines of text
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from database.plan import Plan
from database.recipe import SPLITS
from database.store import Database, read_manifest


def description(database: Database) -> str:
    """Counts, sources, levels, heads, rooms, format and size of a database.

    Parameters
    ----------
    database : Database
        Opened for reading.

    Returns
    -------
    str
        One line for each of them.

    Raises
    ------
    OSError
        If a shard is damaged.
    """
    plan, columns, cue_format = Plan.from_dict(database.plan), database.columns, database.format
    rows = read_manifest(database.folder)
    splits = columns["split"]
    n_bytes = sum(row["bytes"] for row in rows)
    lines = {
        "scenes": f"{len(database)} of {database.duration:g} s: "
        + _by_split(lambda split: np.sum(splits == split)),
        "speakers": f"{plan.sources['speech']}, "
        + _by_split(lambda split: len(np.unique(columns["speaker"][splits == split])))
        + _speeds(plan),
        "noise": f"{plan.sources['noise']}, types: {_listed(columns['noise_type'])}"
        + (", from all around" if plan.recipe.diffuse_noise else ""),
        "recordings": "of noise, " + _by_split(lambda split: _n_noises(database, splits == split)),
        "SNR": f"{_range(columns['snr_db_1'], columns['snr_db_2'])} dB for each noise, "
        f"{_range(columns['snr_db'])} dB for both together",
        "heads": _listed(columns["head"]) + _corrected(plan) + _incomplete(plan),
        "rooms": _rooms(plan),
        "format": f"{cue_format.n_bands} bands from {cue_format.cfs[0]:.0f} to {cue_format.cfs[-1]:.0f} Hz, "
        f"{cue_format.filter_type}, {cue_format.model_type}, {cue_format.frame_rate:g} frames/s, "
        f"fs {cue_format.fs:g} Hz",
        "seed": str(plan.recipe.seed),
        "size": f"{n_bytes / 1e6:.1f} MB in {len(rows)} shards",
        "audio": "kept" if database.has_audio else "not kept",
    }
    return "\n".join([str(database.folder), *(f"  {name:11}{text}" for name, text in lines.items())])


def _by_split(count: Callable[[str], int]) -> str:
    return ", ".join(f"{count(split)} {split}" for split in SPLITS)


def _n_noises(database: Database, chosen: NDArray[np.bool]) -> int:
    """How many noise recordings are heard in the clips chosen."""
    files = [database.columns[name][chosen] for name in ("noise_file_1", "noise_file_2")]
    return len(np.unique(np.concatenate(files)))


def _listed(names: NDArray[np.str_]) -> str:
    return ", ".join(np.unique(names))


def _corrected(plan: Plan) -> str:
    heads = defaultdict(list)
    for name, corrections in plan.corrections.items():
        heads[", ".join(corrections)].append(name)
    return "".join(
        f"; {what}: {'all' if len(names) == len(plan.heads) else ', '.join(names)}"
        for what, names in heads.items()
    )


def _incomplete(plan: Plan) -> str:
    heads = [f"{name} has {len(classes)}" for name, classes in plan.azimuths.items()]
    return f"; of the 72 azimuths {', '.join(heads)}" if heads else ""


def _range(*levels: NDArray[np.floating]) -> str:
    return f"{np.min(levels):.1f} to {np.max(levels):.1f}"


def _speeds(plan: Plan) -> str:
    slowest, fastest = plan.recipe.speech_speed
    return "" if slowest == fastest == 1 else f"; in training at {slowest:g} to {fastest:g} times their speed"


def _rooms(plan: Plan) -> str:
    if not plan.rooms:
        return "none, free field"
    times = np.array([room.rt60 for room in plan.rooms])
    return f"{len(times)}, reverberation times from {times.min():.2f} to {times.max():.2f} s"
