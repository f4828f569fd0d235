"""Rendering and mixing: what comes out is measured by other means than those it was made by."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from database.mixing import mix, render, render_field

decibels = st.floats(-40, 60)
seeds = st.integers(0, 2**32 - 1)


def scene(seed, n_samples=600, n_taps=40, n_noises=2):
    """Clips and responses: speech, its response, noises, theirs."""
    rng = np.random.default_rng(seed)
    clips = rng.standard_normal((1 + n_noises, n_samples)) * rng.uniform(1e-4, 1e4, (1 + n_noises, 1))
    responses = rng.standard_normal((1 + n_noises, n_taps, 2)) * np.exp(-np.arange(n_taps) / 8)[:, np.newaxis]
    return clips[0], responses[0], list(clips[1:]), list(responses[1:])


def directly(clip, response):
    """The definition of the convolution, without a transform."""
    return np.stack([np.convolve(clip, ear)[: len(clip)] for ear in response.T], axis=1)


def power_db(signal):
    return 10 * np.log10(np.mean(signal**2))


def measured(mixture, parts):
    """The parts at the levels that they have in the mixture, found by least squares."""
    matrix = np.stack([part.ravel() for part in parts], axis=1)
    norms = np.linalg.norm(matrix, axis=0)
    gains, residual, *_ = np.linalg.lstsq(matrix / norms, mixture.ravel(), rcond=None)
    assert residual.size == 0 or residual[0] < 1e-20 * np.sum(mixture**2)
    return [gain / norm * part for gain, norm, part in zip(gains, norms, parts, strict=True)]


@pytest.mark.parametrize("n_taps", [1, 7, 200, 599, 600, 2000])
def test_rendering_is_the_convolution_cut_to_the_clip(n_taps):
    clip, response, _, _ = scene(0, n_taps=n_taps)
    rendered = render(clip, response)
    assert rendered.shape == (600, 2)
    np.testing.assert_allclose(
        rendered, directly(clip, response), rtol=0, atol=1e-12 * np.abs(clip).max() * 40
    )


def test_each_ear_is_rendered_with_its_own_response():
    clip = np.random.default_rng(0).standard_normal(100)
    rendered = render(clip, [[0.5, 0.0], [0.0, 0.0], [0.0, 1.0]])
    np.testing.assert_allclose(rendered[:, 0], 0.5 * clip, atol=1e-13)
    np.testing.assert_allclose(rendered[2:, 1], clip[:-2], atol=1e-13)


@pytest.mark.parametrize(("n_places", "n_taps"), [(1, 40), (5, 1), (5, 40), (3, 700)])
def test_a_field_is_the_sum_of_its_places(n_places, n_taps):
    _, _, clips, responses = scene(8, n_taps=n_taps, n_noises=n_places)
    expected = sum(map(directly, clips, responses))
    field = render_field(clips, responses)
    assert field.shape == (600, 2)
    np.testing.assert_allclose(field, expected, rtol=0, atol=1e-12 * np.abs(clips).max() * 40)


def test_a_noise_from_many_places_has_its_level():
    speech, response, clips, responses = scene(9, n_noises=5)
    mixture = mix(speech, response, [clips[:4], clips[4]], [responses[:4], responses[4]], [-3.0, 8.0], -6.0)
    parts = [directly(speech, response), sum(map(directly, clips[:4], responses[:4]))]
    target, noise_1, noise_2 = measured(mixture.signal, [*parts, directly(clips[4], responses[4])])
    assert power_db(target) - power_db(noise_1) == pytest.approx(-3.0, abs=0.01)
    assert power_db(target) - power_db(noise_2) == pytest.approx(8.0, abs=0.01)
    assert power_db(target) - power_db(noise_1 + noise_2) == pytest.approx(mixture.snr_db, abs=0.01)


@settings(max_examples=50, deadline=None)
@given(seeds, decibels, decibels, st.floats(-60, 0))
def test_measured_levels_are_those_asked_for(seed, snr_1, snr_2, peak_db):
    speech, response, noises, noise_responses = scene(seed)
    mixture = mix(speech, response, noises, noise_responses, [snr_1, snr_2], peak_db)
    parts = [directly(speech, response), *map(directly, noises, noise_responses)]
    target, noise_1, noise_2 = measured(mixture.signal, parts)
    assert power_db(target) - power_db(noise_1) == pytest.approx(snr_1, abs=0.01)
    assert power_db(target) - power_db(noise_2) == pytest.approx(snr_2, abs=0.01)
    assert power_db(target) - power_db(noise_1 + noise_2) == pytest.approx(mixture.snr_db, abs=0.01)
    assert np.abs(mixture.signal).max() == pytest.approx(10 ** (peak_db / 20), rel=1e-14)


@settings(max_examples=30, deadline=None)
@given(seeds, st.lists(st.floats(-80, 80), min_size=3, max_size=3))
def test_levels_of_the_clips_do_not_matter(seed, gains_db):
    speech, response, noises, noise_responses = scene(seed)
    gains = 10 ** (np.array(gains_db) / 20)
    plain = mix(speech, response, noises, noise_responses, [3.0, 12.0], -6.0)
    scaled_noises = [gain * noise for gain, noise in zip(gains[1:], noises, strict=True)]
    scaled = mix(gains[0] * speech, response, scaled_noises, noise_responses, [3.0, 12.0], -6.0)
    np.testing.assert_allclose(scaled.signal, plain.signal, rtol=0, atol=1e-12)
    assert scaled.snr_db == pytest.approx(plain.snr_db, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_swapping_the_ears_swaps_the_channels(seed):
    speech, response, noises, noise_responses = scene(seed)
    plain = mix(speech, response, noises, noise_responses, [0.0, 10.0], -3.0)
    swapped = mix(speech, response[:, ::-1], noises, [r[:, ::-1] for r in noise_responses], [0.0, 10.0], -3.0)
    np.testing.assert_allclose(swapped.signal, plain.signal[:, ::-1], rtol=0, atol=1e-13)


def test_two_equal_independent_noises_cost_3_db():
    speech, response, noises, noise_responses = scene(1, n_samples=16_000)
    mixture = mix(speech, response, noises, noise_responses, [10.0, 10.0], -1.0)
    assert mixture.snr_db == pytest.approx(10.0 - 10 * np.log10(2), abs=0.2)


def test_without_noise_there_is_the_target_alone():
    speech, response, _, _ = scene(2)
    mixture = mix(speech, response, [], [], [], 0.0)
    target = render(speech, response)
    assert mixture.snr_db == np.inf
    np.testing.assert_allclose(mixture.signal, target / np.abs(target).max(), rtol=1e-12)


def test_single_precision_holds_the_levels():
    """The mixtures are stored as float32."""
    speech, response, noises, noise_responses = scene(3, n_samples=16_000)
    mixture = mix(speech, response, noises, noise_responses, [40.0, 30.0], -21.0)
    stored = mixture.signal.astype(np.float32).astype(np.float64)
    parts = [directly(speech, response), *map(directly, noises, noise_responses)]
    matrix = np.stack([part.ravel() for part in parts], axis=1)
    gains = np.linalg.lstsq(matrix, stored.ravel(), rcond=None)[0]
    levels = [power_db(gain * part) for gain, part in zip(gains, parts, strict=True)]
    assert levels[0] - levels[1] == pytest.approx(40.0, abs=0.01)
    assert levels[0] - levels[2] == pytest.approx(30.0, abs=0.01)


def test_same_input_same_bits():
    speech, response, noises, noise_responses = scene(4)
    first, second = (mix(speech, response, noises, noise_responses, [5.0, 6.0], -2.0) for _ in range(2))
    assert first.signal.tobytes() == second.signal.tobytes()
    assert first.snr_db == second.snr_db


def arguments(**changes):
    speech, response, noises, noise_responses = scene(5)
    plain = {
        "speech": speech,
        "response": response,
        "noises": noises,
        "noise_responses": noise_responses,
        "snrs_db": [0.0, 0.0],
        "peak_db": -6.0,
    }
    return plain | changes


late = np.zeros(600)
late[-1] = 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"speech": np.zeros(600)}, "speech: silent"),
        ({"speech": np.full(600, 1e-200)}, "speech: silent"),
        ({"response": np.zeros((40, 2))}, "speech: silent"),
        ({"speech": late, "response": np.eye(2)[[1, 1]] * [[0], [1]]}, "speech: silent"),
        ({"noises": [np.ones(600), np.zeros(600)]}, r"noises\[1\]: silent"),
        ({"speech": np.full(600, np.nan)}, "speech: .* NaN"),
        ({"noises": [np.full(600, np.inf), np.ones(600)]}, r"noises\[0\]: .* NaN or inf"),
        ({"noises": [np.ones(500), np.ones(600)]}, r"noises\[0\]: 500 samples, but the speech has 600"),
        (
            {"speech": np.ones((600, 2))},
            r"speech: clip: expected \(n_samples,\), one channel, got shape \(600, 2\)",
        ),
        ({"speech": []}, "speech: clip: expected"),
        ({"noises": [np.ones(600), np.ones((600, 2))]}, r"noises\[1\]: clip: expected"),
        (
            {"response": np.ones((2, 40))},
            r"response: expected \(n_taps, 2\), left ear first, got shape \(2, 40\)",
        ),
        (
            {"noise_responses": [np.ones((3, 40, 2)), np.ones((40, 2))]},
            r"noises\[0\]: clips: expected \(n_places, n_samples\), got shape \(600,\)",
        ),
        (
            {"noises": [np.ones((2, 600)), np.ones(600)], "noise_responses": [np.ones((3, 40, 2))] * 2},
            r"responses: expected \(2, n_taps, 2\), got shape \(3, 40, 2\)",
        ),
        (
            {"noises": [np.zeros((3, 600))] * 2, "noise_responses": [np.ones((3, 40, 2))] * 2},
            r"noises\[0\]: silent",
        ),
        ({"snrs_db": [0.0]}, "2 noises, 2 noise_responses, 1 snrs_db"),
        ({"snrs_db": [0.0, np.nan]}, r"snrs_db\[1\]: expected dB within"),
        ({"snrs_db": [-1000.0, 0.0]}, r"snrs_db\[0\]: expected dB within"),
        ({"peak_db": 0.5}, "peak_db: expected dB re full scale, from -100 to 0, got 0.5"),
        ({"peak_db": -101}, "peak_db: "),
        ({"peak_db": np.nan}, "peak_db: "),
        ({"peak_db": -np.inf}, "peak_db: "),
    ],
)
# An infinite sample cannot be transformed without a warning; the refusal is what counts.
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_bad_input_is_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        mix(**arguments(**changes))


def test_parts_that_cancel_are_refused():
    speech, response, _, _ = scene(6)
    with pytest.raises(ValueError, match="cancel each other"):
        mix(speech, response, [-speech], [response], [0.0], -6.0)


def test_parts_that_all_but_cancel_are_refused():
    speech, response, _, _ = scene(6)
    with pytest.raises(ValueError, match="cancel each other"):
        mix(speech, response, [-(1 + 1e-13) * speech], [response], [0.0], -6.0)
