"""Trained models on disk: the folder of a run.

    runs/kemar/
        config.json                model, cue format, training, and where the data came from
        checkpoints/best.ckpt      the weights that were best on the validation split, in the end calibrated
        checkpoints/last.ckpt      where training stands: weights, optimizer, schedule
        checkpoints/previous.ckpt  where it stood an epoch earlier
        metrics.csv                one row for each epoch
        gradient_norms.csv         how they were spread, if the loss harmonizes them
        tensorboard/               the same, and the learning rate, for TensorBoard

The folder rebuilds its model by itself: neither the database nor the training code is needed.

- `Run`, `load_run`, `described_run`, `described_by`: a trained model with what belongs to it
- `heard_in_training`: who and what a model has heard
- `started_from`: the weights that its training went on from
- `described_in`: the file that says of a model how it was trained
- `software`: the versions that are written down with a model
- `weights_digest`: what tells a model's weights from others
- `log_probabilities`: what a model gives to each clip of a dataset
- `read_config`, `config_digest`: config.json, and the checksum in it
"""

import hashlib
import json
import math
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from binaural_feature import CueFormat
from database.exit_status import DamageError
from database.machine import versions
from database.recipe import Recipe
from localization.checkpoints import read_checkpoint
from localization.models import CueModel, build_model, read_model_config

if TYPE_CHECKING:  # whoever only localizes needs no HDF5
    from localization.dataset import CueDataset

CONFIG = "config.json"
BEST, LAST, PREVIOUS = "checkpoints/best.ckpt", "checkpoints/last.ckpt", "checkpoints/previous.ckpt"
VERSION = 2
PREFIX = "model."  # of the model's weights among all that a checkpoint holds
TEMPERATURE = f"{PREFIX}temperature"
HEARD = ("speakers", "noise recordings", "heads")  # of which `CueDataset.sources` has the names


class Run(NamedTuple):
    """A trained model with what belongs to it.

    Attributes
    ----------
    path : Path
        Of the run's folder, or of the file that it was exported into.
    model : CueModel
        In evaluation mode, on the CPU.
    format : CueFormat
        Of the maps that the model takes.
    duration : float
        Of the clips that it was trained on, in seconds.
    peak_db : tuple of float
        Lowest and highest peak of these clips, in dB re full scale.
    config : dict
        All of config.json, or what the file holds of it.
    """

    path: Path
    model: CueModel
    format: CueFormat
    duration: float
    peak_db: tuple[float, float]
    config: dict[str, Any]

    @property
    def is_finished(self) -> bool:
        """Whether training came to its end, at which the temperature is fitted: until then it is 1."""
        return float(self.model.temperature) != 1


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
    DamageError
        If one of its files is not as it was written.
    ValueError
        If they do not belong together, or are of another version.

    Examples
    --------
    >>> run = load_run("runs/kemar")                  # doctest: +SKIP
    >>> run.format.fs, run.duration                   # doctest: +SKIP
    (16000.0, 1.0)
    """
    folder = Path(folder)
    config = read_config(folder)
    stored = read_checkpoint(folder / BEST)["state_dict"]
    weights = {
        name.removeprefix(PREFIX): value for name, value in stored.items() if str(name).startswith(PREFIX)
    }
    if not described_by(config, weights, folder, CONFIG):
        raise ValueError(f"{folder / BEST}: does not fit the model in {CONFIG}")
    run = described_run(folder, config, CONFIG)
    run.model.load_state_dict(weights)
    return run


def described_run(path: Path, config: dict[str, Any], held_in: str = "") -> Run:
    """The run that a configuration describes, the weights of its model freshly drawn.

    Parameters
    ----------
    path : Path
        Where the run is.
    config : dict
        As in config.json.
    held_in : str
        File within `path` that holds it, for the message.

    Returns
    -------
    Run

    Raises
    ------
    ValueError
        If no model can be built from it.
    """
    try:
        model = build_model(read_model_config(config["model"]))
        cue_format, duration = CueFormat.from_dict(config["cue_format"]), float(config["duration"])
        low, high = (config["database"].get("recipe") or {}).get("peak_db", Recipe.peak_db)
        shortest = 1 / cue_format.frame_rate
        if not (shortest <= duration < math.inf and cue_format.n_bands == model.config.n_bands):
            bands = f"{cue_format.n_bands} bands for a model of {model.config.n_bands}"
            raise ValueError(f"found clips of {duration} s, and {bands}")
        return Run(path, model.eval(), cue_format, duration, (float(low), float(high)), config)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path / held_in}: no model can be built from it, {error}") from None


def described_by(config: dict[str, Any], weights: Mapping[str, Any], path: Path, held_in: str = "") -> bool:
    """Whether weights are those of the model that a configuration describes: their names, shapes and types.

    What a foreign configuration claims takes no memory for that.

    Parameters
    ----------
    weights : mapping of str to Tensor
        As `load_state_dict` takes them.
    config, path, held_in
        As for `described_run`.

    Raises
    ------
    ValueError
        If no model can be built from the configuration.
    """
    with torch.device("meta"):
        described = described_run(path, config, held_in).model.state_dict()
    return _kinds(weights) == _kinds(described)


def _kinds(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Shape and type of each tensor; what is none has neither."""
    return {
        name: (value.shape, value.dtype) if isinstance(value, Tensor) else None
        for name, value in tensors.items()
    }


