"""What goes round the training of a model.

- `AtomicCheckpoints`: files that are whole or absent
- `Checkpoints`: which of them there are
- `EndOnSignal`: training ends between two batches
- `EpochStart`: the state in which each epoch begins
- `EpochReport`: a progress bar, a line for each epoch, metrics.csv
"""

import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins import CheckpointIO
from tqdm import tqdm

from database.store import write_atomically
from localization.checkpoints import checkpoint_bytes, is_sound, read_checkpoint
from localization.runs import BEST, LAST, PREVIOUS
from localization.training.folder import epoch_line, write_metrics
from localization.training.learner import METRICS


class AtomicCheckpoints(CheckpointIO):
    """Checkpoints that are whole or absent, and that hold nothing but tensors and plain types."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        write_atomically(Path(path), checkpoint_bytes(checkpoint))

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        return read_checkpoint(path)

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


class Checkpoints(Checkpoint):
    """After each epoch, where training stands; the epoch before it; and the best by the validation split.

    Lightning's own `ModelCheckpoint` forgets what was best when the run's folder has been moved.
    """

    def __init__(self, out: Path, measure: str) -> None:
        self.measure = measure
        self.best, self.last, self.previous = (out / name for name in (BEST, LAST, PREVIOUS))
        self.score = -1.0

    def state_dict(self) -> dict[str, Any]:
        return {"score": self.score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if is_sound(self.best):
            self.score = state_dict["score"]
        else:
            message = f"{self.best}: damaged or missing; only an epoch still to come can take its place"
            warnings.warn(message, stacklevel=2)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        score = float(trainer.callback_metrics[self.measure])
        if score > self.score:
            self.score = score
            trainer.save_checkpoint(self.best)
        # A damaged one is overwritten, and never takes the place of a sound one.
        if trainer.is_global_zero and is_sound(self.last):
            self.last.replace(self.previous)
        trainer.save_checkpoint(self.last)


class EndOnSignal(Callback):
    """Training ends between two batches once a signal has come, and nowhere else."""

    def __init__(self, signals: Sequence[int]) -> None:
        self.signals = signals

    def on_train_batch_start(self, *_: Any) -> None:
        if self.signals:
            raise KeyboardInterrupt

    def on_validation_batch_start(self, *_: Any) -> None:
        self.on_train_batch_start()


class EpochStart(Callback):
    """Every epoch starts from (seed, epoch), so that a resumed one is the same as an undisturbed one."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        entropy = (self.seed, trainer.current_epoch, trainer.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))


class EpochReport(Callback):
    """A progress bar, one line for each epoch, and metrics.csv, written whole each time."""

    def __init__(self, out: Path, epochs: int, progress: bool) -> None:
        self.out = out
        self.epochs = epochs
        self.progress = progress
        self.rows: list[dict[str, float]] = []
        self.bar: tqdm | None = None
        self.started = self.batch_ended = self.waited = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = self.batch_ended = time.perf_counter()
        self.waited = 0.0
        self.bar = tqdm(
            total=int(trainer.num_training_batches) + int(sum(trainer.num_val_batches)),
            desc=f"Epoch {trainer.current_epoch + 1}/{self.epochs}",
            unit="batch",
            mininterval=0.5,
            leave=False,
            disable=not (self.progress and trainer.is_global_zero),
        )

    def on_train_batch_start(self, *_: Any) -> None:
        self.waited += time.perf_counter() - self.batch_ended

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        assert self.bar is not None
        self.bar.update()
        self.batch_ended = time.perf_counter()

    def on_validation_batch_end(self, *_: Any) -> None:
        assert self.bar is not None
        self.bar.update()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert self.bar is not None
        self.bar.close()
        seconds = time.perf_counter() - self.started
        names = [f"{stage}_{name}" for stage in ("train", "val") for name in METRICS]
        row = {name: float(trainer.callback_metrics[name]) for name in names}
        times = {"seconds": round(seconds, 2), "waiting": round(self.waited / seconds, 4)}
        self.rows.append({"epoch": trainer.current_epoch + 1, **row, **times})
        if trainer.is_global_zero:
            write_metrics(self.out, self.rows)
            tqdm.write(epoch_line(self.rows[-1], self.epochs))
        if not np.isfinite([row["train_loss"], row["val_loss"]]).all():
            losses = f"{row['train_loss']} in training, {row['val_loss']} in validation"
            raise ValueError(
                f"{self.out}: numbers expected for the loss, found {losses}: a lower learning rate may help"
            )

    def on_exception(self, *_: Any) -> None:
        if self.bar is not None:
            self.bar.close()
