import json
import re
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from auditory_model import (
    FILTER_TYPES,
    MODEL_TYPES,
    WHOLE_SIGNAL_MODELS,
    auditory_peripheral,
    centre_freqs,
)
from benchmarks.sample_by_sample import band_cues
from binaural_feature import (
    CueExtractor,
    CueFormat,
    Cues,
    GetCues_clean,
    calculate_itd_ild_ic,
    get_cues,
    select_cues,
)

LEVEL_INDEPENDENT = [name for name in MODEL_TYPES if name != "Meddis"]


def noise(n_samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(n_samples)


def delayed(x: np.ndarray, samples: float) -> np.ndarray:
    """`x` delayed by any number of samples, round the end."""
    frequency = np.fft.rfftfreq(len(x))
    return np.fft.irfft(np.fft.rfft(x) * np.exp(-2j * np.pi * frequency * samples), len(x))


# --- the plain version: Faller & Merimaa's equations, sample by sample and lag by lag


def assert_same_cues(cues, expected):
    for name, found, wanted, tolerance in zip(
        Cues._fields, cues, expected, (1e-10, 1e-6, 1e-9, 1e-6), strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("frame_shift", [1, 7, 160])
def test_one_band_equals_the_plain_version(frame_shift):
    left, right = (
        np.maximum(noise(700, 1), 0),
        np.maximum(0.5 * delayed(noise(700, 1), 3.3) + 0.1 * noise(700, 2), 0),
    )
    left[300:] = 0
    cues = calculate_itd_ild_ic(left, right, 16000, frame_shift=frame_shift)
    assert_same_cues(cues, band_cues(left, right, left, right, 16000, 160, 16, frame_shift))


@settings(max_examples=15)
@given(
    n_samples=st.integers(1, 300),
    window=st.integers(1, 200),
    max_lag=st.integers(0, 20),
    shift=st.integers(1, 40),
    seed=st.integers(0, 99),
)
@example(n_samples=5, window=1, max_lag=1, shift=1, seed=0)  # of one sample, all lags are of one correlation
def test_any_window_lag_and_frame_equal_the_plain_version(n_samples, window, max_lag, shift, seed):
    assume(n_samples >= shift)
    fs, x = 16000, np.abs(np.random.default_rng(seed).standard_normal((n_samples, 2)))
    arguments = {"frame_len": window, "max_delay": max_lag, "frame_shift": shift, "cfs": [700.0]}
    bands, cells = auditory_peripheral(x, fs, [700.0])
    expected = band_cues(*cells[0].T, *bands[0].T, fs, window, max_lag, shift)
    assert_same_cues([cue[0] for cue in get_cues(x, fs, **arguments)], expected)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
@pytest.mark.parametrize("filter_type", FILTER_TYPES)
def test_every_filter_and_hair_cell_equals_the_plain_version(filter_type, model_type):
    fs, cfs = 16000, [300.0, 1200.0, 4000.0]
    signal = np.stack([noise(900), 0.7 * delayed(noise(900), 4)], axis=1)
    bands, cells = auditory_peripheral(signal, fs, cfs, filter_type, model_type)
    cues = get_cues(signal, fs, None, filter_type, cfs, None, None, model_type)
    for b in range(len(cfs)):
        expected = band_cues(*cells[b].T, *bands[b].T, fs, 160, 16, 160)
        assert_same_cues([cue[b] for cue in cues], expected)


def test_matches_the_3d3a_toolbox(reference):
    theirs = np.load(reference / "running_cross_correlation_16k.npz")
    cues = calculate_itd_ild_ic(theirs["left"], theirs["right"], int(theirs["fs"]))
    held = slice(1, None)  # at the first sample the window is all but empty
    np.testing.assert_allclose(cues.ic[held], theirs["coherence"][held], rtol=0, atol=1e-9)
    np.testing.assert_array_equal(np.rint(cues.itd * theirs["fs"]), theirs["lag"])
    left, right = theirs["power_left"], theirs["power_right"]
    np.testing.assert_allclose(10 ** (cues.energy / 10), (left + right) / 2, rtol=0, atol=1e-9)
    np.testing.assert_allclose(cues.ild[held], 10 * np.log10(left[held] / right[held]), rtol=0, atol=1e-9)


# --- physics


@pytest.mark.parametrize("fs", [16000, 44100])
@pytest.mark.parametrize("samples", [-11, -5, 0, 1, 5])
def test_a_delay_of_whole_samples_is_its_itd_in_every_band(fs, samples):
    x = noise(fs + 50)
    signal = np.stack([x[25 + samples : fs + 25 + samples], x[25 : fs + 25]], axis=1)  # positive: left leads
    itd = np.median(get_cues(signal, fs).itd, axis=1)
    np.testing.assert_allclose(itd, samples / fs, rtol=0, atol=5e-6)


@pytest.mark.parametrize("fs", [16000, 44100])
@pytest.mark.parametrize("samples", [0.5, 2.3, 7.75])
def test_a_fractional_delay_is_its_itd_below_2_khz(fs, samples):
    x = noise(fs)
    itd = np.median(get_cues(np.stack([x, delayed(x, samples)], axis=1), fs).itd, axis=1)
    below = centre_freqs(fs) < 2000
    np.testing.assert_allclose(itd[below], samples / fs, rtol=0, atol=5e-6)


@pytest.mark.parametrize("fs", [16000, 48000])
@pytest.mark.parametrize("frequencies", [[500], [1000], [2000], [1000, 2000, 3000]])
def test_a_periodic_sound_the_same_at_both_ears_is_in_front(fs, frequencies):
    time = np.arange(fs) / fs
    x = sum(np.sin(2 * np.pi * frequency * time) for frequency in frequencies)
    cues = get_cues(np.stack([x, x], axis=1), fs)
    np.testing.assert_array_equal(cues.itd, 0)
    np.testing.assert_array_equal(cues.ild, 0)


@pytest.mark.parametrize("model_type", LEVEL_INDEPENDENT)
@pytest.mark.parametrize("filter_type", FILTER_TYPES)
def test_of_a_tones_equal_peaks_the_delay_nearest_0_is_taken(filter_type, model_type):
    fs, samples = 16000, 4
    x = np.sin(2 * np.pi * 1000 * np.arange(fs) / fs)  # a period of 16 samples: -12 and 4 are one phase
    signal = np.stack([x[samples:], x[:-samples]], axis=1)
    cues = get_cues(signal, fs, None, filter_type, [1000.0], None, None, model_type)
    steady = slice(50, 95)  # after the onset, before what a Hilbert envelope makes of the end
    np.testing.assert_allclose(cues.itd[0, steady], samples / fs, rtol=0, atol=1e-6)
    swapped = get_cues(signal[:, ::-1], fs, None, filter_type, [1000.0], None, None, model_type)
    np.testing.assert_allclose(swapped.itd[0, steady], -samples / fs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_6_db_at_the_ears_is_6_db_whatever_the_hair_cell(model_type):
    x = noise(16000)
    ild = get_cues(np.stack([x, x / 2], axis=1), 16000, model_type=model_type).ild
    np.testing.assert_allclose(np.median(ild, axis=1), 6.0206, atol=0.005)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_identical_ears_are_coherent(model_type):
    x = noise(8000)
    cues = get_cues(np.stack([x, x], axis=1), 16000, model_type=model_type)
    np.testing.assert_allclose(cues.ic, 1, atol=1e-9)
    np.testing.assert_allclose(cues.ild, 0, atol=1e-9)
    np.testing.assert_allclose(cues.itd, 0, atol=1e-9)


@pytest.mark.parametrize("model_type", ["Roman", "halfwave"])
def test_independent_ears_are_not(model_type):
    ears = np.stack([noise(32000, 1), noise(32000, 2)], axis=1)
    assert np.median(get_cues(ears, 16000, model_type=model_type).ic, axis=1).max() < 0.75


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_swapping_the_ears_changes_only_signs(model_type):
    signal = np.stack([noise(8000, 1), noise(8000, 2) + delayed(noise(8000, 1), 3)], axis=1)
    cues = get_cues(signal, 16000, model_type=model_type)
    swapped = get_cues(signal[:, ::-1], 16000, model_type=model_type)
    np.testing.assert_array_equal(swapped.ild, -cues.ild)
    np.testing.assert_allclose(swapped.ic, cues.ic, atol=1e-12)
    np.testing.assert_allclose(swapped.itd, -cues.itd, atol=1e-12)
    np.testing.assert_array_equal(swapped.energy, cues.energy)


@pytest.mark.parametrize("model_type", LEVEL_INDEPENDENT)
def test_scaling_changes_only_the_energy(model_type):
    signal = np.stack([noise(8000, 1), noise(8000, 2) + delayed(noise(8000, 1), 3)], axis=1)
    cues, scaled = (get_cues(gain * signal, 16000, model_type=model_type) for gain in (1, 0.01))
    # All but the start, where a window over next to nothing holds powers near that of silence.
    np.testing.assert_allclose(scaled.itd[:, 3:], cues.itd[:, 3:], atol=1e-9)
    np.testing.assert_allclose(scaled.ild[:, 3:], cues.ild[:, 3:], atol=1e-6)
    np.testing.assert_allclose(scaled.ic[:, 3:], cues.ic[:, 3:], atol=1e-9)
    np.testing.assert_allclose(scaled.energy[:, 3:], cues.energy[:, 3:] - 40, atol=1e-6)


def test_meddis_depends_on_level():
    ears = np.stack([noise(8000, 1), noise(8000, 2)], axis=1)
    loud, soft = (get_cues(gain * ears, 16000, model_type="Meddis").ic for gain in (1, 1e-3))
    assert np.median(soft) > np.median(loud) + 0.05


def test_energy_is_the_mean_power_of_the_ears():
    tone = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    energy = get_cues(np.stack([tone, tone], axis=1), 16000, cfs=[1000]).energy
    np.testing.assert_allclose(energy[0, 20:], 10 * np.log10(0.5), atol=0.1)


@pytest.mark.parametrize("fs", [8000, 11025, 22050, 48000, 96000])
def test_any_rate_and_any_length_from_one_frame_up(fs):
    frame = round(0.01 * fs)
    for n_samples in (frame, frame + 1, 5 * frame - 1):
        signal = np.stack([noise(n_samples, 1), noise(n_samples, 2)], axis=1)
        cues = get_cues(signal, fs)
        assert cues.itd.shape == (32, n_samples // frame)
        assert all(np.isfinite(cue).all() for cue in cues)


# --- silence


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_silence_is_a_value(model_type):
    cues = get_cues(np.zeros((1600, 2)), 16000, model_type=model_type)
    for cue, value in zip(cues, (0, 0, 0, -120), strict=True):
        assert (cue == value).all()


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_one_dead_ear_is_finite(model_type):
    cues = get_cues(np.stack([noise(1600), np.zeros(1600)], axis=1), 16000, model_type=model_type)
    assert all(np.isfinite(cue).all() for cue in cues)
    assert (cues.ild[:, 1:] > 60).all()


def test_sound_then_silence_then_sound_leaves_no_trace():
    sound = 0.1 * np.stack([noise(1600, 1), noise(1600, 2)], axis=1)
    cues = get_cues(np.concatenate([sound, np.zeros((80_000, 2)), sound]), 16000)
    assert (cues.energy[:, 400:505] == -120).all()
    again = get_cues(sound, 16000)
    for cue, first in zip(cues, again, strict=True):
        np.testing.assert_allclose(cue[:, -10:], first, atol=1e-9)


# --- shapes, names, formats


def test_a_frame_is_read_at_its_last_sample_and_the_rest_is_not_used():
    left, right = noise(1000, 1), noise(1000, 2)
    every = calculate_itd_ild_ic(left, right, 16000)
    frames = calculate_itd_ild_ic(left, right, 16000, frame_shift=300)
    assert frames.ic.shape == (3,)
    for all_samples, at_frames in zip(every, frames, strict=True):
        np.testing.assert_allclose(at_frames, all_samples[299::300], atol=1e-9)


def test_lags_reach_max_delay_and_no_further():
    x = noise(16020)
    signal = np.stack([x[20:], x[:-20]], axis=1)
    assert np.median(get_cues(signal, 16000, max_delay=20).itd) == pytest.approx(20 / 16000)
    assert np.abs(get_cues(signal, 16000, max_delay=4).itd).max() <= 4 / 16000


@pytest.mark.parametrize(("fs", "reached"), [(16000, 16), (44100, 44), (48000, 48)])
def test_lags_reach_one_millisecond_at_every_rate(fs, reached):
    x = noise(8000)
    for lag in (reached, reached + 1):
        itd = get_cues(np.stack([x[lag:], x[:-lag]], axis=1), fs).itd
        assert (np.median(itd) == pytest.approx(lag / fs)) == (lag == reached)
        assert np.abs(itd).max() <= reached / fs


def test_the_old_name_is_the_same_object():
    assert GetCues_clean is get_cues


def test_cue_format_is_get_cues_with_nothing_left_open():
    signal = np.stack([noise(4000, 1), noise(4000, 2)], axis=1)
    cue_format = CueFormat.default()
    np.testing.assert_array_equal(
        cue_format.cues(signal), np.stack(get_cues(signal, 16000)).astype(np.float32)
    )
    assert cue_format.cues(signal).dtype == np.float32
    other = replace(cue_format, frame_shift=80, model_type="envelope", filter_type="APGF")
    np.testing.assert_array_equal(
        other.cues(signal), np.stack(get_cues(signal, **asdict(other))).astype(np.float32)
    )
    assert CueFormat.from_dict(other.to_dict()) == other
    listed = replace(other, cfs=[500, 1000])
    assert CueFormat.from_dict(listed.to_dict()) == listed
    assert len({listed, replace(other, cfs=(500.0, 1000.0))}) == 1
    counted = replace(other, fs=np.float32(16000), frame_shift=np.int64(80), max_delay=np.int16(16))
    assert json.loads(json.dumps(counted.to_dict())) == other.to_dict()


def test_select_cues_keeps_the_coherent_frames():
    cues = get_cues(np.stack([noise(8000, 1), noise(8000, 1) + 0.3 * noise(8000, 2)], axis=1), 16000)
    selected = select_cues(cues, 0.95)
    assert 0 < selected.ic.size < cues.ic.size
    assert selected.ic.min() >= 0.95
    np.testing.assert_array_equal(np.sort(selected.itd), np.sort(cues.itd[cues.ic >= 0.95]))
    assert select_cues(cues, 0).itd.size == cues.itd.size
    assert select_cues(Cues(*np.ones((4, 3))), 1).ic.size == 3
    np.testing.assert_array_equal(select_cues(np.stack(cues), 0.95).itd, selected.itd)


# --- bad input

GOOD = np.stack([noise(1600, 1), noise(1600, 2)], axis=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"signal": GOOD[:, 0]}, "one channel"),
        ({"signal": GOOD.T}, r"channels first\? Pass signal.T"),
        ({"signal": GOOD[:159]}, "signal has 159 samples, fewer than one frame of 160"),
        ({"signal": (GOOD * 1000).astype(np.int16)}, "integers"),
        ({"fs": 16}, "kHz"),
        ({"filter_type": "gammatone"}, "unknown filter_type 'gammatone'"),
        ({"model_type": "romans"}, "unknown model_type 'romans'"),
        ({"cfs": [9000]}, "fs/2"),
        ({"cfs": [500, 400]}, "ascending"),
        ({"frame_len": 0}, "frame_len must be a whole number of samples, at least 1; found 0"),
        ({"frame_len": 0.01}, "frame_len must be a whole number of samples"),
        ({"frame_shift": True}, "frame_shift must be a whole number of samples"),
        ({"frame_len": 16001}, "frame_len must be at most 1000 ms, found 16001 samples at 16000 Hz"),
        ({"frame_shift": 10**19}, "frame_shift must be at most 10000 ms, found 10000000000000000000 samples"),
        ({"max_delay": -1}, "max_delay must be a whole number of samples, at least 0"),
        ({"max_delay": 321}, "max_delay must be at most 20 ms, found 321 samples at 16000 Hz"),
        ({"signal": np.ma.masked_greater(GOOD, 0.5)}, "signal has masked values: expected an array that"),
        ({"signal": [[1.0, 2.0], [1.0]]}, "signal must be an array of numbers"),
        ({"signal": 1e200 * GOOD}, r"signal has a peak of \d.*e\+200: expected samples of full scale 1"),
    ],
)
def test_bad_arguments_are_refused_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        get_cues(**({"signal": GOOD, "fs": 16000} | change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"right": GOOD[:-1, 1]}, r"of one length, found \(1600,\) and \(1599,\)"),
        ({"left": GOOD, "right": GOOD}, r"\(n_samples,\) of one length"),
        ({"right": np.full(1600, np.nan)}, "right holds NaN"),
        ({"tau": 0}, "tau must be a time in seconds, from one sample to 1 s, found 0"),
        ({"tau": 10}, "tau must be a time in seconds"),
        ({"tau": True}, "tau must be a time in seconds"),
        ({"max_itd": -1e-3}, "max_itd must be a time in seconds"),
        ({"max_itd": 3e-5}, "max_itd must be a time in seconds, from one sample to 0.02 s, found 3e-05"),
        ({"max_itd": 1}, "max_itd must be a time in seconds"),
        ({"left": [[1.0], [1.0, 2.0]]}, "left must be an array of numbers"),
        ({"frame_shift": 1601}, "1600 samples, fewer than one frame of 1601"),
    ],
)
def test_bad_ears_are_refused_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        calculate_itd_ild_ic(**({"left": GOOD[:, 0], "right": GOOD[:, 1], "fs": 16000} | change))


