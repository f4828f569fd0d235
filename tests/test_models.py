"""The networks: shapes, normalisation, what they learn, what they are and are not indifferent to."""

import json
from dataclasses import asdict

import cue_database
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from localization.angles import azimuth_class
from localization.augmentation import with_ears_swapped
from localization.models import (
    MODELS,
    CueModel,
    Normalisation,
    build_model,
    cue_statistics,
    read_model_config,
)
from localization.models.base import relative_energy

SMALL = {
    "cnn": {"channels": (8, 12), "width": 16},
    "simple_cnn": {"channels": (8, 12, 16)},
    "resnet": {"channels": (8, 12)},
    "convnext": {"channels": (8, 12), "blocks": 1},
    "transformer": {"patch": 4, "width": 16, "layers": 2, "heads": 2, "n_frames": 20},
    "cue_attention": {"channels": (12, 16), "heads": 2},
}
IDLE = {"cnn": ["attention.bias"]}  # a constant added before a softmax changes nothing

every_model = pytest.mark.parametrize("name", MODELS)


def small_model(name: str, n_bands: int, seed: int = 0) -> CueModel:
    torch.manual_seed(seed)
    return build_model(read_model_config({"name": name, "n_bands": n_bands, **SMALL[name]}))


def draw_cues(n_clips: int, n_bands: int, n_frames: int, seed: int = 0) -> Tensor:
    """Maps of the size that cues have: µs, dB, nearly 1, dB below full scale."""
    generator = torch.Generator().manual_seed(seed)
    cues = torch.randn(n_clips, 4, n_bands, n_frames, generator=generator)
    scale, shift = torch.tensor([300e-6, 8.0, 0.02, 10.0]), torch.tensor([0.0, 0.0, 0.95, -40.0])
    return cues * scale[:, None, None] + shift[:, None, None]


def round_head(seed: int) -> tuple[Tensor, Tensor]:
    """Cue maps that can be learned from, two clips from each azimuth, and their classes."""
    azimuth = np.tile(np.arange(0.0, 360.0, 5.0), 2)
    cues = cue_database.draw_cues(azimuth, np.random.default_rng(seed))
    return torch.from_numpy(cues).float(), torch.from_numpy(azimuth_class(azimuth))


@every_model
@settings(max_examples=8, deadline=None)
@given(n_bands=st.integers(1, 40), n_frames=st.integers(1, 120), n_clips=st.integers(1, 3))
def test_any_number_of_bands_and_frames(name, n_bands, n_frames, n_clips):
    model = small_model(name, n_bands).eval()
    logits = model(draw_cues(n_clips, n_bands, n_frames))
    assert logits.shape == (n_clips, 72) and torch.isfinite(logits).all()


@every_model
@pytest.mark.parametrize("n_frames", [1, 23])
def test_a_clip_alone_and_among_others_gives_the_same(name, n_frames):
    model = small_model(name, 9).eval()
    cues = draw_cues(5, 9, n_frames)
    torch.testing.assert_close(model(cues[2:3]), model(cues)[2:3], atol=1e-5, rtol=1e-5)


@every_model
def test_silence_gives_finite_logits_and_gradients(name):
    cues = torch.zeros(4, 4, 8, 20)
    cues[:, 3] = -120
    model = small_model(name, 8)
    model(cues).square().sum().backward()
    assert all(torch.isfinite(weights.grad).all() for weights in model.parameters())


