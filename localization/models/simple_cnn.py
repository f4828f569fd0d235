"""A light one: four blocks of convolution, normalisation, rectification and pooling, one linear layer."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from localization.models.base import CueModel, ModelConfig, convolution


@dataclass(frozen=True)
class SimpleCNNConfig(ModelConfig):
    """The light network's shape.

    Parameters
    ----------
    channels : tuple of int
        Of the blocks, each of which halves bands and time.
    n_bands, dropout, mirror, n_cues, n_classes
        As in `ModelConfig`.
    """

    channels: tuple[int, ...] = (32, 64, 96, 128)
    name: str = "simple_cnn"


class SimpleCNN(CueModel):
    """Blocks of convolution, batch normalisation, rectification and pooling; time's mean; one linear layer.

    A learned pattern after the first convolution says which band is which, and the bands that are left at the
    end have weights of their own in the linear layer.

    Parameters
    ----------
    config : SimpleCNNConfig

    Examples
    --------
    >>> SimpleCNN(SimpleCNNConfig(n_bands=32))(torch.zeros(2, 4, 32, 100)).shape
    torch.Size([2, 72])
    """

    def __init__(self, config: SimpleCNNConfig) -> None:
        super().__init__(config)
        first, *others = config.channels
        self.stem = convolution(config.n_features, first)
        self.band_pattern = nn.Parameter(torch.zeros(first, config.n_bands, 1))
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.blocks = nn.ModuleList(convolution(n, m) for n, m in zip(config.channels, others, strict=False))
        n_left = -(-config.n_bands // 2 ** len(config.channels))
        self.dropout = nn.Dropout(config.dropout)
        self.out = nn.Linear(config.channels[-1] * n_left, config.n_classes)

    def raw_logits(self, cues: Tensor) -> Tensor:
        maps = self.features(cues).contiguous(memory_format=torch.channels_last)
        maps = self.pool(self.stem(maps) + self.band_pattern)
        for block in self.blocks:
            maps = self.pool(block(maps))
        return self.out(self.dropout(maps.mean(dim=-1).flatten(1)))
