"""The built-in head, heads from SOFA files, and what is filled in between measured azimuths."""

import pickle

import numpy as np
import pytest
import sofar
from head_measures import spectra
from hypothesis import given, settings
from hypothesis import strategies as st
from sofa_files import FS, pulses, spherical, write_sofa

from database.alignment import interaural_differences
from database.data.make_kemar import make_kemar
from database.facing import facing_front, low_itd
from database.hrtf import AZIMUTHS, Head, kemar, read_head


@pytest.fixture
def path(tmp_path):
    return tmp_path / "analytic.sofa"


# ---- the built-in head


@pytest.mark.parametrize(
    ("azimuth", "itd_us", "ild_db"),
    [
        (0, 0, 0),
        (45, 385, 10.6),
        (90, 726, 11.8),
        (135, 385, 9.9),
        (180, 0, 0),
        (225, -385, -9.9),
        (270, -726, -11.8),
        (315, -385, -10.6),
    ],
)
def test_kemar_has_the_published_differences_between_the_ears(azimuth, itd_us, ild_db):
    # reference: broadband cross-correlation at whole samples of 22.7 µs, computed with another program
    itd, ild = interaural_differences(kemar().response(azimuth), 44100)
    assert 1e6 * itd == pytest.approx(itd_us, abs=11.4)
    assert ild == pytest.approx(ild_db, abs=0.05)


def test_kemar_on_the_left_is_earlier_and_louder_on_the_left():
    left, right = kemar().response(90).T
    assert np.argmax(np.abs(left)) < np.argmax(np.abs(right))
    assert np.sum(left**2) > np.sum(right**2)


def test_kemar_is_left_right_symmetric():
    responses = kemar().responses
    np.testing.assert_array_equal(responses[1:, :, 0], responses[:0:-1, :, 1])


def test_kemar_is_made_of_the_published_file_only(path):
    write_sofa(path, spherical(AZIMUTHS), pulses(AZIMUTHS))
    with pytest.raises(ValueError, match=r"analytic\.sofa: not the published file"):
        make_kemar(path, path.with_suffix(".npz"))


# ---- a head


@given(azimuth=st.sampled_from(AZIMUTHS.tolist()), off=st.floats(-0.99, 0.99), turns=st.integers(-3, 3))
@settings(max_examples=30, deadline=None)
def test_a_response_is_the_nearest_azimuths_however_often_turned(azimuth, off, turns):
    head = Head("analytic", FS, AZIMUTHS, pulses(AZIMUTHS))
    np.testing.assert_array_equal(head.response(azimuth + off + 360 * turns), pulses([azimuth])[0])


@pytest.mark.parametrize("azimuth", [2.5, 358.5, np.nan])
def test_an_azimuth_that_the_head_lacks_is_refused(azimuth):
    with pytest.raises(
        ValueError, match=f"head MIT KEMAR has no response within 1 degree of azimuth {azimuth:g}"
    ):
        kemar().response(azimuth)


@pytest.mark.parametrize(
    ("azimuths", "responses", "message"),
    [
        ([0.0, 5.0], np.ones((2, 2, 8)), r"responses must be \(2, n_taps, 2\), found \(2, 2, 8\)"),
        ([5.0, 0.0], np.ones((2, 8, 2)), "must ascend"),
        ([], np.ones((0, 8, 2)), r"azimuths must be \(n_directions,\), found \(0,\)"),
        ([[0.0]], np.ones((1, 8, 2)), r"azimuths must be \(n_directions,\), found \(1, 1\)"),
        ([0.0], 1j * np.ones((1, 8, 2)), "responses must be real"),
        ([0.0, 360.0], np.ones((2, 8, 2)), r"within \[0, 360\)"),
        ([0.0, np.nan], np.ones((2, 8, 2)), "must ascend"),
        ([0.0, 5.0], np.ones((2, 0, 2)), r"responses must be \(2, n_taps, 2\), found \(2, 0, 2\)"),
        ([0.0, 5.0], np.full((2, 8, 2), np.nan), "must be finite"),
    ],
)
def test_a_head_that_cannot_be_is_refused(azimuths, responses, message):
    with pytest.raises(ValueError, match=f"head odd: .*{message}"):
        Head("odd", FS, np.array(azimuths), responses)


def test_a_head_takes_lists():
    head = Head("short", FS, [0.0, 90.0], [[[1.0, 0.5]], [[0.9, 0.1]]])
    assert head.response(89.5).tolist() == [[0.9, 0.1]]


