"""What is read from a SOFA file, and what is refused."""

import h5py
import numpy as np
import pytest
from sofa_files import FS, N_TAPS, pulses, spherical, write_sofa

from database.alignment import interaural_differences
from database.sofa import circular_distance, read_horizontal

GRID = np.arange(0.0, 360.0, 15.0)


def test_only_the_horizontal_plane_is_read_sorted_by_azimuth(tmp_path):
    positions = np.concatenate([spherical(GRID[::-1]), spherical(GRID, 30), spherical(GRID, -1.5)])
    responses = np.concatenate([pulses(GRID[::-1]), np.ones((48, N_TAPS, 2))])
    horizontal = read_horizontal(write_sofa(tmp_path / "a.sofa", positions, responses))
    np.testing.assert_array_equal(horizontal.azimuths, GRID)
    np.testing.assert_array_equal(horizontal.responses, pulses(GRID))
    assert horizontal.fs == FS


def test_azimuths_below_zero_and_360_are_wrapped(tmp_path):
    azimuths = (GRID + 180) % 360 - 180
    azimuths[0] = 360.0
    azimuths[1] -= 1e-13
    positions = spherical(np.append(azimuths, [-1e-15]))  # the front a second time, as remainder 360
    path = write_sofa(tmp_path / "a.sofa", positions, np.concatenate([pulses(GRID), pulses([0.0])]))
    np.testing.assert_array_equal(read_horizontal(path).azimuths, GRID)


def test_cartesian_positions_are_the_same_directions(tmp_path):
    radians = np.radians(GRID)
    positions = 1.2 * np.column_stack([np.cos(radians), np.sin(radians), np.zeros(len(GRID))])
    path = write_sofa(tmp_path / "a.sofa", positions, pulses(GRID), kind="cartesian", units="metre")
    horizontal = read_horizontal(path)
    np.testing.assert_allclose(horizontal.azimuths, GRID)
    np.testing.assert_array_equal(horizontal.responses, pulses(GRID))


def test_of_a_direction_measured_twice_the_one_nearest_to_the_plane_and_farthest_away_is_taken(tmp_path):
    off, close, far = spherical(GRID, 0.8), spherical(GRID), spherical(GRID)
    close[:, 2] = 0.5
    responses = np.concatenate([1 * pulses(GRID), 2 * pulses(GRID), 3 * pulses(GRID)])
    path = write_sofa(tmp_path / "a.sofa", np.concatenate([off, close, far]), responses)
    np.testing.assert_array_equal(read_horizontal(path).responses, 3 * pulses(GRID))


def test_delays_for_every_direction_are_put_into_the_responses(tmp_path):
    side = np.sin(np.radians(GRID))
    delays = 1000.25 + 15.4 * np.column_stack([-side, side])
    aligned = (
        np.repeat(pulses([0.0]), len(GRID), axis=0) * np.array([1.5, 1.0]) ** np.sign(side)[:, None, None]
    )
    path = write_sofa(tmp_path / "a.sofa", spherical(GRID), aligned, {"Data.Delay": delays})
    horizontal = read_horizontal(path)
    itd, _ = interaural_differences(horizontal.responses, FS)
    np.testing.assert_allclose(itd, 2 * 15.4 * side / FS, atol=1e-6)
    assert horizontal.responses.shape[1] < N_TAPS + 40  # what all share of the delay is left out


def test_one_delay_for_all_directions_moves_one_ear(tmp_path):
    plain = read_horizontal(write_sofa(tmp_path / "a.sofa", spherical(GRID), pulses(GRID)))
    path = write_sofa(tmp_path / "b.sofa", spherical(GRID), pulses(GRID), {"Data.Delay": [[7.0, 10.0]]})
    delayed = read_horizontal(path)
    np.testing.assert_allclose(delayed.responses[:, :N_TAPS, 0], plain.responses[..., 0], atol=1e-12)
    np.testing.assert_allclose(delayed.responses[:, 3:, 1], plain.responses[..., 1], atol=1e-12)


def test_a_file_without_delays_has_none(tmp_path):
    path = write_sofa(tmp_path / "a.sofa", spherical(GRID), pulses(GRID), {"Data.Delay": None})
    np.testing.assert_array_equal(read_horizontal(path).responses, pulses(GRID))


