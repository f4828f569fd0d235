"""Residual stages (He, Zhang, Ren & Sun 2016, CVPR, 770-778)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from localization.models.base import CueModel, ModelConfig, convolution


@dataclass(frozen=True)
class ResNetConfig(ModelConfig):
    """The residual network's shape.

    Parameters
    ----------
    channels : tuple of int
        Of the stages, each of which halves bands and time.
    blocks : int
        Of two convolutions each, in a stage.
    n_bands, dropout, mirror, n_cues, n_classes
        As in `ModelConfig`.
    """

    channels: tuple[int, ...] = (32, 64, 96, 128)
    blocks: int = 2
    name: str = "resnet"


class Residual(nn.Module):
    """Two convolutions beside a shortcut, which is a 1x1 convolution where the shape changes."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.first = convolution(n_in, n_out, stride=(stride, stride))
        self.second = nn.Sequential(
            nn.Conv2d(n_out, n_out, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(n_out)
        )
        self.shortcut = nn.Sequential()
        if stride > 1 or n_in != n_out:
            self.shortcut.append(nn.Conv2d(n_in, n_out, kernel_size=1, stride=stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(n_out))

    def forward(self, maps: Tensor) -> Tensor:
        return torch.relu(self.second(self.first(maps)) + self.shortcut(maps))


class ResNet(CueModel):
    """Stages of residual blocks, time's mean, one linear layer over the bands that are left.

    A learned pattern after the first convolution says which band is which.

    Parameters
    ----------
    config : ResNetConfig

    Examples
    --------
    >>> ResNet(ResNetConfig(n_bands=32))(torch.zeros(2, 4, 32, 100)).shape
    torch.Size([2, 72])
    """

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__(config)
        first = config.channels[0]
        self.stem = convolution(config.n_features, first, kernel=(3, 5), stride=(1, 2))
        self.band_pattern = nn.Parameter(torch.zeros(first, config.n_bands, 1))
        self.stages = nn.Sequential()
        for n, m in zip((first, *config.channels), config.channels, strict=False):
            self.stages.append(Residual(n, m, stride=2))
            self.stages.extend(Residual(m, m, stride=1) for _ in range(config.blocks - 1))
        n_left = -(-config.n_bands // 2 ** len(config.channels))
        self.dropout = nn.Dropout(config.dropout)
        self.out = nn.Linear(config.channels[-1] * n_left, config.n_classes)

    def raw_logits(self, cues: Tensor) -> Tensor:
        maps = self.features(cues).contiguous(memory_format=torch.channels_last)
        maps = self.stages(self.stem(maps) + self.band_pattern)
        return self.out(self.dropout(maps.mean(dim=-1).flatten(1)))
