"""Azimuths, classes and distances on the circle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localization.angles import (
    N_CLASSES,
    angular_difference,
    azimuth_class,
    class_azimuth,
    front_back_mirror,
    lateral_step,
)

DEGREES = st.floats(-1e4, 1e4)
CLASSES = st.integers(0, N_CLASSES - 1)


def test_class_of_each_azimuth_is_the_way_back():
    np.testing.assert_array_equal(azimuth_class(class_azimuth(np.arange(72))), np.arange(72))


@given(DEGREES)
def test_no_other_class_is_nearer(azimuth):
    distances = np.abs(angular_difference(class_azimuth(np.arange(72)), azimuth))
    assert distances[azimuth_class(azimuth)] <= distances.min() + 1e-9


@given(st.floats(0, 359.999), st.integers(-20, 20))
def test_whole_turns_change_no_class(azimuth, turns):
    # Half-way between two classes rounding may decide.
    if abs(azimuth % 5 - 2.5) > 1e-9:
        assert azimuth_class(azimuth + 360 * turns) == azimuth_class(azimuth)


@given(DEGREES, DEGREES)
def test_difference_is_the_short_way_round(a, b):
    difference = angular_difference(a, b)
    assert -180 < difference <= 180
    assert np.cos(np.radians(difference)) == pytest.approx(np.cos(np.radians(a - b)), abs=1e-9)
    assert np.sin(np.radians(difference)) == pytest.approx(np.sin(np.radians(a - b)), abs=1e-9)


@pytest.mark.parametrize("b", [180 - 1e-14, 180 + 1e-14, np.nextafter(180, 0), np.nextafter(180, 360)])
def test_difference_next_to_half_a_turn_never_is_minus_180(b):
    for a in (0.0, 360.0, 1e-14):
        assert -180 < angular_difference(a, b) <= 180


@given(CLASSES, CLASSES, CLASSES)
def test_rotating_both_changes_no_difference(a, b, turn):
    before = angular_difference(class_azimuth(a), class_azimuth(b))
    after = angular_difference(class_azimuth((a + turn) % 72), class_azimuth((b + turn) % 72))
    assert before == after


@given(DEGREES)
def test_mirror_keeps_left_and_right_and_swaps_front_and_back(azimuth):
    mirrored = front_back_mirror(azimuth)
    assert 0 <= mirrored < 360
    assert np.sin(np.radians(mirrored)) == pytest.approx(np.sin(np.radians(azimuth)), abs=1e-9)
    assert np.cos(np.radians(mirrored)) == pytest.approx(-np.cos(np.radians(azimuth)), abs=1e-9)


def test_shapes_are_kept():
    azimuths = np.zeros((2, 3))
    for function in (azimuth_class, front_back_mirror):
        assert function(azimuths).shape == (2, 3)
        assert function(10.0).shape == ()
    assert angular_difference(azimuths, np.zeros(3)).shape == (2, 3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_azimuth_is_refused(bad):
    for function in (azimuth_class, front_back_mirror):
        with pytest.raises(ValueError, match="azimuth: azimuths must be finite"):
            function([0.0, bad])
    with pytest.raises(ValueError, match="b: azimuths must be finite"):
        angular_difference(0.0, bad)


@pytest.mark.parametrize(
    ("bad", "message"), [([0, 72], "found 0 … 72"), ([-1, 3], "found -1 … 3"), ([1.0], "found float64")]
)
def test_what_is_no_class_is_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        class_azimuth(bad)


@given(CLASSES, CLASSES)
def test_lateral_steps_are_in_the_order_of_the_sine(k, other):
    step, other_step = lateral_step([k, other])
    difference = np.sin(np.radians(5 * k)) - np.sin(np.radians(5 * other))
    assert np.sign(step - other_step) == np.sign(np.round(difference, 9))
    assert np.sin(np.radians(5 * step)) == pytest.approx(np.sin(np.radians(5 * k)))


def test_half_way_between_two_classes_is_the_next_one():
    np.testing.assert_array_equal(azimuth_class([2.5, 7.5, 357.5]), [1, 2, 0])


@pytest.mark.parametrize("azimuth", [180 + 1e-14, np.nextafter(180, 360)])
def test_the_mirror_of_just_past_behind_is_no_whole_turn(azimuth):
    assert 0 <= front_back_mirror(azimuth) < 360
