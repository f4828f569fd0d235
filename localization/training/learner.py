"""The model as Lightning trains it.

- `TrainingConfig`: what decides the result
- `Learner`: AdamW, one cycle of the learning rate, loss and accuracies logged
"""

from dataclasses import dataclass

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from localization.dataset import Batch
from localization.losses import build_loss

METRICS = ("loss", "top1", "top5")


@dataclass(frozen=True)
class TrainingConfig:
    """What decides the result of training, beside the database and the model.

    Parameters
    ----------
    epochs : int
        Times that each clip is seen.
    batch_size : int
        Clips in a step (in each process, where several train together).
    learning_rate : float
        The highest of the one-cycle schedule (Smith & Topin 2018, arXiv:1708.07120).
    weight_decay : float
        Of AdamW, on all weights but biases and normalisations.
    label_smoothing : float
        Share of the probability that the target spreads over all classes.
    seed : int
        Of the first weights, of the order of the clips and of dropout.
    """

    epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, found {getattr(self, name)}")
        for name in ("weight_decay", "seed"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, found {getattr(self, name)}")


class Learner(LightningModule):
    """The model as Lightning trains it: AdamW, one cycle of the learning rate, loss and accuracies logged."""

    def __init__(self, model: nn.Module, config: TrainingConfig) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.loss = build_loss("cross_entropy", smoothing=config.label_smoothing)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        return self._step(batch, "train")

    def validation_step(self, batch: Batch, _: int) -> Tensor:
        return self._step(batch, "val")

    def _step(self, batch: Batch, stage: str) -> Tensor:
        cues, classes = batch
        logits = self.model(cues)
        loss = self.loss(logits, classes)
        hits = logits.detach().topk(5, dim=-1).indices == classes[:, None]
        values = (loss.detach(), hits[:, 0].float().mean(), hits.any(dim=-1).float().mean())
        self.log_dict(
            {f"{stage}_{name}": value for name, value in zip(METRICS, values, strict=True)},
            on_step=False,
            on_epoch=True,
            sync_dist=True,
            batch_size=len(classes),
        )
        return loss

    def configure_optimizers(self) -> OptimizerLRScheduler:
        weights = list(self.model.parameters())
        groups = [
            {"params": [w for w in weights if w.ndim > 1], "weight_decay": self.config.weight_decay},
            {"params": [w for w in weights if w.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.config.learning_rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=self.config.learning_rate,
            total_steps=int(self.trainer.estimated_stepping_batches),
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
