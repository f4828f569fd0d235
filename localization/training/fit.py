"""From a database to a trained model.

- `train`: fill a run's folder
"""

import logging
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor

from database.store import Database
from localization.dataset import CueDataset, load_batches
from localization.models import CNNConfig, build_model
from localization.runs import BEST, LAST, read_checkpoint
from localization.training.callbacks import AtomicCheckpoints, EpochReport, EpochStart
from localization.training.folder import claim_folder, run_config
from localization.training.learner import Learner, TrainingConfig

# Clips, evenly spaced over the training set, from which the normalisation is measured.
N_FOR_STATISTICS = 2048

logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # its advertisements are of level INFO


def train(
    database: str | Path,
    out: str | Path,
    config: TrainingConfig | None = None,
    model_config: Any = None,
    *,
    resume: bool = False,
    accelerator: str = "auto",
    devices: str | int = "auto",
    num_nodes: int = 1,
    strategy: str = "auto",
    n_workers: int = 1,
    progress: bool = True,
) -> Path:
    """Train a model on a database's training split, judged after each epoch on its validation split.

    Parameters
    ----------
    database : path
        The database's folder.
    out : path
        Folder of the run.
    config : TrainingConfig, optional
        What decides the result; the defaults if left out.
    model_config : CNNConfig or another model's, optional
        The network; the default CNN for the database's bands if left out.
    resume : bool
        Go on from the last finished epoch of the run in `out`, if there is one.
    accelerator, devices, num_nodes, strategy
        Lightning's: "cpu" or "gpu", how many in each machine, how many machines, and how they work together.
    n_workers : int
        Processes that read the database ahead; 0 reads between the steps.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Path
        `out`, which `localization.runs.load_run` reads.

    Raises
    ------
    ValueError
        If there is no such accelerator or strategy; if `out` holds another run, or one that is not to be
        resumed; if the database lacks a split.
    OSError
        If a file is missing or cannot be written, or a process that reads the database ahead died.

    Examples
    --------
    >>> train("noisy_hrtf", "runs/kemar", TrainingConfig(epochs=20))    # doctest: +SKIP
    """
    out, config = Path(out), config or TrainingConfig()
    where = {"accelerator": accelerator, "devices": devices, "num_nodes": num_nodes, "strategy": strategy}
    try:
        trainer = _trainer(out, config, progress, where)
    except (MisconfigurationException, ValueError) as error:
        raise ValueError(f"cannot train on {where}: {error}") from None
    with Database(database) as opened:
        training, validation = CueDataset(opened, "train"), CueDataset(opened, "validation")
        model_config = model_config or CNNConfig(n_bands=opened.format.n_bands)
        settings = run_config(opened, model_config, config, torch.get_num_threads())
        if trainer.is_global_zero:
            settings = claim_folder(out, settings, resume)
        torch.set_num_threads(settings["training"]["threads"])
        last = out / LAST if resume and (out / LAST).exists() else None
        torch.manual_seed(config.seed)
        model = build_model(model_config)
        model.normalisation.fit(_evenly(training, N_FOR_STATISTICS))
        batches = load_batches(
            training,
            min(config.batch_size, len(training)),
            seed=config.seed,
            epoch=read_checkpoint(last)["epoch"] + 1 if last else 0,
            n_workers=n_workers,
        )
        judged = load_batches(validation, config.batch_size, n_workers=n_workers)
        _fit(trainer, Learner(model, config), batches, judged, last)
    return out


def _trainer(out: Path, config: TrainingConfig, progress: bool, where: dict[str, Any]) -> Trainer:
    """Lightning's trainer with our checkpoints and reports."""
    on_gpu = where["accelerator"] in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    kept: dict[str, Any] = {
        "dirpath": (out / BEST).parent,
        "save_on_train_epoch_end": True,
        "enable_version_counter": False,
    }
    best = ModelCheckpoint(filename=Path(BEST).stem, monitor="val_top1", mode="max", **kept)
    # A callback of its own: `save_last` writes only in epochs that are the best so far.
    last = ModelCheckpoint(filename=Path(LAST).stem, **kept)
    return Trainer(
        max_epochs=config.epochs,
        precision="16-mixed" if on_gpu else "32-true",
        callbacks=[
            EpochStart(config.seed),
            EpochReport(out, config.epochs, progress),
            LearningRateMonitor("epoch"),
            best,
            last,
        ],
        plugins=[AtomicCheckpoints()],
        logger=TensorBoardLogger(out, name="tensorboard", version=""),
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **where,
    )


def _fit(trainer: Trainer, learner: Learner, training: Any, validation: Any, last: Path | None) -> None:
    """Fit without Lightning's hints; Ctrl-C stays a KeyboardInterrupt."""
    with warnings.catch_warnings():
        # One process that reads ahead is enough, and a resumed run's folder is meant to hold something.
        for hint in (
            "does not have many workers",
            "exists and is not empty",
            "treespec, LeafSpec",
            "logging interval",
        ):
            warnings.filterwarnings("ignore", message=f".*{hint}.*")
        try:
            trainer.fit(learner, training, validation, ckpt_path=last)
        except SystemExit:  # what Lightning makes of Ctrl-C, which it also disables for good
            signal.signal(signal.SIGINT, signal.default_int_handler)
            raise KeyboardInterrupt from None
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise ChildProcessError(f"a process that reads the database ahead died: {error}") from error


def _evenly(dataset: CueDataset, n_clips: int) -> Iterator[Tensor]:
    """The cue maps of `n_clips` clips, evenly spaced over a dataset, a batch at a time."""
    chosen = np.unique(np.linspace(0, len(dataset) - 1, n_clips).round().astype(int))
    for few in np.array_split(chosen, -(-len(chosen) // 256)):
        yield dataset.__getitems__(few)[0]