@pytest.mark.parametrize("fs", [float("nan"), -44100.0, 0.0, "44100"])
def test_a_head_without_a_rate_is_refused(fs):
    with pytest.raises(ValueError, match=f"head odd: fs must be a sampling rate in Hz, found {fs!r}"):
        Head("odd", fs, AZIMUTHS, pulses(AZIMUTHS))


def test_a_head_goes_to_another_process():
    again = pickle.loads(pickle.dumps(kemar()))
    np.testing.assert_array_equal(again.responses, kemar().responses)


@pytest.mark.parametrize("fs", [16000, 22050, 48000, 96000])
def test_resampling_keeps_differences_and_levels(fs):
    head = kemar()
    resampled = head.resampled(fs)
    assert resampled.fs == fs and resampled.responses.shape == (72, round(512 * fs / 44100), 2)
    assert np.median(np.abs(low_itd(resampled) - low_itd(head))) < 3e-6
    frequencies = np.arange(100.0, 6500, 50)
    expected = spectra(head, frequencies)
    change = np.abs(spectra(resampled, frequencies) - expected) / np.max(
        np.abs(expected), axis=1, keepdims=True
    )
    assert np.max(change) < 0.02  # phase and magnitude


def test_resampling_to_its_own_rate_changes_nothing():
    head = kemar()
    assert head.resampled(44100) is head


@pytest.mark.parametrize("fs", [16, 44.1, 0, -16000, np.nan, np.inf])
def test_a_rate_that_is_none_is_refused(fs):
    with pytest.raises(ValueError, match="fs must be a sampling rate in Hz, at least 1000"):
        kemar().resampled(fs)


# ---- heads from files


def test_a_head_is_read_as_it_was_written(path):
    around = np.roll(AZIMUTHS, 36)
    head = read_head(write_sofa(path, spherical(around), pulses(around)))
    assert (head.name, head.fs) == ("analytic", FS)
    np.testing.assert_array_equal(head.azimuths, AZIMUTHS)
    np.testing.assert_array_equal(head.responses, pulses(AZIMUTHS))


@pytest.mark.filterwarnings("ignore:.*onvention:UserWarning")
def test_a_file_written_by_sofar_is_read(path):
    sofa = sofar.Sofa("SimpleFreeFieldHRIR")
    sofa.Data_IR, sofa.Data_SamplingRate = pulses(AZIMUTHS).transpose(0, 2, 1), 48000
    sofa.SourcePosition = spherical(AZIMUTHS)
    sofar.write_sofa(str(path), sofa)
    head = read_head(path)
    assert head.fs == 48000
    np.testing.assert_array_equal(head.responses, pulses(AZIMUTHS))


def test_of_the_directions_within_a_degree_the_nearest_is_taken(path):
    positions = np.concatenate(
        [spherical(AZIMUTHS + 0.5, 0.5), spherical(AZIMUTHS - 0.6), spherical(AZIMUTHS + 0.9)]
    )
    responses = np.concatenate([gain * pulses(AZIMUTHS) for gain in (1, 2, 3)])
    head = read_head(write_sofa(path, positions, responses))
    np.testing.assert_array_equal(head.responses, 2 * pulses(AZIMUTHS))


def test_missing_azimuths_are_listed(path):
    grid = np.setdiff1d(AZIMUTHS, [0.0, 95.0, 355.0])
    write_sofa(path, spherical(np.append(grid, [1.1, 93.9])), pulses(np.append(grid, [1.1, 93.9])))
    with pytest.raises(
        ValueError, match=r"analytic\.sofa: lacks 3 of the 72 .*: 0, 95, 355; interpolate=True"
    ):
        read_head(path)


def test_missing_azimuths_are_filled_between_their_neighbours(path):
    grid = np.setdiff1d(AZIMUTHS, [0.0, 5.0, 90.0, 355.0])  # round the front, and at the side
    head = read_head(write_sofa(path, spherical(grid), pulses(grid)), interpolate=True)
    measured = np.isin(AZIMUTHS, grid)
    np.testing.assert_array_equal(head.responses[measured], pulses(grid))
    np.testing.assert_allclose(head.responses, pulses(AZIMUTHS), atol=0.05 * pulses(AZIMUTHS).max())
    itd, _ = interaural_differences(head.responses, FS)
    np.testing.assert_allclose(itd, 0.7e-3 * np.sin(np.radians(AZIMUTHS)), atol=4e-6)


def test_a_gap_that_is_too_wide_is_not_filled(path):
    grid = AZIMUTHS[(AZIMUTHS <= 60) | (AZIMUTHS >= 100)]
    write_sofa(path, spherical(grid), pulses(grid))
    with pytest.raises(ValueError, match=r"lacks 7 of the 72 .* gap of 40 degrees; at most 30 can be filled"):
        read_head(path, interpolate=True)


