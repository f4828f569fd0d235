"""Trained models in one file each: those that come with the package, and any that is exported from a run.

    localization/weights/kemar.safetensors   the weights, and in the header what rebuilds the model
    localization/weights/kemar.md            its model card: data, licences, figures, what it cannot do

Such a file is in the safetensors format: numbers and text, and nothing that could run. The header's metadata
has one entry of ours, JSON with what the run's config.json says of the model, its training, its database and
the model that it went on from (folders, sources and software left out), the version of this layout, and two
checksums: `weights` of the tensors, `sha256` of the rest. The weights are the run's, and so are the
probabilities, bit for bit.

- `shipped_models`: the names of those that come with the package
- `load_model`: a model by such a name, from a file, or from a run's folder
- `export_run`, `read_model`: one file written, and read
"""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors import torch as safetensors

from database.exit_status import DamageError
from localization.checkpoints import read_checkpoint
from localization.runs import LAST, Run, config_digest, described_by, described_run, load_run, weights_digest

WEIGHTS = Path(__file__).parent / "weights"
SUFFIX = ".safetensors"
ENTRY = "binaural-localization"
VERSION = 1
MOST_BYTES, MOST_METADATA = 2**28, 2**16  # of a file that is read at all; the default network takes 2 MB
KEPT = ("model", "cue_format", "duration", "training")
OF_THE_RUN_ALONE = ("folder", "sources")


def shipped_models() -> dict[str, Path]:
    """The models that come with the package: the file of each name.

    Returns
    -------
    dict
        In the order of their names.
    """
    return {path.stem: path for path in sorted(WEIGHTS.glob(f"*{SUFFIX}"))}


def load_model(source: str | Path) -> Run:
    """Load a trained model, wherever it is.

    Parameters
    ----------
    source : str or path
        Text that is the name of a shipped model; a file that `export_run` wrote; or a run's folder. A folder
        that is called as a shipped model is reached by its path: ./kemar.

    Returns
    -------
    Run

    Raises
    ------
    OSError
        If there is no such thing, or a file is missing or cannot be read.
    DamageError
        If a file is not as it was written.
    ValueError
        If it is of another kind or version.
    """
    shipped = shipped_models()
    if isinstance(source, str) and source in shipped:
        return read_model(shipped[source])
    path = Path(source)
    if path.suffix == SUFFIX and path.is_file():
        return read_model(path)
    if not path.is_dir():
        known = f"the shipped models are: {', '.join(shipped)}" if shipped else "no models are shipped"
        raise FileNotFoundError(f"{source}: no run is there, and {known}")
    return load_run(path)


def export_run(folder: str | Path, path: str | Path) -> Run:
    """Write a run's trained model into one file, which `Localizer.load` takes.

    Parameters
    ----------
    folder : path
        The run's.
    path : path
        The file, its name ending in .safetensors; one that is there is replaced.

    Returns
    -------
    Run
        What was written.

    Raises
    ------
    OSError
        If a file of the run is missing, or the file cannot be written.
    ValueError
        If the run is damaged or its training not finished, or the file's name has another ending.
    """
    # Whoever only localizes needs no HDF5.
    from database.store import write_atomically

    path = Path(path)
    if path.suffix != SUFFIX:
        raise ValueError(f"{path}: expected a name that ends in {SUFFIX}")
    run = load_run(folder)
    if not run.is_finished:
        n_epochs = read_checkpoint(run.path / LAST)["epoch"] + 1
        epochs = f"{n_epochs} of {run.config['training']['epochs']} epochs"
        raise ValueError(f"{folder}: training is not finished, {epochs}; go on with --resume")
    config = {"version": VERSION, **{key: run.config[key] for key in KEPT}}
    for entry in ("database", "start"):
        told = run.config.get(entry, {}).items()  # not every training goes on from a trained model
        config[entry] = {key: value for key, value in told if key not in OF_THE_RUN_ALONE}
    config["weights"] = weights_digest(run.model)
    config["sha256"] = config_digest(config)
    tensors = {name: value.contiguous() for name, value in run.model.state_dict().items()}
    write_atomically(path, safetensors.save(tensors, {ENTRY: json.dumps(config)}))
    return run._replace(path=path, config=config)


def read_model(path: str | Path) -> Run:
    """Read a model that `export_run` wrote.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    Run
        Its path is the file, its configuration what the file holds of the run's.

    Raises
    ------
    OSError
        If the file is missing or cannot be read.
    DamageError
        If it is not as it was written.
    ValueError
        If it is of another kind or version.
    """
    path = Path(path)
    if (n_bytes := path.stat().st_size) > MOST_BYTES:
        raise ValueError(f"{path}: no model of ours, {n_bytes} bytes, expected at most {MOST_BYTES}")
    content = path.read_bytes()
    try:
        tensors = safetensors.load(content)
    except (SafetensorError, KeyError) as error:
        raise DamageError(f"{path}: damaged, no safetensors file: {error}") from None
    config = _config(content, path)
    if not described_by(config, tensors, path):
        raise DamageError(f"{path}: damaged, its tensors are not those of the model that it describes")
    run = described_run(path, config)
    run.model.load_state_dict(tensors)
    if weights_digest(run.model) != config.get("weights"):
        raise DamageError(f"{path}: damaged, the checksum of its weights differs")
    return run


def _config(content: bytes, path: Path) -> dict[str, Any]:
    """What the header says of the model, of a file whose header is known to be sound JSON."""
    end = 8 + int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8:end]).get("__metadata__") or {}
    text = metadata.get(ENTRY)
    if text is None:
        raise ValueError(f"{path}: no model of ours, its header has no entry {ENTRY!r}")
    if len(text) > MOST_METADATA:
        raise ValueError(f"{path}: {len(text)} characters describe it, expected at most {MOST_METADATA}")
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamageError(f"{path}: damaged, its metadata is not JSON: {error}") from None
    if not isinstance(config, dict) or config.get("sha256") != config_digest(config):
        raise DamageError(f"{path}: damaged, the checksum of its metadata differs")
    if config.get("version") != VERSION:
        raise ValueError(f"{path}: written in version {config.get('version')}, expected {VERSION}")
    return config
