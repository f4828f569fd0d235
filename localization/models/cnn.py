"""The default: convolutions that keep the bands apart, attention over time."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from localization.models.base import CueModel, ModelConfig, convolution


@dataclass(frozen=True)
class CNNConfig(ModelConfig):
    """The default network's shape.

    Parameters
    ----------
    channels : tuple of int
        Of the convolutions, the first of which halves time and the others the bands.
    width : int
        Of the dense layer over all bands.
    n_bands, dropout, mirror, n_cues, n_classes
        As in `ModelConfig`.
    """

    channels: tuple[int, ...] = (32, 48, 64, 96)
    width: int = 256
    name: str = "cnn"


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
        self.stem = convolution(config.n_features, first, kernel=(3, 5), stride=(1, 2))
        self.band_pattern = nn.Parameter(torch.zeros(first, config.n_bands, 1))
        steps = zip(config.channels, others, strict=False)
        self.blocks = nn.Sequential(*(convolution(n, m, stride=(2, 1)) for n, m in steps))
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

    def raw_logits(self, cues: Tensor) -> Tensor:
        # channels_last: convolutions are measured 1.4 to 1.7 times as fast on a CPU.
        maps = self.features(cues).contiguous(memory_format=torch.channels_last)
        maps = self.blocks(self.stem(maps) + self.band_pattern)
        frames = self.dense(maps.flatten(1, 2)).float()  # the spread needs single precision
        weights = self.attention(frames).softmax(dim=-1)
        mean = (weights * frames).sum(dim=-1)
        spread = (weights * (frames - mean[..., None]).square()).sum(dim=-1).add(1e-5).sqrt()
        return self.out(self.dropout(torch.cat([mean, spread], dim=1)))
