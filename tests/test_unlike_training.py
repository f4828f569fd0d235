"""Recordings unlike all that a model was trained on, and those that are not."""

import numpy as np
import pytest
import soxr

from binaural_feature import CueFormat
from database.hrtf import AZIMUTHS, kemar
from database.mixing import mix, render
from database.sources import noise_source, speech_source
from localization.unlike_training import found_unlike_training

FORMAT = CueFormat.default()
PEAK_DB = (-21.0, -1.0)
FS = 16_000


@pytest.fixture(scope="module")
def head():
    return kemar().resampled(FS)


@pytest.fixture(scope="module")
def talkers():
    source = speech_source()
    return [source.read(recording, FS)[:FS] for recording in source.recordings[::50]]


@pytest.fixture(scope="module")
def noises():
    source = noise_source()
    return [source.read(recording, FS)[:FS] for recording in source.recordings[::12]]


@pytest.fixture(scope="module")
def ears(talkers, head):
    """A talker on the left, half of full scale."""
    signal = render(talkers[0], head.response(60))
    return 0.5 * signal / np.abs(signal).max()


def found(signal: np.ndarray, fs: float = FS) -> list[str]:
    return found_unlike_training(signal, fs, FORMAT, PEAK_DB)


def as_16_bits(signal: np.ndarray) -> np.ndarray:
    return np.round(signal * 32768) / 32768


@pytest.mark.parametrize("azimuth", [0, 5, 45, 90, 180, 200, 270])
@pytest.mark.parametrize("snr_db", [-10, 0, 15, 40])
def test_a_talker_amid_noises_is_like_training(talkers, noises, head, azimuth, snr_db):
    rng = np.random.default_rng(azimuth)
    for talker in talkers:
        kind = 2 * rng.integers(10)
        away = [head.response(azimuth_deg) for azimuth_deg in rng.choice(AZIMUTHS, 2, replace=False)]
        peak_db = rng.uniform(*PEAK_DB)
        mixture = mix(talker, head.response(azimuth), noises[kind : kind + 2], away, [snr_db] * 2, peak_db)
        assert found(as_16_bits(mixture.signal)) == []


@pytest.mark.parametrize("azimuth", [az for az in range(0, 360, 5) if az not in (0, 180)])
def test_a_talker_alone_is_like_training(talkers, head, azimuth):
    signal = render(talkers[azimuth % len(talkers)], head.response(azimuth))
    assert found(as_16_bits(0.5 * signal / np.abs(signal).max())) == []


@pytest.mark.parametrize("fs", [44_100, 48_000])
def test_what_is_above_the_models_range_does_not_count(talkers, head, fs):
    source = speech_source()
    signal = render(source.read(source.recordings[0], fs)[:fs], kemar().resampled(fs).response(30))
    hiss = np.random.default_rng(0).standard_normal(signal.shape)
    hiss = hiss - soxr.resample(soxr.resample(hiss, fs, 16_000), 16_000, fs)[: len(hiss)]
    assert found(0.3 * signal / np.abs(signal).max(), fs) == []
    assert found(0.3 * signal / np.abs(signal).max() + 0.1 * hiss / np.abs(hiss).max(), fs) == []


@pytest.mark.parametrize("offset", [0.0, 0.1])
def test_silence_is_all_there_is_to_say(offset):
    assert [text[:8] for text in found(np.full((FS, 2), offset))] == ["silence:"]


@pytest.mark.parametrize(("gains", "name"), [((1, 0), "right"), ((0, 1), "left"), ((1e-3, 1), "left")])
def test_a_dead_ear(ears, gains, name):
    noise = 1e-5 * np.random.default_rng(0).standard_normal(ears.shape)
    (text,) = found(ears * gains + noise)
    assert text.startswith(f"the {name} channel is silent")


@pytest.mark.parametrize("gains", [(1, 1), (1, 0.5), (0.1, 1), (1, -1)])
def test_one_channel_copied(talkers, gains):
    (text,) = found(np.outer(as_16_bits(talkers[0]), gains))
    assert text.startswith("both channels hold the same signal")


def test_one_sample_of_delay_is_no_copy(talkers):
    talker = talkers[0]
    assert found(np.stack([talker[1:], talker[:-1]], axis=1)) == []


def test_too_faint(ears):
    assert found(10 ** (-34 / 20) * ears) == []  # its peak is at -6 dB
    (text,) = found(10 ** (-44 / 20) * ears)
    assert text.startswith("the peak is -50 dB re full scale, in training it was -21 dB at least")


def test_whole_numbers_are_no_full_scale(ears):
    assert found(10 ** (24 / 20) * ears)[0].startswith("many samples")  # a peak at 18 dB, of floats
    (text,) = found(np.round(32767 * ears))
    assert text.startswith("the peak is 84 dB re full scale, in training it was -1 dB at most: samples of ")


def test_clipped(ears):
    assert found(2 * ears) == []
    (text,) = found(np.clip(8 * ears, -1, 1))
    assert text.startswith("many samples are at full scale")


@pytest.mark.parametrize("bits_16", [False, True])
def test_a_recording_of_a_lower_rate(ears, bits_16):
    low = soxr.resample(ears, FS, 8000)
    again = soxr.resample(low, 8000, FS)
    for signal, fs in ((low, 8000), (as_16_bits(again) if bits_16 else again, FS)):
        (text,) = found(signal, fs)
        assert text.startswith("there is next to no sound above 3.") and "up to 6.5 kHz" in text


@pytest.mark.parametrize("fs", [44_100, 48_000])
def test_a_model_of_a_higher_rate_may_have_learned_from_recordings_at_16_khz(ears, fs):
    wide = CueFormat.default(fs=fs)
    assert found_unlike_training(soxr.resample(ears, FS, fs), fs, wide, PEAK_DB) == []
    (text,) = found_unlike_training(soxr.resample(ears, FS, 8000), 8000, wide, PEAK_DB)
    assert text.startswith("there is next to no sound above 3.")


def test_the_range_is_the_models(ears):
    narrow = CueFormat.default(fs=8000)
    assert found_unlike_training(soxr.resample(ears, FS, 8000), 8000, narrow, PEAK_DB) == []


def test_several_at_once(ears):
    low = 1e-3 * soxr.resample(ears, FS, 8000)
    assert [text[:9] for text in found(low * [1, 0], 8000)] == ["the right", "the peak ", "there is "]


@pytest.mark.parametrize("n_samples", [1, 2, 100, 511, 8000])
def test_any_length(ears, n_samples):
    assert isinstance(found(ears[10_000 : 10_000 + n_samples]), list)
