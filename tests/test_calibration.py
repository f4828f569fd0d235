"""Confidence against accuracy: counted by hand, and where the answer is known."""

import numpy as np
import pytest

from localization.calibration import calibration_error, reliability


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


def test_bins_without_clips_are_unknown():
    found = reliability([0.95], [True])
    assert found.n_clips.tolist() == [0] * 9 + [1]
    assert np.isnan(found.accuracy[:9]).all()
    assert calibration_error(found) == pytest.approx(0.05)
