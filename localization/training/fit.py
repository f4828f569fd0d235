"""From a database to a trained model.

- `train`: fill a run's folder
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor

from database.exit_status import DamageError
from database.interrupts import Terminated, signals_held
from database.lock import locked
from database.store import Database
from localization.checkpoints import read_checkpoint
from localization.dataset import CueDataset, check_format, load_batches
from localization.device import knows_bfloat16
from localization.models import MODELS, ModelConfig, build_model, read_model_config
from localization.runs import Run
from localization.shipped import load_model, shipped_models
from localization.training.calibrate import calibrate
from localization.training.callbacks import (
    AtomicCheckpoints,
    Checkpoints,
    EndOnSignal,
    EpochReport,
    EpochStart,
)
from localization.training.folder import claim_folder, resume_point, run_config
from localization.training.gradient_norms import GradientNormReport
from localization.training.learner import Learner, TrainingConfig

# Clips, evenly spaced over the training set, from which the normalisation is measured.
N_FOR_STATISTICS = 2048

logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # its advertisements are of level INFO


def train(
    database: str | Path,
    out: str | Path,
    config: TrainingConfig | None = None,
    model: ModelConfig | str | Path = "cnn",
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
    model : ModelConfig, str or path
        The network's configuration; or its name in `localization.models.MODELS`, for the default one. Or a
        trained model, from whose weights and normalisation training goes on, as `shipped.load_model` takes
        it: a run's folder, a file exported from one, or the name of one that comes with the package. How it
        was trained is not taken over, mirroring among it; `config` says all. It is needed to resume as well.
    resume : bool
        Go on from the last finished epoch of the run in `out`, if there is one.
    accelerator, devices, num_nodes, strategy
        Lightning's: "cpu" or "gpu", how many in each machine, how many machines, and how they work together.
        How many processes that makes in all decides the result as well, since each takes a batch for every
        step; a run is resumed with as many.
    n_workers : int
        Processes that read the database ahead; 0 reads between the steps.
    progress : bool
        Show a progress bar, and say in the end where the run is.

    Returns
    -------
    Path
        `out`, which `localization.runs.load_run` reads.

    Raises
    ------
    ValueError
        If there is no such model, accelerator or strategy, or none of them has the precision; if a trained
        model is not finished, or takes other cues than the database has; if `out` holds another run, or one
        that is not to be resumed; if the database lacks a split; if the loss is no number any more.
    DamageError
        If the database is damaged, or the trained model, or the run to be resumed. Where only its last
        checkpoint is, training says so in a warning and goes on from the one before it.
    OSError
        If a file is missing or cannot be written, if another process trains in `out` (BlockingIOError), or if
        one that reads the database ahead died.

    Examples
    --------
    >>> train("noisy_hrtf", "runs/kemar", TrainingConfig(epochs=20))    # doctest: +SKIP
    >>> gently = TrainingConfig(epochs=3, learning_rate=1e-3, mirror=0.5)
    >>> train("my_head", "runs/my_head", gently, "any-head")            # doctest: +SKIP
    """
    if n_workers < 0:
        raise ValueError(f"n_workers: 0 or more expected, found {n_workers}")
    out, config = Path(out), _with_precision(config or TrainingConfig(), accelerator)
    where = {"accelerator": accelerator, "devices": devices, "num_nodes": num_nodes, "strategy": strategy}
    trainer = _trainer(out, config, progress, where)
    alone = locked(out, "train") if trainer.is_global_zero else nullcontext()
    with Database(database) as opened, alone, _threads_kept():
        training, validation = CueDataset(opened, "train"), CueDataset(opened, "validation")
        if config.imbalance > 1:
            training = training.thinned(config.imbalance, np.random.default_rng(config.seed))
        start = _trained(model, opened)
        model_config = _model_config(model, start, config, opened)
        settings = run_config(
            training, model_config, config, start, trainer.world_size, torch.get_num_threads()
        )
        if trainer.is_global_zero:
            settings = claim_folder(out, settings, resume)
        torch.set_num_threads(settings["training"]["threads"])
        last = resume_point(out) if resume else None
        torch.manual_seed(config.seed)
        network = build_model(model_config)
        if start is None:
            network.cfs.copy_(torch.tensor(opened.format.cfs))
            network.normalisation.fit(_evenly(training, N_FOR_STATISTICS))
        else:
            network.load_state_dict(start.model.state_dict())
            network.temperature.fill_(1)
        batches = load_batches(
            training,
            min(config.batch_size, -(-len(training) // trainer.world_size)),
            seed=config.seed,
            epoch=read_checkpoint(last)["epoch"] + 1 if last else 0,
            n_workers=n_workers,
        )
        judged = load_batches(validation, config.batch_size, n_workers=n_workers)
        _fit(trainer, Learner(network, config, opened.format), batches, judged, last)
        if trainer.is_global_zero:
            calibrate(out, validation, trainer.strategy.root_device)
            if progress:
                print(f"run: {out}")  # noqa: T201 - as the epochs are told
    return out


def _trained(model: ModelConfig | str | Path, database: Database) -> Run | None:
    """The trained model from which training goes on, if one is given and takes the database's cues."""
    if isinstance(model, ModelConfig) or model in MODELS:
        return None
    if model not in shipped_models() and not Path(model).exists():
        raise ValueError(
            f"model: found {model}, expected a network, one of {', '.join(MODELS)}, or a trained model, "
            f"one of {', '.join(shipped_models())}, a run's folder or a file exported from one"
        )
    run = load_model(model)
    if not run.is_finished:
        raise ValueError(f"model: the training of {model} is not finished; go on with it there (--resume)")
    check_format(database, run.format, f"the model in {model}")
    return run


def _model_config(
    model: ModelConfig | str | Path, start: Run | None, config: TrainingConfig, database: Database
) -> ModelConfig:
    """That of the trained model, of the network named, or the one given, if it fits the database."""
    mirror, n_bands = bool(config.mirror > 0), database.format.n_bands
    if start is not None:
        return replace(start.model.config, mirror=mirror)
    if isinstance(model, ModelConfig):
        if model.n_bands != n_bands:
            raise ValueError(f"model: for {model.n_bands} bands, but {database.folder} has {n_bands}")
        return model
    named = {"name": model, "n_bands": n_bands, "mirror": mirror}
    if model == "transformer":  # the one whose weights know how long a clip is
        named["n_frames"] = database.shape[-1]
    return read_model_config(named)


@contextmanager
def _threads_kept() -> Iterator[None]:
    """Give torch as many threads afterwards as it had before."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _with_precision(config: TrainingConfig, accelerator: str) -> TrainingConfig:
    """The configuration with the precision that "auto" means here, which decides the result."""
    if config.precision != "auto":
        return config
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return replace(config, precision="16-mixed")
    fast = accelerator in ("auto", "cpu") and knows_bfloat16()
    return replace(config, precision="bf16-mixed" if fast else "32-true")


def _trainer(out: Path, config: TrainingConfig, progress: bool, where: dict[str, Any]) -> Trainer:
    """Lightning's trainer with our checkpoints and reports."""
    try:
        trainer = Trainer(
            max_epochs=config.epochs,
            precision=config.precision,  # type: ignore[arg-type] # one that it takes, by `TrainingConfig`
            callbacks=[
                EpochStart(config.seed),
                EpochReport(out, config.epochs, progress),
                GradientNormReport(out),
                LearningRateMonitor("epoch"),
                Checkpoints(out, config.judged_by),
            ],
            plugins=[AtomicCheckpoints()],
            logger=TensorBoardLogger(out, name="tensorboard", version=""),
            use_distributed_sampler=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            **where,
        )
    except (MisconfigurationException, ImportError, TypeError, ValueError) as error:
        raise ValueError(f"cannot train on {where}: {error}") from None
    if trainer.precision != config.precision:  # Lightning takes another where there is none
        raise ValueError(f"precision: {config.precision} asked for, found {trainer.precision} on {where}")
    return trainer


def _fit(trainer: Trainer, learner: Learner, training: Any, validation: Any, last: Path | None) -> None:
    """Fit without Lightning's hints; SIGINT and SIGTERM end it between two batches."""
    with warnings.catch_warnings(), signals_held() as signals:
        # One process that reads ahead is enough, and a resumed run's folder is meant to hold something.
        for hint in ("does not have many workers", "treespec, LeafSpec", "logging interval"):
            warnings.filterwarnings("ignore", message=f".*{hint}.*")
        trainer.callbacks.append(EndOnSignal(signals))  # type: ignore[attr-defined] # it has, set from elsewhere
        try:
            trainer.fit(learner, training, validation, ckpt_path=last)
        except SystemExit as stop:  # what Lightning makes of both
            if not signals:  # it came to another process of this training
                raise Terminated from stop
        except DamageError as error:
            # A process that reads ahead adds its traceback, as text before the message.
            raise DamageError(str(error).rpartition("DamageError: ")[2].strip()) from None
        except RuntimeError as error:
            # One that a signal to all processes has ended is no fault.
            if "DataLoader worker" not in str(error):
                raise
            if not signals:
                raise ChildProcessError(f"a process that reads the database ahead died: {error}") from error


def _evenly(dataset: CueDataset, n_clips: int) -> Iterator[Tensor]:
    """The cue maps of `n_clips` clips, evenly spaced over a dataset, a batch at a time."""
    chosen = np.unique(np.linspace(0, len(dataset) - 1, n_clips).round().astype(int))
    for few in np.array_split(chosen, -(-len(chosen) // 256)):
        yield dataset.__getitems__(few)[0]
