"""What every network starts with.

- `ModelConfig`: the fields that every model's configuration has, and the check of all of them
- `CueModel`: the module that every network is, from cues to features and to calibrated logits
- `Normalisation`, `cue_statistics`, `relative_energy`: cues in units of the training set's spread
- `convolution`: convolution, batch normalisation, rectification
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from localization.angles import N_CLASSES
from localization.augmentation import with_ears_swapped

FIXED = {"n_cues": 4, "n_classes": N_CLASSES}
ITD, ENERGY = 0, 3  # where they stand among the cues
LARGEST, MOST_LAYERS = 4096, 64  # of any size, and of a list of sizes: a foreign file may claim more
FLOOR = 60.0  # dB below the loudest that a map holds: what is fainter tells nothing


def relative_energy(cues: Tensor) -> Tensor:
    """The same cues, the energy in dB re the loudest of the clip: a recording's level tells nothing."""
    loudest = cues[:, ENERGY].nan_to_num(nan=-math.inf).amax(dim=(1, 2), keepdim=True)
    energy = (cues[:, ENERGY] - loudest).clamp(min=-FLOOR)
    return torch.cat([cues[:, :ENERGY], energy[:, None]], dim=1)


def cue_statistics(batches: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each cue in each band, as `Normalisation` holds them.

    Parameters
    ----------
    batches : iterable of Tensor (n_clips, n_cues, n_bands, n_frames)
        Cue maps of the training set.

    Returns
    -------
    mean, std : Tensor (n_cues, n_bands)
        In the cues' own units; a standard deviation of 1 where a cue does not vary.
    """
    count, total, squares = 0, torch.zeros(()), torch.zeros(())
    for cues in batches:
        values = relative_energy(cues).double()
        count += values.shape[0] * values.shape[3]
        total = total + values.sum(dim=(0, 3))
        squares = squares + values.square().sum(dim=(0, 3))
    mean = total / count
    variance = squares / count - mean.square()
    # What is left of a constant after the rounding of its squares is no spread.
    constant = variance <= 1e-9 * squares / count
    return mean.float(), torch.where(constant, 1.0, variance.clamp(min=0).sqrt()).float()


class Normalisation(nn.Module):
    """Cues in units of the training set's spread: every cue and band of mean 0 and standard deviation 1.

    NaN, which stands for what is hidden from the model, becomes 0.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, n_cues: int, n_bands: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_cues, n_bands))
        self.register_buffer("std", torch.ones(n_cues, n_bands))

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Measure the training set, cue maps (n_clips, n_cues, n_bands, n_frames) a batch at a time."""
        mean, std = cue_statistics(batches)
        self.mean.copy_(mean)
        self.std.copy_(std)

    def forward(self, cues: Tensor) -> Tensor:
        return ((relative_energy(cues) - self.mean[..., None]) / self.std[..., None]).nan_to_num(nan=0.0)


@dataclass(frozen=True)
class ModelConfig:
    """The fields that every model's configuration has; all sizes are checked, those of the models as well.

    Parameters
    ----------
    n_bands : int
        Bands of the maps.
    dropout : float
        Share of the features that is dropped in training.
    mirror : bool
        Whether the trained model hears each clip with its ears swapped as well, and answers by the mean of
        both: right for heads whose left is as their right, and for a model that was trained on both.
    n_cues, n_classes : int
        Maps in, classes out: 4 and 72, written down with the model.
    name : str
        Of the model, as in `localization.models.MODELS`.

    Raises
    ------
    ValueError
        If a size is no whole number from 1 to 4096, a list of sizes is empty or longer than 64, dropout lies
        outside [0, 1), mirror is neither True nor False, or maps or classes are not so many.
    """

    n_bands: int
    dropout: float = 0.1
    mirror: bool = False
    n_cues: int = 4
    n_classes: int = N_CLASSES
    name: str = ""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "dropout":
                if not isinstance(value, int | float) or not 0 <= value < 1:
                    raise ValueError(f"dropout must lie in [0, 1), found {value!r}")
            elif field.name == "mirror":
                if type(value) is not bool:
                    raise ValueError(f"mirror must be True or False, found {value!r}")
            elif isinstance(field.default, tuple):
                if not isinstance(value, list | tuple) or not 0 < len(value) <= MOST_LAYERS:
                    raise ValueError(f"{field.name} must be 1 to {MOST_LAYERS} sizes, found {value!r}")
                if not all(map(_is_size, value)):
                    raise ValueError(f"{field.name} must be whole numbers of 1 to {LARGEST}, found {value!r}")
                object.__setattr__(self, field.name, tuple(value))
            elif field.name in FIXED:
                if type(value) is not int or value != FIXED[field.name]:
                    raise ValueError(f"{field.name} must be {FIXED[field.name]}, found {value!r}")
            elif field.name != "name" and not _is_size(value):
                raise ValueError(f"{field.name} must be a whole number of 1 to {LARGEST}, found {value!r}")

    @property
    def n_features(self) -> int:
        """Maps that `CueModel.features` makes of the cues."""
        return self.n_cues + 2


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 < value <= LARGEST


class CueModel(nn.Module):
    """What every model starts and ends with; what makes it that model is its method `raw_logits`.

    Parameters
    ----------
    config : ModelConfig
        Of the model.

    Attributes
    ----------
    normalisation : Normalisation
        Of the cues.
    cfs : Tensor (n_bands,)
        Centre frequencies of the bands in Hz, which training sets; 0 until then.
    temperature : Tensor ()
        What the logits are divided by, so that the probabilities are calibrated (Guo et al. 2017); 1 while
        the model is trained.
    """

    cfs: Tensor
    temperature: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.normalisation = Normalisation(config.n_cues, config.n_bands)
        self.register_buffer("cfs", torch.zeros(config.n_bands))
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, cues: Tensor) -> Tensor:
        logits = self.raw_logits(cues)
        if self.config.mirror and not self.training:
            classes = torch.arange(self.config.n_classes, device=cues.device)
            mirrored = self.raw_logits(with_ears_swapped(cues))[:, -classes % self.config.n_classes]
            logits = (logits + mirrored) / 2
        return logits / self.temperature

    def raw_logits(self, cues: Tensor) -> Tensor:
        """Logits before calibration, (n_clips, n_classes)."""
        raise NotImplementedError

    def features(self, cues: Tensor) -> Tensor:
        """The normalised cues, and sine and cosine of the interaural phase, (n_clips, n_cues + 2, …).

        An ITD that is a period off looks like another one, and is the same phase: where the period is shorter
        than the head's delays, the phase is what the band knows, and the ITD a choice among many. Features of
        what is hidden are 0.
        """
        phase = 2 * math.pi * self.cfs[:, None] * cues[:, ITD]
        phases = torch.stack([phase.sin(), phase.cos()], dim=1).nan_to_num(nan=0.0)
        return torch.cat([self.normalisation(cues), phases], dim=1)


def convolution(
    n_in: int, n_out: int, kernel: tuple[int, int] = (3, 3), stride: tuple[int, int] = (1, 1)
) -> nn.Sequential:
    """Convolution over (bands, frames), batch normalisation, rectification.

    Odd kernels leave ceil(n / stride) of n bands or frames, so at least one of one.
    """
    padding = (kernel[0] // 2, kernel[1] // 2)
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, kernel, stride, padding, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()
    )