def with_nan(values):
    values = np.array(values, float)
    values.flat[3] = np.nan
    return values


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"Data.SamplingRate": [44.1]}, r"one rate in Hz, found \[44.1\] \(in kHz\?\)"),
        ({"Data.SamplingRate": [44100.0, 48000.0]}, "Data.SamplingRate must be one rate"),
        ({"Data.SamplingRate": h5py.Empty("f8")}, "Data.SamplingRate must be numbers, found none"),
        ({"Data.Delay": [[0.0, 9.969e36]]}, "Data.Delay holds values that are missing, NaN"),  # netCDF's mark
        ({"SourcePosition": with_nan(spherical(GRID))}, "SourcePosition holds values that are missing, NaN"),
        ({"SourcePosition": spherical(GRID)[:, :2]}, r"SourcePosition must be \(directions, 3\)"),
        ({"SourcePosition": spherical(GRID[1:])}, r"Data.IR must be \(23 directions, 2 ears, taps\)"),
        ({"SourcePosition": np.full((24, 3), "x", "S1")}, "SourcePosition must be numbers"),
        (
            {"Data.IR": with_nan(pulses(GRID).transpose(0, 2, 1))},
            "Data.IR holds values that are missing, NaN",
        ),
        ({"Data.IR": pulses(GRID)[:, :, 0]}, "Data.IR must be"),
        ({"Data.IR": np.zeros((24, 2, 64))}, "azimuth 0 is silent or far too loud in one ear"),
        ({"Data.IR": 1e20 * pulses(GRID).transpose(0, 2, 1)}, "azimuth 0 is silent or far too loud"),
        ({"Data.Delay": [[0.0, np.inf]]}, "Data.Delay holds values that are missing, NaN"),
        ({"Data.Delay": [[0.0, 1e9]]}, "Data.Delay differs by 1e[+]09 samples"),
        ({"Data.Delay": np.zeros((5, 2))}, r"Data.Delay must be \(1, 2\) or \(24, 2\), found \(5, 2\)"),
        ({"ListenerView": [[0.0, 1.0, 0.0]]}, "ListenerView must be the front"),
        ({"ListenerPosition": [[0.0, 0.5, 0.0]]}, r"ListenerPosition must be the origin .* 0\.5 m off"),
    ],
)
def test_what_cannot_be_is_refused_with_the_name_of_the_file(tmp_path, variables, message):
    path = write_sofa(tmp_path / "odd.sofa", spherical(GRID), pulses(GRID), variables)
    with pytest.raises(ValueError, match=rf"odd\.sofa: .*{message}"):
        read_horizontal(path)


def test_units_and_coordinates_that_are_not_understood_are_refused(tmp_path):
    radians = np.radians(spherical(GRID))
    path = write_sofa(tmp_path / "a.sofa", radians, pulses(GRID), units="radian, radian, metre")
    with pytest.raises(ValueError, match="must be in degree, degree, metre, found radian"):
        read_horizontal(path)
    path = write_sofa(tmp_path / "b.sofa", spherical(GRID), pulses(GRID), kind="cylindrical")
    with pytest.raises(ValueError, match="must be spherical or cartesian, found cylindrical"):
        read_horizontal(path)


def test_a_listener_who_looks_to_the_front_is_accepted(tmp_path):
    path = write_sofa(tmp_path / "a.sofa", spherical(GRID), pulses(GRID), {"ListenerView": [[2.0, 0.0, 0.0]]})
    assert len(read_horizontal(path).azimuths) == len(GRID)


def test_a_head_measured_in_front_and_behind_alone_cannot_tell_its_ears(tmp_path):
    azimuths = np.array([0.0, 15.0, 180.0, 345.0])
    path = write_sofa(tmp_path / "a.sofa", spherical(azimuths), pulses(azimuths))
    with pytest.raises(ValueError, match=r"a\.sofa: no direction within 60 degrees of .* which ear is which"):
        read_horizontal(path)


def test_a_truncated_file_is_refused(tmp_path):
    path = write_sofa(tmp_path / "a.sofa", spherical(GRID), pulses(GRID))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(OSError, match=r"a\.sofa: damaged or truncated"):
        read_horizontal(path)


def test_circular_distance_is_the_short_way_round():
    np.testing.assert_allclose(circular_distance(np.array([0, 359, 181, -90.0]), 1.0), [1, 2, 180, 91])
