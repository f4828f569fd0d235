"""Delays between responses, and responses between measured ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from database.alignment import delay_between, delayed, interaural_differences, response_between


def pulse(onset: float, n_samples: int = 128, width: float = 2.0) -> np.ndarray:
    return np.exp(-0.5 * ((np.arange(n_samples) - onset) / width) ** 2)


@given(delay=st.floats(-20, 20), gain=st.floats(0.01, 100))
@settings(max_examples=50, deadline=None)
def test_a_delay_is_found_to_a_fiftieth_of_a_sample(delay, gain):
    assert delay_between(pulse(50), gain * pulse(50 + delay), 30) == pytest.approx(delay, abs=0.02)


def test_the_delay_between_is_sought_within_its_limit():
    assert abs(delay_between(pulse(30), pulse(60), 10)) <= 10.2


def test_many_pairs_at_once_are_each_their_own():
    first = np.stack([pulse(50), pulse(40)])
    second = np.stack([pulse(53.5), pulse(38)])
    np.testing.assert_allclose(delay_between(first, second, 20), [3.5, -2], atol=0.02)
    assert delay_between(pulse(50), pulse(50), 20) == pytest.approx(0, abs=1e-12)


@given(delays=st.tuples(st.floats(0, 40), st.floats(0, 40)))
@settings(max_examples=30, deadline=None)
def test_a_delayed_response_is_the_same_shape_later(delays):
    response = np.stack([pulse(50), pulse(60)], axis=1)
    moved = delayed(response, np.array(delays))
    expected = np.stack([pulse(50 + delays[0], len(moved)), pulse(60 + delays[1], len(moved))], axis=1)
    np.testing.assert_allclose(moved, expected, atol=1e-6)


def test_the_response_halfway_has_the_delay_and_the_level_halfway():
    first = np.stack([pulse(50), pulse(50)], axis=1)
    second = np.stack([0.5 * pulse(44), 2 * pulse(57)], axis=1)
    between = response_between(first, second, 0.25, 10)
    expected = np.stack([0.875 * pulse(48.5), 1.25 * pulse(51.75)], axis=1)
    np.testing.assert_allclose(between, expected, atol=0.02)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_at_a_measured_direction_the_response_is_the_measured_one(weight):
    rng = np.random.default_rng(0)
    ends = rng.standard_normal((2, 64, 2)) * pulse(20, 64, 8)[None, :, None]
    between = response_between(ends[0], ends[1], weight, 5)
    np.testing.assert_allclose(between, ends[int(weight)], atol=1e-9)


def test_unlike_responses_do_not_cancel():
    rng = np.random.default_rng(1)
    first, second = rng.standard_normal((2, 256, 2))
    between = response_between(first, second, 0.5, 5)
    level_db = 10 * np.log10(np.sum(between**2) / np.mean([np.sum(first**2), np.sum(second**2)]))
    assert level_db == pytest.approx(0, abs=2)  # their plain mean is 3 dB down


def test_interaural_differences_follow_the_convention_and_swap_with_the_ears():
    response = np.stack([2 * pulse(50), pulse(61.25)], axis=1)
    itd, ild = interaural_differences(response, 16000)
    assert itd == pytest.approx(11.25 / 16000, abs=2e-6)
    assert ild == pytest.approx(6.02, abs=0.01)
    swapped = interaural_differences(response[:, ::-1], 16000)
    np.testing.assert_allclose(swapped, (-itd, -ild))
