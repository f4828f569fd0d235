"""The networks, each built from its own small configuration.

Conventions: a model takes cue maps float32 (n_clips, n_cues, n_bands, n_frames) in the units of the database,
in the order itd, ild, ic, energy, and returns logits (n_clips, n_classes). It normalises its input itself, by
buffers that are saved with the weights; another of them divides the logits, for calibration. Any number of
frames, from one on, may be given to one model; the number of bands is part of its configuration.

- `MODELS`: the configuration and the network of each name
- `build_model`, `read_model_config`: a model from its configuration, a configuration from plain types

Modules
-------
base : What every network starts with: its configuration's common fields, a `Normalisation`.
cnn : The default, convolutions that keep the bands apart, attention over time.
simple_cnn : Four blocks of convolution and pooling, one linear layer.
resnet : Residual stages.
convnext : Depthwise convolutions and inverted bottlenecks.
transformer : Attention among patches of the maps.
cue_attention : A branch for each cue, attention across the cues.
"""

from dataclasses import fields
from typing import Any

from localization.models.base import CueModel, ModelConfig, Normalisation, cue_statistics
from localization.models.cnn import CNN, CNNConfig
from localization.models.convnext import ConvNeXt, ConvNeXtConfig
from localization.models.cue_attention import CueAttention, CueAttentionConfig
from localization.models.resnet import ResNet, ResNetConfig
from localization.models.simple_cnn import SimpleCNN, SimpleCNNConfig
from localization.models.transformer import Transformer, TransformerConfig

__all__ = [
    "CNN",
    "MODELS",
    "CNNConfig",
    "ConvNeXt",
    "ConvNeXtConfig",
    "CueAttention",
    "CueAttentionConfig",
    "CueModel",
    "ModelConfig",
    "Normalisation",
    "ResNet",
    "ResNetConfig",
    "SimpleCNN",
    "SimpleCNNConfig",
    "Transformer",
    "TransformerConfig",
    "build_model",
    "cue_statistics",
    "read_model_config",
]

MODELS: dict[str, tuple[type[Any], type[CueModel]]] = {
    "cnn": (CNNConfig, CNN),
    "simple_cnn": (SimpleCNNConfig, SimpleCNN),
    "resnet": (ResNetConfig, ResNet),
    "convnext": (ConvNeXtConfig, ConvNeXt),
    "transformer": (TransformerConfig, Transformer),
    "cue_attention": (CueAttentionConfig, CueAttention),
}


def read_model_config(values: dict[str, Any]) -> Any:
    """Configuration of a model from the plain types of `dataclasses.asdict`.

    Parameters
    ----------
    values : dict
        `name`, one of `MODELS`, and the fields of that model's configuration.

    Returns
    -------
    ModelConfig
        The model's own.

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


def build_model(config: ModelConfig) -> CueModel:
    """The network that a configuration describes, its weights freshly drawn from torch's random state.

    Parameters
    ----------
    config : ModelConfig
        A model's own.

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
    499304
    """
    if config.name not in MODELS:
        raise ValueError(f"unknown model {config.name!r}, expected one of: {', '.join(MODELS)}")
    return MODELS[config.name][1](config)
