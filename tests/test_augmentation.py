"""Augmentation: what a changed clip would have been, and that its azimuth stays true."""

import numpy as np
import pytest
import soxr
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from scipy.special import eval_legendre, spherical_jn, spherical_yn

from binaural_feature import CueFormat
from database.hrtf import kemar
from database.mixing import render
from localization.augmentation import (
    AugmentationConfig,
    _draw_stretches,
    augment,
    masked,
    mirrored,
    mixed,
    with_other_ears,
    with_other_head,
)
from localization.models import Normalisation

FORMAT = CueFormat.default(fs=16000, n_bands=12)
SHARES = st.floats(0, 0.99)


def draw_cues(n_clips: int = 3, n_frames: int = 20, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    cues = torch.randn(n_clips, 4, FORMAT.n_bands, n_frames, generator=generator)
    scale, shift = torch.tensor([200e-6, 6.0, 0.02, 8.0]), torch.tensor([0.0, 0.0, 0.9, -40.0])
    return cues * scale[:, None, None] + shift[:, None, None]


def draw_scene(speech_at: int, noise_at: int) -> NDArray[np.float64]:
    """Two noises round the built-in head, with a silence between (16000, 2)."""
    head, rng = kemar(), np.random.default_rng(speech_at)
    speech, noise = (
        render(level * rng.standard_normal(16000), soxr.resample(head.response(azimuth), head.fs, FORMAT.fs))
        for level, azimuth in ((0.1, speech_at), (0.05, noise_at))
    )
    signal = speech + noise
    signal[5000:11000] = 0
    return signal


def cues_of(signal: NDArray[np.float64]) -> torch.Tensor:
    return torch.from_numpy(FORMAT.cues(signal))[None]


@pytest.mark.parametrize(("speech_at", "noise_at"), [(40, 250), (0, 180), (355, 90), (135, 135)])
def test_mirrored_cues_are_those_of_swapped_ears_and_of_the_mirrored_scene(speech_at, noise_at):
    signal = draw_scene(speech_at, noise_at)
    cues, classes = mirrored(cues_of(signal), torch.tensor([speech_at // 5]), [True])
    assert classes.item() * 5 == -speech_at % 360
    assert torch.equal(cues, cues_of(signal[:, ::-1]))
    head = kemar()
    for azimuth in (speech_at, noise_at):  # the head is symmetric, so the label is true and not only near
        np.testing.assert_array_equal(head.response(-azimuth % 360), head.response(azimuth)[:, ::-1])


@given(which=st.lists(st.booleans(), min_size=4, max_size=4), seed=st.integers(0, 100))
@settings(max_examples=20)
def test_mirrored_twice_is_as_before_and_the_others_stay(which, seed):
    cues, classes = draw_cues(4, seed=seed), torch.tensor([0, 36, 18, 71])
    once = mirrored(cues, classes, which)
    twice = mirrored(*once, which)
    assert torch.equal(twice[0], cues) and torch.equal(twice[1], classes)
    others = ~torch.tensor(which)
    assert torch.equal(once[0][others], cues[others]) and torch.equal(once[1][others], classes[others])
    assert once[1][:3].tolist() == [0, 36, 54 if which[2] else 18]


def round_head(azimuth: float, radius: float, cfs: NDArray[np.float64]) -> tuple[NDArray, NDArray]:
    """ITD in s and ILD in dB of a rigid sphere, ears at ±90° (Duda & Martens 1998, JASA 104, 3048-3058)."""
    x = 2 * np.pi * cfs * radius / 343
    order = np.arange(60)[:, None]
    slope = spherical_jn(order, x, derivative=True) - 1j * spherical_yn(order, x, derivative=True)
    left, right = (
        np.nansum((2 * order + 1) * 1j**order * eval_legendre(order, cosine) / slope, axis=0)
        for cosine in np.sin(np.radians([azimuth, -azimuth]))
    )
    phase = np.unwrap(np.angle(left / right))
    phase -= 2 * np.pi * np.round(phase[0] / (2 * np.pi))
    return np.abs(phase) / (2 * np.pi * cfs) * np.sign(azimuth), 20 * np.log10(np.abs(left / right))


@pytest.mark.parametrize("azimuth", [-70, 20, 50])
@pytest.mark.parametrize("size", [0.9, 1.0, 1.1])
def test_another_head_has_the_cues_of_a_sphere_of_its_size(azimuth, size):
    cue_format = CueFormat.default(fs=16000, n_bands=32)
    cfs = np.array(cue_format.cfs)
    maps = np.zeros((1, 4, 32, 2))
    maps[0, 0], maps[0, 1] = (cue[:, None] for cue in round_head(azimuth, 0.0875, cfs))
    maps[0, 2] = 1
    cues = with_other_head(torch.from_numpy(maps).float(), [size], cue_format).numpy()[0, :, :, 0]
    itd, ild = round_head(azimuth, 0.0875 * size, cfs)
    known = cfs * size < cfs[-1]
    np.testing.assert_allclose(cues[0], itd, rtol=0.07)
    error, unchanged = (np.abs(found - ild)[known].mean() for found in (cues[1], maps[0, 1, :, 0]))
    assert error < 0.1 and (size == 1 or error < 0.3 * unchanged)
    np.testing.assert_array_equal(cues[2:], maps[0, 2:, :, 0])


@given(seed=st.integers(0, 1000), size=st.floats(0.9, 1.1), azimuth=st.sampled_from([-70, -20, 0, 35]))
@settings(max_examples=20, deadline=None)
def test_a_peak_that_is_periods_off_has_the_phase_of_the_true_one(seed, size, azimuth):
    cue_format = CueFormat.default(fs=16000, n_bands=32)
    cfs = np.array(cue_format.cfs)
    itd = round_head(azimuth, 0.0875, cfs)[0] if azimuth else np.zeros(32)
    periods_off = np.random.default_rng(seed).choice([0, 0, 0, 1, -1, 2], (32, 20))
    peaks = itd[:, None] + periods_off / cfs[:, None]
    maps = torch.ones(2, 4, 32, 20)
    maps[0, 0] = torch.from_numpy(itd)[:, None]
    maps[1, 0] = torch.from_numpy(np.where(np.abs(peaks) < 1e-3, peaks, itd[:, None]))
    true, found = 2 * np.pi * cfs[:, None] * with_other_head(maps, [size, size], cue_format)[:, 0].numpy()
    assert np.cos(found - true).min() > 0.999


def test_no_head_has_longer_delays_than_the_maps_can_hold():
    cues = draw_cues()
    cues[:, 0] = 950e-6
    warped = with_other_head(cues, [0.9, 1.0, 1.1], FORMAT)
    np.testing.assert_allclose(warped[:, 0, 0, 0], [855e-6, 950e-6, 1000e-6], rtol=1e-6)


@pytest.mark.parametrize("gains", [(3.0, -4.0), (0.0, 6.0)])
def test_other_ears_give_the_cues_of_signals_that_passed_them(gains):
    signal = draw_scene(50, 300)
    found = with_other_ears(cues_of(signal), np.full((1, FORMAT.n_bands, 2), gains))[0]
    expected = cues_of(signal * 10 ** (np.array(gains) / 20))[0]
    # Where one ear's decay into silence has reached the least power, its gain shows no more.
    faint = expected[3] - expected[1].abs() < -115
    assert 0 < faint.float().mean() < 0.5
    torch.testing.assert_close(found[[0, 2]][:, ~faint], expected[[0, 2]][:, ~faint], atol=1e-6, rtol=0)
    torch.testing.assert_close(found[1][~faint], expected[1][~faint], atol=2e-3, rtol=0)
    torch.testing.assert_close(found[3][~faint], expected[3][~faint], atol=2e-3, rtol=0)


def test_silence_stays_silence():
    silence = torch.zeros(2, 4, FORMAT.n_bands, 5)
    silence[:, 3] = -120
    gains = np.random.default_rng(0).normal(0, 6, (2, FORMAT.n_bands, 2))
    assert torch.equal(with_other_ears(silence, gains), silence)
    assert torch.equal(with_other_head(silence, [0.8, 1.2], FORMAT), silence)
    assert torch.equal(mirrored(silence, torch.tensor([3, 4]), [True, False])[0], silence)


def test_mixed_clips_have_both_classes_by_their_shares():
    cues, classes = draw_cues(), torch.tensor([5, 10, 15])
    found, targets = mixed(cues, classes, 0.7, [1, 2, 0])
    torch.testing.assert_close(found[0], 0.7 * cues[0] + 0.3 * cues[1])
    assert [weight for weight, _ in targets] == pytest.approx([0.7, 0.3])
    assert [of.tolist() for _, of in targets] == [[5, 10, 15], [10, 15, 5]]


@given(seed=st.integers(0, 100))
@settings(max_examples=20)
def test_what_is_hidden_is_zero_to_the_model_and_the_rest_is_as_if_it_were_not_there(seed):
    rng, cues = np.random.default_rng(seed), draw_cues(seed=seed)
    normalisation = Normalisation(4, FORMAT.n_bands)
    normalisation.fit([draw_cues(50)])
    hidden = rng.random((3, FORMAT.n_bands, 20)) < 0.3
    seen = normalisation(masked(cues, hidden))
    absent = cues.clone()
    absent[:, 3][torch.from_numpy(hidden)] = -1000
    expected = normalisation(absent)
    where = torch.from_numpy(hidden)[:, None].expand_as(seen)
    assert (seen[where] == 0).all()
    torch.testing.assert_close(seen[~where], expected[~where], atol=1e-5, rtol=1e-5)


def all_on(**changes: float) -> AugmentationConfig:
    on = {"mirror": 0.5, "head_warp": 0.1, "spectral_jitter": 2.0, "mixup": 0.2}
    return AugmentationConfig(**{**on, "mask_bands": 0.3, "mask_frames": 0.3, **changes})


def augmented(config: AugmentationConfig, seed: int = 0, n_clips: int = 200):
    cues, classes = draw_cues(n_clips), torch.arange(n_clips) % 72
    return augment(config, cues, classes, np.random.default_rng(seed), FORMAT)


def test_switched_off_nothing_is_done():
    found, targets = augmented(AugmentationConfig())
    assert torch.equal(found, draw_cues(200))
    assert len(targets) == 1 and torch.equal(targets[0][1], torch.arange(200) % 72)


@pytest.mark.parametrize(
    "switch", ["mirror", "head_warp", "spectral_jitter", "mixup", "mask_bands", "mask_frames"]
)
def test_each_switch_does_something_the_same_for_the_same_seed(switch):
    config = AugmentationConfig(**{switch: getattr(all_on(), switch)})
    (cues, targets), (again, same_targets) = augmented(config), augmented(config)
    torch.testing.assert_close(cues, again, rtol=0, atol=0, equal_nan=True)
    assert all(torch.equal(a[1], b[1]) and a[0] == b[0] for a, b in zip(targets, same_targets, strict=True))
    for others in (draw_cues(200), augmented(config, seed=1)[0]):
        assert not torch.allclose(cues, others, equal_nan=True)
    assert cues.shape == (200, 4, FORMAT.n_bands, 20)
    assert torch.isnan(cues).any() == switch.startswith("mask") and not torch.isinf(cues).any()
    assert sum(weight for weight, _ in targets) == pytest.approx(1) and targets[0][0] >= 0.5


def test_labels_follow_the_mirror_and_nothing_else():
    classes = torch.arange(200) % 72
    _, [(_, found), (_, partner)] = augmented(all_on())
    assert ((found == classes) | (found == -classes % 72)).all()
    assert 60 < (found == -classes % 72).sum() < 140
    assert torch.equal(partner.sort().values, found.sort().values)
    _, [(_, found), _] = augmented(all_on(mirror=0))
    assert torch.equal(found, classes)
    cues, [(_, found)] = augmented(AugmentationConfig(mirror=0.5))
    turned = found != classes
    assert torch.equal(cues[turned, :2], -draw_cues(200)[turned, :2])


def test_spectral_jitter_is_smooth_over_bands_and_of_the_given_size():
    cues = draw_cues(200)
    change = augmented(AugmentationConfig(spectral_jitter=2.0))[0] - cues
    ild = change[:, 1, :, 0]
    torch.testing.assert_close(change[:, 1], ild[..., None].expand_as(change[:, 1]), atol=1e-4, rtol=0)
    assert ild.std().item() == pytest.approx(2 * np.sqrt(2), rel=0.1)
    neighbours = torch.corrcoef(torch.stack([ild[:, 5], ild[:, 6]]))[0, 1]
    distant = torch.corrcoef(torch.stack([ild[:, 0], ild[:, 11]]))[0, 1]
    assert neighbours > 0.85 and abs(distant) < 0.3
    assert not change[:, [0, 2]].any()


@given(bands=SHARES, frames=SHARES, seed=st.integers(0, 100))
@settings(max_examples=30)
def test_masks_hide_one_stretch_each_and_no_more_than_their_share(bands, frames, seed):
    config = AugmentationConfig(mask_bands=bands, mask_frames=frames)
    cues, _ = augmented(config, seed, n_clips=20)
    hidden = torch.isnan(cues[:, 0]).numpy()
    whole_bands, whole_frames = hidden.all(axis=2), hidden.all(axis=1)
    assert (whole_bands.sum(axis=1) <= bands * FORMAT.n_bands).all()
    assert (whole_frames.sum(axis=1) <= frames * 20).all()
    np.testing.assert_array_equal(hidden, whole_bands[:, :, None] | whole_frames[:, None])
    for stretch in (whole_bands, whole_frames):
        assert (np.abs(np.diff(np.pad(stretch, ((0, 0), (1, 1))).astype(int))).sum(axis=1) <= 2).all()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("mirror", 1.1, "mirror must be a probability"),
        ("mixup", -0.1, "mixup must be finite and not negative"),
        ("head_warp", 1.0, "head_warp must be a share below 1"),
        ("mask_bands", 1.0, "mask_bands must be a share below 1"),
        ("mask_frames", float("nan"), "mask_frames must be finite and not negative"),
        ("spectral_jitter", float("inf"), "spectral_jitter must be finite and not negative"),
    ],
)
def test_a_strength_that_cannot_be_is_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        AugmentationConfig(**{field: value})


def test_each_clip_has_a_head_of_its_own_smaller_or_larger():
    itd = draw_cues(200)[:, 0, 0, 0]  # of the lowest band, which no period fits
    sizes = augmented(AugmentationConfig(head_warp=0.1), n_clips=200)[0][:, 0, 0, 0] / itd
    assert 0.9 <= sizes.min() < 0.92 and 1.08 < sizes.max() <= 1.1 and len(sizes.unique()) > 190


def test_a_silent_band_stays_silent_beside_others_and_teaches_them_nothing():
    cues = draw_cues()
    for silent in (slice(5, 6), slice(3, None)):
        cues[:, :3, silent] = 0
        cues[:, 3, silent] = -120
        warped = with_other_head(cues, [0.9, 1.0, 1.1], FORMAT)
        assert torch.isfinite(warped).all()
        assert torch.equal(warped[:, :, silent], cues[:, :, silent])


@pytest.mark.parametrize("size", [0.9, 0.97, 1.03, 1.1])
def test_a_level_difference_is_not_made_smaller_by_a_silent_band_beside_it(size):
    cues = draw_cues(1)
    cues[:, 1] = 10.0
    cues[:, 1:3, 5] = 0
    cues[:, 1:3, 7] = 0
    heard = cues[:, 2] > 0
    assert with_other_head(cues, [size], FORMAT)[:, 1][heard].unique().tolist() == [10.0]


def test_the_first_class_of_a_mixture_is_the_heavier():
    for seed in range(20):
        assert augmented(AugmentationConfig(mixup=0.2), seed)[1][0][0] >= 0.5


@pytest.mark.parametrize("mixup", [0.2, 2.0])
def test_mixtures_are_in_ratios_of_the_beta_distribution(mixup):
    heavier = [augmented(AugmentationConfig(mixup=mixup), seed, n_clips=2)[1][0][0] for seed in range(300)]
    # Either clip may be the heavier one, and both are as likely.
    assert stats.kstest(heavier, lambda x: 2 * stats.beta(mixup, mixup).cdf(x) - 1).pvalue > 0.01


def test_the_largest_share_is_reached_whatever_its_last_bit():
    assert int(0.29 * 100) == 28
    hidden = _draw_stretches(1000, 100, 0.29, np.random.default_rng(0))
    assert hidden.sum(axis=1).max() == 29


def test_masks_have_every_width_and_place():
    hidden = torch.isnan(augmented(AugmentationConfig(mask_bands=0.5), n_clips=400)[0][:, 0, :, 0]).numpy()
    assert set(hidden.sum(axis=1)) == set(range(7))
    share = hidden.mean(axis=0)
    assert share.min() > 0 and share.max() < 1
    np.testing.assert_allclose(share, share[::-1], atol=0.1)  # no end is hidden more often than the other


def test_spectral_jitter_of_bands_four_apart_hangs_together_as_two_kernels_do():
    change = augmented(AugmentationConfig(spectral_jitter=2.0), n_clips=2000)[0] - draw_cues(2000)
    found = torch.corrcoef(change[:, 1, [4, 8], 0].T)[0, 1]
    assert found == pytest.approx(np.exp(-1), abs=0.08)
