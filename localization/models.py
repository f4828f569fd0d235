"""The networks, each built from its own small configuration.

Conventions: a model takes cue maps float32 (n_clips, n_cues, n_bands, n_frames) in the units of the database,
in the order itd, ild, ic, energy, and returns logits (n_clips, n_classes). It normalises its input itself, by
buffers that are saved with the weights. Any number of frames, from one on, may be given to one model; the
number of bands is part of its configuration.

- `CNNConfig`, `CNN`: the default, convolutions that keep the bands apart, attention over time
- `CueModel`: what every model starts with, a `Normalisation`; `cue_statistics` measures what that holds
- `build_model`, `read_model_config`: a model from its configuration, a configuration from plain types
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from localization.angles import N_CLASSES

ENERGY = 3  # where the energy stands among the cues
FLOOR = 60.0  # dB below the loudest that a map holds: what is fainter tells nothing


def relative_energy(cues: Tensor) -> Tensor:
    """The same cues, the energy in dB re the loudest of the clip: a recording's level tells nothing."""
    loudest = cues[:, ENERGY].amax(dim=(1, 2), keepdim=True)
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
    """Cues in units of the training set's spread: every cue and band of mean 0 and standard deviation 1."""

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
        return (relative_energy(cues) - self.mean[..., None]) / self.std[..., None]


@dataclass(frozen=True)
class CNNConfig:
    """The default network's shape.

    Parameters
    ----------
    n_bands : int
        Bands of the maps.
    channels : tuple of int
        Of the convolutions, the first of which halves time and the others the bands.
    width : int
        Of the dense layer over all bands.
    dropout : float
        Share of the pooled features that is dropped in training.
    n_cues, n_classes : int
        Maps in, classes out.
    """

    n_bands: int
    channels: tuple[int, ...] = (32, 48, 64, 96)
    width: int = 256
    dropout: float = 0.1
    n_cues: int = 4
    n_classes: int = N_CLASSES
    name: str = "cnn"

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        sizes = (self.n_bands, self.width, self.n_cues, self.n_classes, *self.channels)
        if not self.channels or any(not isinstance(size, int) or size < 1 for size in sizes):
            raise ValueError(f"a network's sizes must be positive whole numbers, found {self}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), found {self.dropout}")


class CueModel(nn.Module):
    """What every model starts with.

    Parameters
    ----------
    config : CNNConfig or another model's
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.normalisation = Normalisation(config.n_cues, config.n_bands)


class CNN(CueModel):
    """Convolutions over bands and time, a dense layer over all bands, attention over time.

    What an ITD or ILD says about the azimuth differs from band to band, so the network must know which band
    is which, as it need not know which frame is which: a learned pattern over the bands follows the first
    convolution, bands are never averaged, and each has weights of its own in the dense layer. Time is pooled
    last, by a mean and a standard deviation in which a learned weight says which frames to believe (attentive
    statistics, Okabe et al. 2018, Interspeech, 2252-2256).

    Parameters
    ----------
    config : CNNConfig

    Examples
    --------
    >>> model = CNN(CNNConfig(n_bands=32))
    >>> model(torch.zeros(2, 4, 32, 100)).shape, model(torch.zeros(2, 4, 32, 1)).shape
    (torch.Size([2, 72]), torch.Size([2, 72]))
    """

    def __init__(self, config: CNNConfig) -> None:
        super().__init__(config)
        first, *others = config.channels
        self.stem = _convolution(config.n_cues, first, kernel=(3, 5), stride=(1, 2))
        self.band_pattern = nn.Parameter(torch.zeros(first, config.n_bands, 1))
        steps = zip(config.channels, others, strict=False)
        self.blocks = nn.Sequential(*(_convolution(n, m, kernel=(3, 3), stride=(2, 1)) for n, m in steps))
        n_left = config.n_bands
        for _ in others:
            n_left = (n_left + 1) // 2
        self.dense = nn.Sequential(
            nn.Conv1d(config.channels[-1] * n_left, config.width, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm1d(config.width),
            nn.ReLU(),
        )
        self.attention = nn.Conv1d(config.width, config.width, kernel_size=1)
        self.dropout = nn.Dropout(config.dropout)
        self.out = nn.Linear(2 * config.width, config.n_classes)

    def forward(self, cues: Tensor) -> Tensor:
        # channels_last: convolutions are measured 1.4 to 1.7 times as fast on a CPU.
        maps = self.normalisation(cues).contiguous(memory_format=torch.channels_last)
        maps = self.blocks(self.stem(maps) + self.band_pattern)
        frames = self.dense(maps.flatten(1, 2)).float()  # the spread needs single precision
        weights = self.attention(frames).softmax(dim=-1)
        mean = (weights * frames).sum(dim=-1)
        spread = (weights * (frames - mean[..., None]).square()).sum(dim=-1).add(1e-5).sqrt()
        return self.out(self.dropout(torch.cat([mean, spread], dim=1)))


def _convolution(n_in: int, n_out: int, kernel: tuple[int, int], stride: tuple[int, int]) -> nn.Sequential:
    """Convolution over (bands, frames), batch normalisation, rectification."""
    padding = (kernel[0] // 2, kernel[1] // 2)
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, kernel, stride, padding, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()
    )


MODELS: dict[str, tuple[type[Any], type[CueModel]]] = {"cnn": (CNNConfig, CNN)}


def read_model_config(values: dict[str, Any]) -> Any:
    """Configuration of a model from the plain types of `dataclasses.asdict`.

    Parameters
    ----------
    values : dict
        `name`, one of `MODELS`, and the fields of that model's configuration.

    Returns
    -------
    CNNConfig or another model's

    Raises
    ------
    ValueError
        If the name is unknown, or the fields are not that model's.

    Examples
    --------
    >>> read_model_config({"name": "cnn", "n_bands": 16}).width
    256
    """
    name = values.get("name")
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}, expected one of: {', '.join(MODELS)}")
    config_type = MODELS[name][0]
    unknown = set(values) - {field.name for field in fields(config_type)}
    if unknown or "n_bands" not in values:
        raise ValueError(f"model {name!r}: unknown or missing options, found {', '.join(sorted(values))}")
    return config_type(**values)


def build_model(config: Any) -> CueModel:
    """The network that a configuration describes, its weights freshly drawn from torch's random state.

    Parameters
    ----------
    config : CNNConfig or another model's

    Returns
    -------
    CueModel
        model(cues (n_clips, n_cues, n_bands, n_frames)) -> logits (n_clips, n_classes).

    Raises
    ------
    ValueError
        If there is no model of the configuration's name.

    Examples
    --------
    >>> sum(weights.numel() for weights in build_model(CNNConfig(n_bands=32)).parameters())
    498344
    """
    if config.name not in MODELS:
        raise ValueError(f"unknown model {config.name!r}, expected one of: {', '.join(MODELS)}")
    return MODELS[config.name][1](config)