@every_model
def test_azimuths_are_learned(name):
    model = small_model(name, cue_database.FORMAT.n_bands)
    model.normalisation.fit([round_head(seed=0)[0]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(100):
        cues, classes = round_head(seed=step)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(cues), classes).backward()
        optimizer.step()
    cues, classes = round_head(seed=100)
    with torch.inference_mode():
        loss = nn.functional.cross_entropy(model.eval()(cues), classes)
    assert loss < 3  # 4.28 by chance


@every_model
def test_every_weight_is_learned(name):
    model = small_model(name, 8)
    nn.functional.cross_entropy(model(draw_cues(8, 8, 20)), torch.arange(8)).backward()
    idle = [key for key, weights in model.named_parameters() if not weights.grad.abs().max() > 1e-8]
    assert idle == IDLE.get(name, [])


@every_model
@given(level_db=st.floats(-60, 60))
@settings(max_examples=5, deadline=None)
def test_the_level_of_a_recording_tells_nothing(name, level_db):
    model = small_model(name, 6).eval()
    cues = draw_cues(2, 6, 25)
    louder = cues.clone()
    louder[:, 3] += level_db
    torch.testing.assert_close(model(louder), model(cues), atol=1e-4, rtol=1e-4)


@every_model
def test_bands_are_told_apart(name):
    model = small_model(name, 16).eval()
    low, high = (torch.zeros(1, 4, 16, 20) for _ in range(2))
    low[:, 0, 5], high[:, 0, 10] = 1.0, 1.0
    assert (model(low) - model(high)).abs().max() > 1e-3


@every_model
def test_a_seed_gives_the_same_weights_and_another_others(name):
    first, second, other = (small_model(name, 8, seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(values, second[key]) for key, values in first.items())
    assert not all(torch.equal(values, other[key]) for key, values in first.items())


@every_model
def test_the_default_sizes(name):
    model = build_model(read_model_config({"name": name, "n_bands": 32}))
    assert 100_000 < sum(weights.numel() for weights in model.parameters()) < 1_500_000
    if name == "cnn":
        assert sum(values.nbytes for values in model.state_dict().values()) < 4e6


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


def test_a_delay_and_the_same_a_period_longer_have_one_phase():
    model = small_model("cnn", 3)
    model.cfs.copy_(torch.tensor([500.0, 1000.0, 4000.0]))
    cues = draw_cues(2, 3, 10)
    cues[:, 0] = 0.25 / model.cfs[:, None]  # a quarter of a period
    later = cues.clone()
    later[:, 0] += 2 / model.cfs[:, None]
    for delayed in (cues, later):
        sine, cosine = model.features(delayed)[:, 4:].unbind(1)
        torch.testing.assert_close(sine, torch.ones(2, 3, 10), atol=1e-5, rtol=0)
        torch.testing.assert_close(cosine, torch.zeros(2, 3, 10), atol=1e-5, rtol=0)


def test_features_begin_with_the_normalised_cues():
    model, cues = small_model("cnn", 5), draw_cues(3, 5, 12)
    model.normalisation.fit([cues])
    assert torch.equal(model.features(cues)[:, :4], model.normalisation(cues))
    assert model.features(cues).shape[1] == model.config.n_features


@every_model
def test_a_model_that_mirrors_answers_swapped_ears_with_the_mirrored_azimuth(name):
    config = read_model_config({"name": name, "n_bands": 8, "mirror": True, **SMALL[name]})
    torch.manual_seed(0)
    model, cues, mirror_classes = build_model(config).eval(), draw_cues(3, 8, 20), -torch.arange(72) % 72
    torch.testing.assert_close(model(with_ears_swapped(cues)), model(cues)[:, mirror_classes])
    one_way, other_way = model.raw_logits(cues), model.raw_logits(with_ears_swapped(cues))
    torch.testing.assert_close(model(cues), (one_way + other_way[:, mirror_classes]) / 2)
    assert not torch.allclose(one_way, other_way[:, mirror_classes])


def test_in_training_each_clip_is_heard_once():
    config = read_model_config({"name": "cnn", "n_bands": 8, "mirror": True, "dropout": 0.0, **SMALL["cnn"]})
    model, cues = build_model(config).train(), draw_cues(3, 8, 20)
    assert torch.equal(model(cues), model.raw_logits(cues))


@every_model
def test_the_normalisation_is_saved_with_the_weights(name):
    model, other = small_model(name, 6), small_model(name, 6, seed=1)
    model.normalisation.fit([draw_cues(30, 6, 10)])
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.normalisation.mean, model.normalisation.mean)
    assert model.normalisation.std[0].max() < 1e-3


@every_model
def test_a_configuration_survives_json(name):
    config = read_model_config({"name": name, "n_bands": 12, "dropout": 0.2, **SMALL[name]})
    assert read_model_config(asdict(config)) == config
    assert read_model_config(json.loads(json.dumps(asdict(config)))) == config
    assert build_model(config).config == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "rnn"}, "unknown model 'rnn', expected one of: cnn, simple_cnn"),
        ({}, "unknown model None"),
        ({"name": "cnn", "depth": 3}, "unknown or missing options.*depth"),
        ({"name": "cnn", "n_bands": 0}, "n_bands must be a whole number of 1 to 4096, found 0"),
        ({"name": "cnn", "width": 16.0}, "width must be a whole number of 1 to 4096, found 16.0"),
        ({"name": "cnn", "channels": []}, "channels must be 1 to 64 sizes, found"),
        ({"name": "simple_cnn", "channels": 8}, "channels must be 1 to 64 sizes, found 8"),
        ({"name": "resnet", "channels": [8, "16"]}, "channels must be whole numbers of 1 to 4096, found"),
        ({"name": "convnext", "blocks": True}, "blocks must be a whole number of 1 to 4096, found True"),
        ({"name": "transformer", "layers": 10**9}, "layers must be a whole number of 1 to 4096"),
        ({"name": "cnn", "n_cues": 3}, "n_cues must be 4, found 3"),
        ({"name": "cnn", "n_classes": 36}, "n_classes must be 72, found 36"),
        ({"name": "cnn", "mirror": 0.5}, "mirror must be True or False, found 0.5"),
        ({"name": "cnn", "dropout": 1.0}, "dropout must lie in"),
        ({"name": "cnn", "dropout": "some"}, "dropout must lie in .* found 'some'"),
        ({"name": "transformer", "heads": 3}, "width must be a multiple of heads, found 128 and 3"),
        ({"name": "cue_attention", "heads": 3}, "last of channels must be a multiple of heads"),
    ],
)
def test_a_configuration_of_no_model_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        read_model_config({"n_bands": 4, **values})


def test_a_configuration_without_bands_is_refused():
    with pytest.raises(ValueError, match="unknown or missing options"):
        read_model_config({"name": "cnn"})


@every_model
def test_logits_are_divided_by_the_temperature(name):
    model = small_model(name, 6).eval()
    cues = draw_cues(2, 6, 12)
    raw = model(cues)
    assert torch.equal(raw, model.raw_logits(cues))
    model.temperature.fill_(2.0)
    torch.testing.assert_close(model(cues), raw / 2)
    other = small_model(name, 6, seed=1).eval()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(cues), model(cues))


def test_energy_is_re_the_loudest_of_the_clip_and_60_db_deep():
    cues = torch.zeros(1, 4, 2, 3)
    cues[0, 3] = torch.tensor([[-20.0, -30, -40], [-50, -70, -120]])
    assert relative_energy(cues)[0, 3].tolist() == [[0, -10, -20], [-30, -50, -60]]
