"""The model as Lightning trains it.

- `TrainingConfig`: what decides the result
- `Learner`: AdamW, one cycle of the learning rate, loss and accuracies logged
"""

from dataclasses import dataclass

import numpy as np
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from binaural_feature import CueFormat
from localization.augmentation import AugmentationConfig, Targets, augment
from localization.dataset import Batch
from localization.losses import Loss, build_loss, harmonizers, only_orders, pair_accuracy
from localization.models import CueModel

PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")
METRICS = ("loss", "top1", "top5", "pair_accuracy")


@dataclass(frozen=True)
class TrainingConfig(AugmentationConfig):
    """What decides the result of training, beside the database and the model.

    Parameters
    ----------
    epochs : int
        Times that each clip is seen.
    batch_size : int
        Clips in a step (in each process, where several train together); all of them where there are fewer.
    learning_rate : float
        The highest of the one-cycle schedule (Smith & Topin 2018, arXiv:1708.07120).
    weight_decay : float
        Of AdamW, on all weights of more than one dimension: not on biases and normalisations.
    loss : str or dict
        What is minimised: a name, or a weighted sum, as `localization.losses.build_loss` takes them.
    imbalance : float
        Thin the training classes geometrically, so that of classes of equally many clips the most frequent
        one has so many times those of the rarest; 1 leaves them as they are.
    precision : str
        "32-true", "bf16-mixed" (faster on processors with instructions for bfloat16, far slower on others),
        "16-mixed" (GPU), or "auto": whichever is fastest here.
    seed : int
        Of the first weights, of the order of the clips, of dropout, of augmentation and of thinning.
    mirror, head_warp, spectral_jitter, mixup, mask_bands, mask_frames
        As in `AugmentationConfig`.

    Raises
    ------
    ValueError
        If a value cannot be.
    """

    epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    loss: Loss = "cross_entropy"
    imbalance: float = 1.0
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, lowest in (("epochs", 1), ("batch_size", 1), ("seed", 0)):
            value = getattr(self, name)
            if type(value) is not int or value < lowest:
                raise ValueError(f"{name} must be a whole number of at least {lowest}, found {value!r}")
        if self.seed >= 2**64:  # torch takes no larger one
            raise ValueError(f"seed must be below 2**64, found {self.seed}")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate must be positive and finite, found {self.learning_rate}")
        if not 0 <= self.weight_decay < float("inf"):
            raise ValueError(f"weight_decay must be finite and not negative, found {self.weight_decay}")
        if not 1 <= self.imbalance < float("inf"):
            raise ValueError(f"imbalance must be at least 1, found {self.imbalance}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, found {self.precision!r}")
        loss = build_loss(self.loss)
        if only_orders(loss) and self.batch_size == 1:
            raise ValueError(f"batch_size must be at least 2 for {self.loss!r}, which compares clips")
        if (harmonized := harmonizers(loss)) and self.mixup > 0:
            # Its gradient norm is that of each of the two classes, and neither says how hard the clip is.
            raise ValueError(f"mixup and {' and '.join(harmonized)} given, expected one of them")

    @property
    def judged_by(self) -> str:
        """The measure of the validation split by which the best epoch is chosen."""
        return "val_pair_accuracy" if only_orders(build_loss(self.loss)) else "val_top1"


class Learner(LightningModule):
    """The model as Lightning trains it: AdamW, one cycle of the learning rate, loss and accuracies logged.

    Parameters
    ----------
    model : CueModel
        To be trained.
    config : TrainingConfig
        How.
    cue_format : CueFormat
        Of the maps.
    """

    def __init__(self, model: CueModel, config: TrainingConfig, cue_format: CueFormat) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.cue_format = cue_format
        self.loss = build_loss(config.loss)

    def training_step(self, batch: Batch, step: int) -> Tensor:
        # Nothing but these enters, so that a resumed epoch draws the same; the key parts it from the sampler.
        entropy = np.random.SeedSequence(
            (self.config.seed, self.current_epoch), spawn_key=(step, self.global_rank)
        )
        augmented = augment(self.config, *batch, np.random.default_rng(entropy), self.cue_format)
        return self._step(*augmented, "train")

    def validation_step(self, batch: Batch, _: int) -> Tensor:
        cues, classes = batch
        return self._step(cues, [(1.0, classes)], "val")

    def _step(self, cues: Tensor, targets: Targets, stage: str) -> Tensor:
        logits = self.model(cues).float()
        loss = torch.stack([weight * self.loss(logits, classes) for weight, classes in targets]).sum()
        classes = targets[0][1]
        hits = logits.detach().topk(5, dim=-1).indices == classes[:, None]
        shares = (hits[:, 0].float().mean(), hits.any(dim=-1).float().mean())
        in_order, n_pairs = pair_accuracy(logits.detach(), classes)
        means = [(value, len(classes)) for value in (loss.detach(), *shares)] + [(in_order, max(n_pairs, 1))]
        for name, (value, count) in zip(METRICS, means, strict=True):
            self.log(f"{stage}_{name}", value, on_step=False, on_epoch=True, sync_dist=True, batch_size=count)
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
