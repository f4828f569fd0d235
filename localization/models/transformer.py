"""Attention among patches of the maps, as in an audio spectrogram transformer (Gong, Chung & Glass 2021,
Interspeech, 571-575)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from localization.models.base import CueModel, ModelConfig


@dataclass(frozen=True)
class TransformerConfig(ModelConfig):
    """The transformer's shape.

    Parameters
    ----------
    patch : int
        Frames of a patch.
    width : int
        Of a patch's embedding, a multiple of `heads`.
    layers, heads : int
        Of attention.
    n_frames : int
        Of the clips that it is to be trained on: each of their patches has a position of its own.
    n_bands, dropout, mirror, n_cues, n_classes
        As in `ModelConfig`.
    """

    patch: int = 4
    width: int = 128
    layers: int = 4
    heads: int = 4
    n_frames: int = 100
    name: str = "transformer"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads, found {self.width} and {self.heads}")


class Transformer(CueModel):
    """Patches of all maps as tokens, each with its learned position, and a class token that reads them.

    A patch spans all bands, so that each has weights of its own: measured on clips at 15 to 40 dB, patches of
    8 bands and 10 frames learned half as fast. To clips of another length than `n_frames` the positions are
    stretched; the last patch is filled up with zeros, which are the cues' means.

    Parameters
    ----------
    config : TransformerConfig

    Examples
    --------
    >>> model = Transformer(TransformerConfig(n_bands=32))
    >>> model(torch.zeros(2, 4, 32, 100)).shape, model(torch.zeros(2, 4, 32, 1)).shape
    (torch.Size([2, 72]), torch.Size([2, 72]))
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config)
        self.patch = config.patch
        n_patches = -(-config.n_frames // config.patch)
        self.embedding = nn.Conv1d(
            config.n_features * config.n_bands, config.width, kernel_size=config.patch, stride=config.patch
        )
        self.positions = nn.Parameter(0.02 * torch.randn(1, config.width, n_patches))
        self.class_token = nn.Parameter(0.02 * torch.randn(1, 1, config.width))
        self.layers = nn.Sequential(
            *(_layer(config) for _ in range(config.layers)), nn.LayerNorm(config.width)
        )
        self.out = nn.Linear(config.width, config.n_classes)

    def raw_logits(self, cues: Tensor) -> Tensor:
        maps = self.features(cues).flatten(1, 2)
        patches = self.embedding(pad(maps, (0, -maps.shape[-1] % self.patch)))
        patches = patches + interpolate(self.positions, patches.shape[-1], mode="linear")
        class_token = self.class_token.expand(len(cues), -1, -1)
        tokens = torch.cat([class_token, patches.transpose(1, 2)], dim=1)
        return self.out(self.layers(tokens)[:, 0])


def _layer(config: TransformerConfig) -> nn.TransformerEncoderLayer:
    """Attention among the tokens, then two dense layers on each, both normalised before."""
    return nn.TransformerEncoderLayer(
        config.width,
        config.heads,
        dim_feedforward=4 * config.width,
        dropout=config.dropout,
        activation="gelu",
        batch_first=True,
        norm_first=True,
    )
