"""Trained models on disk: the folder of a run.

    runs/kemar/
        config.json               model, cue format, training, and where the data came from
        checkpoints/best.ckpt     the weights with the best accuracy on the validation split
        checkpoints/last.ckpt     where training stands: weights, optimizer, schedule
        metrics.csv               one row for each epoch
        tensorboard/              the same, and the learning rate, for TensorBoard

The folder rebuilds its model by itself: neither the database nor the training code is needed.

- `Run`, `load_run`: a trained model with what belongs to it
- `predict`: the probabilities that a model gives to each clip of a dataset
- `read_config`: config.json
- `read_checkpoint`: weights, and nothing that could run
"""

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from binaural_feature import CueFormat
from localization.models import build_model, read_model_config

if TYPE_CHECKING:  # whoever only localizes needs no HDF5
    from localization.dataset import CueDataset

CONFIG, BEST, LAST = "config.json", "checkpoints/best.ckpt", "checkpoints/last.ckpt"
VERSION = 1
PREFIX = "model."  # of the model's weights among all that a checkpoint holds


class Run(NamedTuple):
    """A trained model with what belongs to it.

    Attributes
    ----------
    folder : Path
    model : Module
        In evaluation mode, on the CPU.
    format : CueFormat
        Of the maps that the model takes.
    duration : float
        Of the clips that it was trained on, in seconds.
    config : dict
        All of config.json.
    """

    folder: Path
    model: nn.Module
    format: CueFormat
    duration: float
    config: dict[str, Any]


def load_run(folder: str | Path) -> Run:
    """Rebuild a trained model from its run's folder.

    Parameters
    ----------
    folder : path
        As `training.train` wrote it.

    Returns
    -------
    Run

    Raises
    ------
    OSError
        If the folder or one of its files is missing.
    ValueError
        If one of its files is damaged, or they do not belong together.

    Examples
    --------
    >>> run = load_run("runs/kemar")                  # doctest: +SKIP
    >>> run.format.fs, run.duration                   # doctest: +SKIP
    (16000.0, 1.0)
    """
    folder = Path(folder)
    config = read_config(folder)
    try:
        model = build_model(read_model_config(config["model"]))
        cue_format = CueFormat.from_dict(config["cue_format"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder / CONFIG}: damaged, {error}") from None
    weights = read_checkpoint(folder / BEST).get("state_dict", {})
    weights = {key.removeprefix(PREFIX): value for key, value in weights.items() if key.startswith(PREFIX)}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{folder / BEST}: does not fit the model in {CONFIG}: {error}") from None
    return Run(folder, model.eval(), cue_format, config["duration"], config)


def predict(model: nn.Module, dataset: "CueDataset", batch_size: int = 256) -> NDArray[np.float32]:
    """Probabilities that a model gives to the azimuth classes of each clip.

    Parameters
    ----------
    model : Module
        From a `Run`; it is left in evaluation mode.
    dataset : CueDataset
        Of the model's cue format.
    batch_size : int
        Clips at a time.

    Returns
    -------
    ndarray float32 (n_clips, n_classes)
        In the dataset's order; each row sums to 1.
    """
    model.eval()
    device = next(model.parameters()).device
    rows = []
    with torch.inference_mode():
        for start in range(0, len(dataset), batch_size):
            cues, _ = dataset.__getitems__(range(start, min(start + batch_size, len(dataset))))
            rows.append(model(cues.to(device)).float().softmax(dim=-1).cpu())
    return torch.cat(rows).numpy()


def read_config(folder: str | Path) -> dict[str, Any]:
    """Read a run's config.json.

    Parameters
    ----------
    folder : path
        The run's folder.

    Returns
    -------
    dict
        With at least `model`, `cue_format` and `duration`.

    Raises
    ------
    OSError
        If there is none.
    ValueError
        If it is damaged or of another version.
    """
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise FileNotFoundError(f"{folder}: no run is there, {CONFIG} is missing")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: damaged, not JSON: {error}") from None
    missing = {"version", "model", "cue_format", "duration"} - set(config if isinstance(config, dict) else ())
    if missing:
        raise ValueError(f"{path}: damaged, has no {', '.join(sorted(missing))}")
    if config["version"] != VERSION:
        raise ValueError(f"{path}: written in version {config['version']}, expected {VERSION}")
    return config


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU: tensors and plain types, and no code.

    Parameters
    ----------
    path : path
        A file that `training` wrote.

    Returns
    -------
    dict

    Raises
    ------
    OSError
        If the file is missing.
    ValueError
        If it is damaged, or holds more than tensors and plain types.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: missing; the run has not finished an epoch, or was not copied whole"
        )
    content = io.BytesIO(path.read_bytes())
    try:
        with zipfile.ZipFile(content) as archive:
            damage = archive.testzip()  # torch compares no checksums
        if damage is not None:
            raise ValueError(f"{path}: damaged, the checksum of {damage} differs")
        content.seek(0)
        checkpoint = torch.load(content, map_location="cpu", weights_only=True)
    except (zipfile.BadZipFile, pickle.UnpicklingError, RuntimeError, EOFError, KeyError) as error:
        raise ValueError(f"{path}: damaged, or holds more than tensors and plain types") from error
    if not isinstance(checkpoint, dict):
        raise ValueError(f"{path}: no checkpoint, holds {type(checkpoint).__name__}")
    return checkpoint