@pytest.mark.parametrize("interpolate", [False, True])
@pytest.mark.parametrize("elevation", [0.0, 45.0])
def test_a_file_with_hardly_a_horizontal_direction_is_refused(path, interpolate, elevation):
    write_sofa(path, spherical([90.0], elevation), pulses([90.0]))
    with pytest.raises(ValueError, match=r"lacks 7[12] of the 72"):
        read_head(path, interpolate=interpolate)


def test_a_clockwise_file_is_refused_and_turned_on_request(path):
    write_sofa(path, spherical(360 - AZIMUTHS), pulses(AZIMUTHS))
    with pytest.raises(ValueError, match=r"analytic\.sofa: the ear .* run the wrong way, clockwise=True"):
        read_head(path)
    np.testing.assert_array_equal(read_head(path, clockwise=True).responses, pulses(AZIMUTHS))


def test_a_counter_clockwise_file_is_not_turned(path):
    write_sofa(path, spherical(AZIMUTHS), pulses(AZIMUTHS))
    with pytest.raises(ValueError, match="run the wrong way, leave clockwise=True"):
        read_head(path, clockwise=True)


@pytest.mark.parametrize(
    "responses",
    [
        pytest.param(pulses(AZIMUTHS + 90), id="front at the side"),
        pytest.param(pulses(np.where(AZIMUTHS > 180, 360 - AZIMUTHS, AZIMUTHS)), id="always left"),
        pytest.param(
            pulses(AZIMUTHS) * np.mean(pulses(AZIMUTHS)[:, :, ::-1], axis=1)[:, None], id="later is louder"
        ),
        pytest.param(np.repeat(pulses(AZIMUTHS)[:, :, :1], 2, axis=2), id="one ear twice"),
    ],
)
@pytest.mark.parametrize("clockwise", [False, True])
def test_ears_that_do_not_fit_the_sides_are_refused_either_way(path, responses, clockwise):
    write_sofa(path, spherical(AZIMUTHS), responses)
    with pytest.raises(ValueError, match="must be the earlier and the louder one") as refusal:
        read_head(path, clockwise=clockwise)
    assert "wrong way" not in str(refusal.value)


def test_a_damaged_file_is_an_os_error_with_its_name(path):
    write_sofa(path, spherical(AZIMUTHS), pulses(AZIMUTHS))
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(OSError, match=r"analytic\.sofa"):
        read_head(path)
    with pytest.raises(FileNotFoundError, match=r"gone\.sofa"):
        read_head(path.with_name("gone.sofa"))


# ---- heads that were measured askew


@pytest.mark.parametrize("classes", [-2, 0, 1, 3])
def test_a_head_that_sat_askew_is_turned_back(classes):
    askew = Head("askew", 44100.0, AZIMUTHS, np.roll(kemar().responses, classes, axis=0))
    turned = facing_front(askew)
    np.testing.assert_array_equal(turned.azimuths, AZIMUTHS)
    near = 1e-3 * np.abs(kemar().responses).max()
    np.testing.assert_allclose(turned.responses, kemar().responses, atol=near)


@given(tenths=st.integers(-140, 140))
@settings(max_examples=10, deadline=None)
def test_any_turn_is_undone(tenths):
    # KEMAR's responses, said to be from elsewhere
    azimuths = (AZIMUTHS + tenths / 10) % 360
    order = np.argsort(azimuths)
    askew = Head("askew", 44100.0, azimuths[order], kemar().responses[order])
    off = low_itd(facing_front(askew)) - low_itd(kemar())
    assert np.abs(off).max() < 6e-6  # less than a degree's worth in front


def test_a_turned_head_is_heard_between_near_neighbours_alone():
    kept = np.r_[0:16, 20:53, 56:72]  # gaps of 25 degrees on the left and 20 on the right
    turned = facing_front(Head("gaps", 44100.0, AZIMUTHS[kept], kemar().responses[kept]))
    lacking = sorted({*AZIMUTHS} - {*turned.azimuths})
    assert all(75 <= azimuth <= 100 or 260 <= azimuth <= 280 for azimuth in lacking)
    assert {80, 85, 90, 95, 265, 270, 275} <= set(lacking)


def test_a_head_of_which_turning_leaves_nothing_is_refused():
    few = Head("few", 44100.0, AZIMUTHS[::6], kemar().responses[::6])
    with pytest.raises(ValueError, match="head few: 0 azimuths are left where it is turned, expected 3"):
        facing_front(few)
