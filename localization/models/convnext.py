"""Depthwise convolutions and inverted bottlenecks (Liu, Mao, Wu et al. 2022, CVPR, 11976-11986)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from localization.models.base import CueModel, ModelConfig


@dataclass(frozen=True)
class ConvNeXtConfig(ModelConfig):
    """The network's shape.

    Parameters
    ----------
    channels : tuple of int
        Of the stages, each of which halves bands and time (the first one halves time twice).
    blocks : int
        In a stage.
    n_bands, dropout, mirror, n_cues, n_classes
        As in `ModelConfig`.
    """

    channels: tuple[int, ...] = (48, 96, 144)
    blocks: int = 2
    name: str = "convnext"


class Block(nn.Module):
    """Depthwise 7x7, layer normalisation, four times as many channels and back, beside a shortcut."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(n, n, kernel_size=7, padding=3, groups=n)
        self.bottleneck = nn.Sequential(nn.LayerNorm(n), nn.Linear(n, 4 * n), nn.GELU(), nn.Linear(4 * n, n))

    def forward(self, maps: Tensor) -> Tensor:
        channels_last = self.depthwise(maps).permute(0, 2, 3, 1)
        return maps + self.bottleneck(channels_last).permute(0, 3, 1, 2)


class ConvNeXt(CueModel):
    """Stages of ConvNeXt blocks, time's mean, one linear layer over the bands that are left.

    A learned pattern after the first convolution says which band is which. The convolutions that halve have
    odd kernels, so that any number of frames goes through; six blocks need no scaling of their branches.

    Parameters
    ----------
    config : ConvNeXtConfig

    Examples
    --------
    >>> ConvNeXt(ConvNeXtConfig(n_bands=32))(torch.zeros(2, 4, 32, 100)).shape
    torch.Size([2, 72])
    """

    def __init__(self, config: ConvNeXtConfig) -> None:
        super().__init__(config)
        first, *others = config.channels
        n_left = -(-config.n_bands // 2)
        self.stem = nn.Conv2d(config.n_features, first, kernel_size=(3, 5), stride=(2, 4), padding=(1, 2))
        self.band_pattern = nn.Parameter(torch.zeros(first, n_left, 1))
        self.stages = nn.Sequential(*(Block(first) for _ in range(config.blocks)))
        for n, m in zip(config.channels, others, strict=False):
            self.stages.append(nn.Conv2d(n, m, kernel_size=3, stride=2, padding=1))
            self.stages.extend(Block(m) for _ in range(config.blocks))
            n_left = -(-n_left // 2)
        self.norm = nn.LayerNorm(config.channels[-1] * n_left)
        self.dropout = nn.Dropout(config.dropout)
        self.out = nn.Linear(config.channels[-1] * n_left, config.n_classes)

    def raw_logits(self, cues: Tensor) -> Tensor:
        maps = self.features(cues).contiguous(memory_format=torch.channels_last)
        maps = self.stages(self.stem(maps) + self.band_pattern)
        return self.out(self.dropout(self.norm(maps.mean(dim=-1).flatten(1))))
