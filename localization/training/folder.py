"""What a run's folder says of its training: how it was started, and how it went.

- `run_config`: what config.json holds
- `claim_folder`: a folder for a run, new or to be resumed
- `setting_differences`: in which settings two runs differ
- `resume_point`: the checkpoint from which a run goes on
- `epoch_line`, `write_metrics`: how an epoch went, in a line and in metrics.csv
"""

import json
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from database.exit_status import DamageError
from database.store import remove_leftovers, write_atomically
from localization.checkpoints import read_checkpoint
from localization.dataset import CueDataset
from localization.gradient_norms import GRADIENT_NORMS
from localization.runs import (
    CONFIG,
    LAST,
    PREVIOUS,
    VERSION,
    Run,
    config_digest,
    heard_in_training,
    read_config,
    software,
    weights_digest,
)

METRICS = "metrics.csv"
WRITTEN = (CONFIG, METRICS, GRADIENT_NORMS, f"{Path(LAST).parent}/*.ckpt")
# May differ when a run is resumed: the database's place, what its digest stands for anyhow, versions, and
# what is taken over as it was.
FREE = ("folder", "sources", "software", "threads", "sha256")


def run_config(
    dataset: CueDataset,
    model_config: Any,
    training_config: Any,
    start: Run | None,
    processes: int,
    threads: int,
) -> dict[str, Any]:
    """What config.json holds: all that rebuilds the model, and where the data came from.

    Parameters
    ----------
    dataset : CueDataset
        Trained on.
    model_config, training_config : dataclass
        Of the network and of its training.
    start : Run or None
        The trained model that training goes on from.
    processes : int
        That train together: they share each epoch's steps.
    threads : int
        Of torch: another number gives other last bits.

    Returns
    -------
    dict
        Plain JSON types.
    """
    database = dataset.database
    config = {
        "version": VERSION,
        "model": asdict(model_config),
        "cue_format": database.format.to_dict(),
        "duration": database.duration,
        "start": {}
        if start is None
        else {
            "folder": str(start.path.resolve()),
            "weights": weights_digest(start.model),
            "trained_on": start.config["database"].get("digest"),
            "sources": heard_in_training(start),
        },
        "training": {**asdict(training_config), "threads": threads},
        "processes": processes,
        "database": {
            "folder": str(Path(database.folder).resolve()),
            "n_clips": len(database),
            "digest": database.digest,
            "recipe": database.plan.get("recipe"),
            "sources": dataset.sources(),
        },
        "software": software(),
    }
    config = json.loads(json.dumps(config, default=float))  # numbers of numpy are numbers
    return {**config, "sha256": config_digest(config)}


def claim_folder(out: Path, config: dict[str, Any], resume: bool) -> dict[str, Any]:
    """Take a folder for a run: write config.json into a new one, or see that a run found there is the same.

    Parameters
    ----------
    out : Path
        The run's folder.
    config : dict
        What `run_config` returned.
    resume : bool
        Go on with what is there, if anything is.

    Returns
    -------
    dict
        The configuration that holds: `config`, or that of the run found.

    Raises
    ------
    ValueError
        If a run is there and is not to be resumed, or differs from `config`; the differences are named.
    DamageError
        If the run's config.json is damaged.
    OSError
        If the folder cannot be written.
    """
    if not (out / CONFIG).exists():
        if (out / LAST).parent.exists():
            raise ValueError(f"{out}: holds checkpoints, but no {CONFIG}; give another folder")
        write_atomically(out / CONFIG, (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode())
        return config
    if not resume:
        raise ValueError(f"{out}: holds a run already; go on with it (--resume), or give another folder")
    found = {"processes": 1, "start": {}} | read_config(out)  # which runs begun before did not say
    differences = list(setting_differences(found, config))
    if differences:
        raise ValueError(f"{out}: was started otherwise: {'; '.join(differences)}")
    remove_leftovers(out, WRITTEN)
    return found


def resume_point(out: Path) -> Path | None:
    """The checkpoint from which a run goes on: the last, or the one before it if that is damaged.

    Parameters
    ----------
    out : Path
        The run's folder.

    Returns
    -------
    Path or None
        None if no epoch was finished.

    Raises
    ------
    DamageError
        If all that is there is damaged.
    """
    damages: list[DamageError] = []
    for path in (out / LAST, out / PREVIOUS):
        try:
            read_checkpoint(path)
        except FileNotFoundError:  # killed between the renaming of one and the writing of the next
            continue
        except DamageError as error:
            damages.append(error)
            continue
        if damages:
            warnings.warn(f"{damages[0]}; going on from {path}, the epoch before it", stacklevel=3)
        return path
    if damages:
        found = "; ".join(map(str, damages))
        raise DamageError(f"{found}; nothing to go on from: train anew in another folder") from damages[0]
    return None


def setting_differences(found: dict[str, Any], asked: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Each entry in which two configurations differ, as text, but for those that may.

    Parameters
    ----------
    found, asked : dict
        As in config.json, or an entry of it.
    prefix : str
        What the names of the entries begin with.

    Yields
    ------
    str

    Examples
    --------
    >>> list(setting_differences({"seed": 0, "threads": 1}, {"seed": 1, "threads": 2}))
    ['seed was 0, now 1']
    """
    for key in sorted((found.keys() | asked.keys()) - set(FREE)):
        before, now = found.get(key), asked.get(key)
        if isinstance(before, dict) and isinstance(now, dict):
            yield from setting_differences(before, now, f"{prefix}{key}.")
        elif before != now:
            yield f"{prefix}{key} was {before}, now {now}"


def write_metrics(out: Path, rows: list[dict[str, float]]) -> None:
    """Write metrics.csv, whole: a header, and one row for each epoch."""
    lines = [",".join(rows[0]), *(",".join(f"{value:.6g}" for value in row.values()) for row in rows)]
    write_atomically(out / METRICS, ("\n".join(lines) + "\n").encode())


def epoch_line(row: dict[str, float], epochs: int) -> str:
    """The line that tells how an epoch went.

    Parameters
    ----------
    row : dict
        A row of metrics.csv; accuracies as shares.
    epochs : int
        How many there will be.

    Returns
    -------
    str

    Examples
    --------
    >>> row = {"epoch": 1, "train_loss": 2.5, "train_top1": 0.4, "train_top5": 0.8}
    >>> row |= {"val_loss": 2.0, "val_top1": 0.5, "val_top5": 0.9}
    >>> epoch_line(row, epochs=20)    # doctest: +ELLIPSIS
    'Epoch 1/20: Train Loss=2.5000, Top-1=40.00%, Top-5=80.00% | Evaluation Loss=2.0000, ...'
    """
    train, evaluation = (
        f"Loss={row[f'{stage}_loss']:.4f}, Top-1={row[f'{stage}_top1']:.2%}, Top-5={row[f'{stage}_top5']:.2%}"
        for stage in ("train", "val")
    )
    return f"Epoch {row['epoch']}/{epochs}: Train {train} | Evaluation {evaluation}"