def heard_in_training(run: Run) -> dict[str, list[str]] | None:
    """Names of what a model has heard in its training, and in that of the model which this went on from.

    Parameters
    ----------
    run : Run

    Returns
    -------
    dict of str to list of str, or None
        As `CueDataset.sources` has them; None if the run does not say all of it: exported files do not.

    Raises
    ------
    ValueError
        If what it says is something else.
    """
    entries = ["database"] if run.config.get("start", {}) == {} else ["database", "start"]
    found = [_sources(run, entry) for entry in entries]
    known = [sources for sources in found if sources is not None]
    if len(known) < len(found):
        return None
    return {kind: sorted(set().union(*(sources[kind] for sources in known))) for kind in HEARD}


def _sources(run: Run, entry: str) -> dict[str, list[str]] | None:
    """What an entry of a run's configuration says that a training split was made of, if it says it."""
    told = run.config[entry]
    sources = told.get("sources") if isinstance(told, dict) else {}
    if sources is None:
        return None
    lists = [sources.get(kind) for kind in HEARD] if isinstance(sources, dict) else [None]
    if not all(isinstance(names, list) and all(isinstance(one, str) for one in names) for names in lists):
        raise ValueError(f"{described_in(run)}: {entry}.sources: lists of {', '.join(HEARD)} expected")
    return sources


def started_from(run: Run) -> str | None:
    """Digest of the weights of the trained model that a run's training went on from; None if it began anew.

    Parameters
    ----------
    run : Run

    Returns
    -------
    str or None
    """
    start = run.config.get("start")
    return str(start.get("weights")) if start and isinstance(start, dict) else None


def described_in(run: Run) -> Path:
    """The file that says of a model how it was trained: a run's config.json, or what it was exported into."""
    return run.path / CONFIG if run.path.is_dir() else run.path


def software() -> dict[str, str]:
    """Versions of what cues and models are computed with, and the instruction set.

    Returns
    -------
    dict of str to str

    Examples
    --------
    >>> {"numpy", "torch", "instructions"} <= set(software())
    True
    """
    return versions() | {name: version(name) for name in ("torch", "lightning")}


def weights_digest(model: nn.Module) -> str:
    """Sha256 of a model's weights and buffers, their names and types, whatever file they came from.

    Parameters
    ----------
    model : Module
        From a `Run`.

    Returns
    -------
    str

    Examples
    --------
    >>> weights_digest(nn.Linear(1, 1)) == weights_digest(nn.Linear(1, 2))
    False
    """
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        array = value.cpu().numpy()
        digest.update(
            f"{name} {array.dtype.str} {array.shape} ".encode() + np.ascontiguousarray(array).tobytes()
        )
    return digest.hexdigest()


def log_probabilities(model: nn.Module, dataset: "CueDataset", batch_size: int = 256) -> NDArray[np.float32]:
    """Natural logarithms of the probabilities that a model gives to the azimuth classes of each clip.

    Probabilities themselves would be 0 where they are too small for single precision.

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
        In the dataset's order.
    """
    model.eval()
    device = next(model.parameters()).device
    with torch.inference_mode():
        return dataset.mapped(
            lambda cues: model(cues.to(device)).float().log_softmax(dim=-1).cpu().numpy(), batch_size
        )


def read_config(folder: str | Path) -> dict[str, Any]:
    """Read a run's config.json.

    Parameters
    ----------
    folder : path
        The run's folder.

    Returns
    -------
    dict
        As training wrote it.

    Raises
    ------
    OSError
        If there is none.
    DamageError
        If it is not as it was written.
    ValueError
        If it is of another version.
    """
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise FileNotFoundError(f"{folder}: no run is there, {CONFIG} is missing")
    try:
        config = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DamageError(f"{path}: damaged, not JSON: {error}") from None
    if not isinstance(config, dict):
        raise DamageError(f"{path}: damaged, holds no configuration")
    if config.get("version") == 1:
        raise ValueError(f"{path}: written in version 1, expected {VERSION}; train it again")
    if config.get("sha256") != config_digest(config):
        raise DamageError(f"{path}: damaged, its checksum differs; it is not as training wrote it")
    if config.get("version") != VERSION:
        raise ValueError(f"{path}: written in version {config.get('version')}, expected {VERSION}")
    return config


def config_digest(config: dict[str, Any]) -> str:
    """Checksum of a configuration, which stands in it as `sha256`: a flipped digit is JSON as well.

    Parameters
    ----------
    config : dict
        Of plain JSON types.

    Returns
    -------
    str
        Sha256 of all other entries.

    Examples
    --------
    >>> config_digest({"a": 1}) == config_digest({"sha256": "", "a": 1}) != config_digest({"a": 2})
    True
    """
    others = {key: value for key, value in config.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()