def test_other_bad_values():
    for ic_min in (98, "0.9", None):
        with pytest.raises(ValueError, match=rf"ic_min must be a number in \[0, 1\], found {ic_min!r}"):
            select_cues(get_cues(GOOD, 16000), ic_min)
    for cues in (np.zeros((3, 10)), None, "abc"):
        with pytest.raises(ValueError, match="cues must be itd, ild, ic, energy, four arrays, found "):
            select_cues(cues)
    with pytest.raises(ValueError, match="itd must be an array of numbers"):
        select_cues([[[1.0], [1.0, 2.0]], [], [], []])
    with pytest.raises(ValueError, match="ic must be an array of numbers, found <U1"):
        select_cues(["a", "b", "c", "d"])
    with pytest.raises(ValueError, match="must have one shape"):
        select_cues(Cues(np.zeros(2), np.zeros(2), np.zeros(3), np.zeros(2)))
    for change, message in (
        ({"model_type": "romans"}, "unknown model_type"),
        ({"frame_shift": None}, "frame_shift must be a whole number of samples, at least 1; found None"),
        ({"max_delay": None}, "max_delay must be a whole number of samples"),
        ({"cfs": (10.0,), "filter_type": "Butterworth"}, "a Butterworth band"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(CueFormat.default(), **change)


# --- a sound that comes in pieces


def in_pieces(signal: np.ndarray, cuts: list[int], **arguments) -> Cues:
    extractor = CueExtractor(16000, **arguments)
    pieces = [extractor.process(piece) for piece in np.split(signal, sorted(cuts))]
    return Cues(*(np.concatenate(cue, axis=1) for cue in zip(*pieces, strict=True)))


@settings(max_examples=30, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 3000), max_size=12),
    model_type=st.sampled_from([name for name in MODEL_TYPES if name not in WHOLE_SIGNAL_MODELS]),
    filter_type=st.sampled_from(FILTER_TYPES),
    frame_shift=st.sampled_from([1, 50, 160, 700]),
)
def test_pieces_of_any_length_give_the_cues_of_the_whole(cuts, model_type, filter_type, frame_shift):
    signal = 0.1 * np.random.default_rng(0).standard_normal((3000, 2))
    signal[800:1900] = 0  # decaying states too are the same
    arguments = {
        "model_type": model_type,
        "filter_type": filter_type,
        "frame_shift": frame_shift,
        "cfs": [200.0, 1000.0, 4000.0],
    }
    for found, whole in zip(
        in_pieces(signal, cuts, **arguments), get_cues(signal, 16000, **arguments), strict=True
    ):
        np.testing.assert_array_equal(found, whole)


