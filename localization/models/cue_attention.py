"""A branch for each cue, attention across the cues."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from localization.models.base import CueModel, ModelConfig


@dataclass(frozen=True)
class CueAttentionConfig(ModelConfig):
    """The network's shape.

    Parameters
    ----------
    channels : tuple of int
        Of a branch's convolutions; the last number is a multiple of `heads`.
    heads : int
        Of the attention across the cues.
    n_bands, dropout, mirror, n_cues, n_classes
        As in `ModelConfig`.
    """

    channels: tuple[int, ...] = (64, 128, 128)
    heads: int = 4
    name: str = "cue_attention"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.channels[-1] % self.heads:
            found = f"{self.channels[-1]} and {self.heads}"
            raise ValueError(f"the last of channels must be a multiple of heads, found {found}")


class Branch(nn.Module):
    """One cue's map (n_clips, n_bands, n_frames) to a vector: convolutions over time, attention pooling."""

    def __init__(self, n_bands: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.convolutions = nn.Sequential()
        for n, m in zip((n_bands, *channels), channels, strict=False):
            self.convolutions.append(nn.Conv1d(n, m, kernel_size=5, padding=2, bias=False))
            self.convolutions.extend([nn.BatchNorm1d(m), nn.ReLU()])
        self.score = nn.Conv1d(channels[-1], 1, kernel_size=1, bias=False)

    def forward(self, cue: Tensor) -> Tensor:
        frames = self.convolutions(cue)
        return (self.score(frames).softmax(dim=-1) * frames).sum(dim=-1)


class CueAttention(CueModel):
    """A one-dimensional convolutional branch for each cue, attention across the cues, one linear layer.

    The bands are the channels of a branch's first convolution, so each has weights of its own.

    Parameters
    ----------
    config : CueAttentionConfig

    Examples
    --------
    >>> CueAttention(CueAttentionConfig(n_bands=32))(torch.zeros(2, 4, 32, 100)).shape
    torch.Size([2, 72])
    """

    def __init__(self, config: CueAttentionConfig) -> None:
        super().__init__(config)
        width = config.channels[-1]
        self.branches = nn.ModuleList(Branch(config.n_bands, config.channels) for _ in range(config.n_cues))
        self.attention = nn.MultiheadAttention(width, config.heads, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)
        self.out = nn.Linear(config.n_cues * width, config.n_classes)

    def raw_logits(self, cues: Tensor) -> Tensor:
        maps = self.normalisation(cues).unbind(dim=1)
        vectors = torch.stack([branch(cue) for branch, cue in zip(self.branches, maps, strict=True)], dim=1)
        attended, _ = self.attention(vectors, vectors, vectors, need_weights=False)
        return self.out(self.dropout(self.norm(vectors + attended).flatten(1)))
