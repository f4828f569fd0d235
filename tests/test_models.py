"""The networks: shapes, normalisation, what they are and are not indifferent to."""

from dataclasses import asdict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from localization.models import CNN, CNNConfig, Normalisation, build_model, cue_statistics, read_model_config

SMALL = {"channels": (8, 12), "width": 16}


def draw_cues(n_clips: int, n_bands: int, n_frames: int, seed: int = 0) -> torch.Tensor:
    """Maps of the size that cues have: µs, dB, nearly 1, dB below full scale."""
    generator = torch.Generator().manual_seed(seed)
    cues = torch.randn(n_clips, 4, n_bands, n_frames, generator=generator)
    scale, shift = torch.tensor([300e-6, 8.0, 0.02, 10.0]), torch.tensor([0.0, 0.0, 0.95, -40.0])
    return cues * scale[:, None, None] + shift[:, None, None]


@settings(max_examples=30)
@given(n_bands=st.integers(1, 40), n_frames=st.integers(1, 120), n_clips=st.integers(1, 3))
def test_any_number_of_bands_and_frames(n_bands, n_frames, n_clips):
    model = CNN(CNNConfig(n_bands=n_bands, **SMALL)).eval()
    logits = model(draw_cues(n_clips, n_bands, n_frames))
    assert logits.shape == (n_clips, 72) and torch.isfinite(logits).all()


def test_silence_gives_finite_logits_and_gradients():
    cues = torch.zeros(4, 4, 8, 20)
    cues[:, 3] = -120
    model = CNN(CNNConfig(n_bands=8, **SMALL))
    model(cues).square().sum().backward()
    assert all(torch.isfinite(weights.grad).all() for weights in model.parameters())


def test_normalised_cues_have_mean_0_and_deviation_1_in_every_band():
    cues = draw_cues(50, 6, 30)
    cues[:, :, 2] *= 3
    normalisation = Normalisation(4, 6)
    normalisation.fit([cues[:20], cues[20:]])
    values = normalisation(cues)
    torch.testing.assert_close(values.mean(dim=(0, 3)), torch.zeros(4, 6), atol=1e-3, rtol=0)
    torch.testing.assert_close(values.std(dim=(0, 3)), torch.ones(4, 6), atol=1e-2, rtol=0)


def test_statistics_do_not_depend_on_the_batches():
    cues = draw_cues(60, 5, 20)
    whole, split = cue_statistics([cues]), cue_statistics(cues.split([1, 10, 49]))
    torch.testing.assert_close(whole, split)


def test_a_cue_that_never_varies_is_left_in_its_unit():
    cues = draw_cues(20, 3, 10)
    cues[:, 2, 1] = 0.9375
    mean, std = cue_statistics([cues])
    assert std[2, 1] == 1 and mean[2, 1] == pytest.approx(0.9375)


@given(level_db=st.floats(-60, 60))
@settings(max_examples=20)
def test_the_level_of_a_recording_tells_nothing(level_db):
    torch.manual_seed(0)
    model = CNN(CNNConfig(n_bands=6, **SMALL)).eval()
    cues = draw_cues(2, 6, 25)
    louder = cues.clone()
    louder[:, 3] += level_db
    torch.testing.assert_close(model(louder), model(cues), atol=1e-4, rtol=1e-4)


def test_bands_are_told_apart():
    torch.manual_seed(0)
    model = CNN(CNNConfig(n_bands=16, channels=(8,), width=16)).eval()
    low, high = (torch.zeros(1, 4, 16, 20) for _ in range(2))
    low[:, 0, 5], high[:, 0, 10] = 1.0, 1.0
    assert (model(low) - model(high)).abs().max() > 1e-3


def test_the_normalisation_is_saved_with_the_weights():
    model = CNN(CNNConfig(n_bands=6, **SMALL))
    model.normalisation.fit([draw_cues(30, 6, 10)])
    other = CNN(CNNConfig(n_bands=6, **SMALL))
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.normalisation.mean, model.normalisation.mean)
    assert model.normalisation.std[0].max() < 1e-3


def test_every_weight_is_learned():
    model = CNN(CNNConfig(n_bands=8, **SMALL))
    nn.functional.cross_entropy(model(draw_cues(8, 8, 20)), torch.arange(8)).backward()
    idle = [name for name, weights in model.named_parameters() if not weights.grad.abs().sum() > 0]
    # A constant added before a softmax changes nothing.
    assert idle in ([], ["attention.bias"])


def test_a_configuration_survives_plain_types():
    config = CNNConfig(n_bands=12, channels=(8, 16), width=32, dropout=0.2)
    assert read_model_config(asdict(config)) == config
    assert read_model_config({**asdict(config), "channels": [8, 16]}) == config
    assert build_model(config).config == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "rnn", "n_bands": 4}, "unknown model 'rnn', expected one of: cnn"),
        ({"n_bands": 4}, "unknown model None"),
        ({"name": "cnn", "n_bands": 4, "depth": 3}, "unknown or missing options.*depth"),
        ({"name": "cnn"}, "unknown or missing options"),
        ({"name": "cnn", "n_bands": 0}, "sizes must be positive"),
        ({"name": "cnn", "n_bands": 4, "channels": []}, "sizes must be positive"),
        ({"name": "cnn", "n_bands": 4, "dropout": 1.0}, "dropout must lie in"),
    ],
)
def test_a_configuration_of_no_model_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        read_model_config(values)