def test_sample_by_sample_gives_the_cues_of_the_whole():
    signal = np.random.default_rng(1).standard_normal((500, 2))
    whole = get_cues(signal, 16000)
    for found, wanted in zip(in_pieces(signal, list(range(1, 500))), whole, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_frame_is_there_with_its_last_sample():
    extractor = CueExtractor(16000)
    noise = np.random.default_rng(0).standard_normal((160, 2))
    assert extractor.process(noise[:159]).itd.shape == (32, 0)
    assert extractor.process(noise[159:]).itd.shape == (32, 1)


@pytest.mark.parametrize("model_type", WHOLE_SIGNAL_MODELS)
def test_a_hilbert_envelope_takes_one_chunk_and_refuses_a_second(model_type):
    signal = np.random.default_rng(0).standard_normal((1000, 2))
    extractor = CueExtractor(16000, model_type=model_type)
    whole = get_cues(signal, 16000, model_type=model_type)
    for found, wanted in zip(extractor.process(signal), whole, strict=True):
        np.testing.assert_array_equal(found, wanted)
    message = f"{model_type!r} takes the Hilbert envelope of the whole signal"
    with pytest.raises(ValueError, match=re.escape(message)):
        extractor.process(signal)


def test_a_chunk_is_checked():
    extractor = CueExtractor(16000)
    with pytest.raises(ValueError, match=r"channels first\? Pass chunk.T"):
        extractor.process(np.zeros((2, 160)))
    with pytest.raises(ValueError, match="chunk holds NaN"):
        extractor.process(np.full((160, 2), np.nan))
    with pytest.raises(ValueError, match="chunk must be an array of numbers"):
        extractor.process([[1.0, 2.0], [1.0]])


@pytest.mark.parametrize("n_bands", [1, 31, 32, 33, 70])
def test_a_band_does_not_depend_on_how_many_there_are(n_bands):
    signal = np.random.default_rng(2).standard_normal((1600, 2))
    cfs = centre_freqs(16000, n_bands)
    together = get_cues(signal, 16000, cfs=cfs)
    for b in {0, n_bands // 2, n_bands - 1}:
        alone = get_cues(signal, 16000, cfs=cfs[[b]])
        for found, wanted in zip(together, alone, strict=True):
            np.testing.assert_array_equal(found[[b]], wanted)


def test_times_become_samples_by_rounding():
    ears = np.random.default_rng(0).random((2, 400))
    exact = calculate_itd_ild_ic(*ears, 16000, tau=160 / 16000, max_itd=16 / 16000)
    rounded = calculate_itd_ild_ic(*ears, 16000, tau=159.6 / 16000, max_itd=15.6 / 16000)
    for found, expected in zip(rounded, exact, strict=True):
        np.testing.assert_array_equal(found, expected)
