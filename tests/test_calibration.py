"""Confidence against accuracy: counted by hand, and where the answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from localization.calibration import at_temperature, calibration_error, fit_temperature, reliability


def test_reliability_equals_counting():
    rng = np.random.default_rng(7)
    confidence = np.append(rng.random(500), [0.0, 0.1, 0.2, 1.0])
    hit = rng.random(504) < confidence
    found = reliability(confidence, hit)
    bins = [sum(c > edge for edge in np.arange(1, 10) / 10) for c in confidence]
    for k in range(10):
        inside = np.array([b == k for b in bins])
        assert found.n_clips[k] == inside.sum()
        assert found.confidence[k] == pytest.approx(confidence[inside].mean())
        assert found.accuracy[k] == pytest.approx(hit[inside].mean())


def test_calibration_error_is_near_zero_where_confidence_is_true_and_large_where_it_is_not():
    rng = np.random.default_rng(8)
    confidence = rng.random(20000)
    true_to_word = calibration_error(reliability(confidence, rng.random(20000) < confidence))
    assert true_to_word < 0.02
    always_sure = calibration_error(reliability(np.ones(1000), np.arange(1000) < 700))
    assert always_sure == pytest.approx(0.3)


@pytest.mark.parametrize("confidence", [[], [0.5, np.nan]])
def test_nothing_is_no_perfect_calibration(confidence):
    with pytest.raises(ValueError, match="confidence: that of at least one clip expected, all finite"):
        reliability(confidence, [True] * len(confidence))


@pytest.mark.parametrize("impossible", [-np.inf, np.nan])
def test_no_temperature_fits_what_was_held_to_be_impossible(impossible):
    logits = np.zeros((2, 72))
    logits[1, 5] = impossible
    with pytest.raises(ValueError, match="log_probabilities: those of the true classes must be finite"):
        fit_temperature(logits, [0, 5])
    assert np.isfinite(fit_temperature(np.where(np.isnan(logits), 0, logits), [0, 6]))


@pytest.mark.parametrize("logits", [np.zeros((0, 72)), [[0.0, np.nan]]])
def test_no_temperature_fits_no_clips_and_no_numbers(logits):
    with pytest.raises(ValueError, match="of one clip at least, and none NaN"):
        fit_temperature(logits, np.zeros(len(logits), dtype=int))


def test_bins_without_clips_are_unknown():
    found = reliability([0.95], [True])
    assert found.n_clips.tolist() == [0] * 9 + [1]
    assert np.isnan(found.accuracy[:9]).all()
    assert calibration_error(found) == pytest.approx(0.05)


def draw_judged(seed: int, temperature: float, n_clips: int = 4000):
    """Logits (n_clips, 72) that would be calibrated if they were divided by a temperature, and classes."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n_clips, 72))
    cumulated = softmax(logits, axis=1).cumsum(axis=1)
    true = (rng.random((n_clips, 1)) > cumulated).sum(axis=1).clip(max=71)
    return temperature * logits, true


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_the_temperature_that_was_wrong_is_found_and_calibrates(temperature):
    logits, true = draw_judged(0, temperature)
    found = fit_temperature(logits, true)
    assert found == pytest.approx(temperature, rel=0.05)
    errors = []
    for p in (softmax(logits, axis=1), softmax(logits / found, axis=1)):
        errors.append(calibration_error(reliability(p.max(axis=1), p.argmax(axis=1) == true)))
    assert errors[1] < 0.02 and (temperature == 1 or errors[0] > 0.1)


@given(seed=st.integers(0, 100), other=st.floats(0.1, 10))
@settings(max_examples=20)
def test_no_other_temperature_fits_better(seed, other):
    logits, true = draw_judged(seed, 1.3, n_clips=30)

    def loss(temperature: float) -> float:
        return -log_softmax(logits / temperature, axis=1)[np.arange(30), true].mean()

    assert loss(fit_temperature(logits, true)) <= loss(other) + 1e-9


def test_logarithms_of_probabilities_do_as_well_as_logits():
    logits, true = draw_judged(3, 0.5, n_clips=200)
    found = fit_temperature(log_softmax(logits + 7, axis=1), true)
    assert found == pytest.approx(fit_temperature(logits, true), rel=1e-5)


def test_a_model_that_is_never_wrong_stays_within_bounds():
    assert 0.05 <= fit_temperature(5 * np.eye(72), np.arange(72)) < 0.3  # where the loss is 0 to the last bit
    assert fit_temperature(5 * np.eye(72), np.roll(np.arange(72), 9)) == pytest.approx(100, rel=1e-3)


@given(temperature=st.floats(0.1, 10), seed=st.integers(0, 100))
@settings(max_examples=20)
def test_probabilities_at_a_temperature_are_those_of_the_divided_logits(temperature, seed):
    logits = np.random.default_rng(seed).normal(0, 2, (4, 72))
    p = at_temperature(log_softmax(logits, axis=1), temperature)
    np.testing.assert_allclose(p, softmax(logits / temperature, axis=1), rtol=1e-9, atol=1e-300)


def test_what_is_impossible_stays_so():
    np.testing.assert_array_equal(at_temperature([-np.inf, 0.0], 3.0), [0, 1])
