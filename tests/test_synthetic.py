"""Synthetic talkers sound like talkers in what can be measured, and synthetic noises are told apart."""

from collections import Counter
from itertools import pairwise
from multiprocessing import get_context

import numpy as np
import pytest
from scipy.signal import find_peaks

from database.sources import (
    Recording,
    SyntheticSource,
    draw_segments,
    loud_starts,
    noise_source,
    speech_source,
)
from database.synthetic import _generator
from database.synthetic_noise import SPEECH_LEVELS
from database.synthetic_speech import RATE, Talker, draw_talker, speech

FS = 16000
FRAME = 640  # samples at 16 kHz, 40 ms


@pytest.fixture(scope="module")
def talkers() -> dict[str, np.ndarray]:
    """One clip of each of a dozen talkers."""
    source = speech_source()
    return {r.label: source.read(r, FS) for r in source.recordings[::25]}


def frames(signal: np.ndarray) -> np.ndarray:
    return signal[: len(signal) // FRAME * FRAME].reshape(-1, FRAME)


def levels(signal: np.ndarray) -> np.ndarray:
    """Level of each frame in dB."""
    return 10 * np.log10(frames(signal).var(axis=1) + 1e-12)


def periodicity(signal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Largest normalised autocorrelation of each frame between 60 and 500 Hz, and the frequency there."""
    pieces = frames(signal)
    spectra = np.abs(np.fft.rfft(pieces - pieces.mean(axis=1, keepdims=True), 2 * FRAME)) ** 2
    correlation = np.fft.irfft(spectra)[:, :FRAME] / (1 - np.arange(FRAME) / FRAME)
    lags = np.arange(FS // 500, FS // 60)
    part = correlation[:, lags] / (correlation[:, :1] + 1e-12)
    # the first lag that comes near the maximum is the period, not a multiple of it
    first = np.argmax(part > 0.9 * part.max(axis=1, keepdims=True), axis=1)
    while np.any(
        rising := part[np.arange(len(part)), np.minimum(first + 1, len(lags) - 1)]
        > part[range(len(part)), first]
    ):
        first = np.minimum(first + rising, len(lags) - 1)
    return part.max(axis=1), FS / lags[first]


def band_share(signal: np.ndarray, low: float, high: float) -> np.ndarray:
    """Share of each frame's power between two frequencies."""
    f = np.fft.rfftfreq(FRAME, 1 / FS)
    power = np.abs(np.fft.rfft(frames(signal) * np.hanning(FRAME))) ** 2
    return power[:, (f >= low) & (f < high)].sum(axis=1) / power.sum(axis=1)


class TestSource:
    def test_what_there_is(self):
        speech, noise = speech_source(), noise_source()
        assert (speech.kind, noise.kind) == ("synthetic speech", "synthetic noise")
        assert speech.folder is None
        assert noise.folder is None
        assert set(Counter(r.label for r in speech.recordings).values()) == {5}
        assert len({r.origin for r in speech.recordings}) == 60
        types = Counter(r.label for r in noise.recordings)
        assert len(types) == 10
        assert min(types.values()) >= 20
        assert len({r.origin for r in noise.recordings}) == len(noise.recordings)

    def test_the_name_alone_decides(self):
        with get_context("spawn").Pool(1) as another_process:
            for source in (speech_source(), noise_source(), noise_source("speech-shaped")):
                recording = source.recordings[-1]
                for other in source.recordings[:3]:
                    source.read(other, FS)
                samples = another_process.apply(source.read, (recording, FS))
                np.testing.assert_array_equal(samples, source.read(recording, FS))
                assert another_process.apply(source.checksum, (recording,)) == source.checksum(recording)

    def test_no_two_are_the_same(self):
        source = noise_source()
        sums = {source.checksum(recording) for recording in source.recordings[::7]}
        assert len(sums) == len(source.recordings[::7])

    @pytest.mark.parametrize("fs", [8000, 16000, 44100])
    def test_any_rate(self, fs):
        for source in (speech_source(), noise_source()):
            signal = source.read(source.recordings[0], fs)
            assert signal.shape == (5 * fs,)
            assert np.isfinite(signal).all()
            assert np.abs(signal).max() < 1.1

    @pytest.mark.parametrize("name", ["thunder/01", "talker-01", "", "../a.wav"])
    def test_other_names_are_refused(self, name):
        with pytest.raises(ValueError, match="is no synthetic recording"):
            speech_source().read(Recording(name, "x", "x"), FS)

    def test_a_rate_in_khz_is_refused(self):
        source = speech_source()
        with pytest.raises(ValueError, match="did you give kHz"):
            source.read(source.recordings[0], 16)

    def test_segments_over_all_talkers(self):
        some = SyntheticSource("synthetic speech", speech_source().recordings[:30])
        segments = draw_segments(some, 12, FS, 1.0, np.random.default_rng(0))
        assert set(Counter(segment.label for segment in segments).values()) == {2}


class TestSpeech:
    def test_syllables_and_pauses(self, talkers):
        for signal in talkers.values():
            level = levels(signal)
            assert np.percentile(level, 90) - np.percentile(level, 3) > 25
            assert 0.03 < np.mean(level < level.max() - 30) < 0.6
            envelope = np.abs(np.fft.rfft(level - level.mean()))
            rate = np.fft.rfftfreq(len(level), FRAME / FS)
            syllabic = envelope[(rate > 1) & (rate < 8)] ** 2
            assert syllabic.sum() > 0.5 * np.sum(envelope[rate > 1] ** 2)

    def test_voiced_and_unvoiced_sounds(self, talkers):
        n_hissing = 0
        for signal in talkers.values():
            strength, _ = periodicity(signal)
            loud = levels(signal) > levels(signal).max() - 25
            voiced = np.mean(strength[loud] > 0.7)
            assert 0.4 < voiced < 0.99
            n_hissing += np.sum(loud & (strength < 0.5) & (band_share(signal, 2500, 8000) > 0.7))
        assert n_hissing > len(talkers)

    def test_the_pitch_moves_within_a_talkers_range(self, talkers):
        for name, signal in talkers.items():
            strength, pitch = periodicity(signal)
            steady = pitch[(strength > 0.8) & (levels(signal) > levels(signal).max() - 15)]
            spread = 12 * np.log2(np.percentile(steady, 90) / np.percentile(steady, 10))
            assert np.median(steady) == pytest.approx(draw_talker(_generator(name)).pitch, rel=0.2)
            assert 2 < spread < 16

    def test_formants_move(self, talkers):
        for signal in talkers.values():
            strength, _ = periodicity(signal)
            vowels = (strength > 0.7) & (levels(signal) > levels(signal).max() - 15)
            low = band_share(signal, 0, 1000)[vowels]
            assert np.percentile(low, 90) - np.percentile(low, 10) > 0.1

    def test_formants_follow_the_size_of_the_talker(self):
        def spectrum(tract: float) -> np.ndarray:
            talker = Talker(tract, 100.0, 2.0, 4.5, 0.05)
            signal = speech(talker, 8.0, np.random.default_rng(3))
            f = np.fft.rfftfreq(len(signal), 1 / RATE)
            power = np.abs(np.fft.rfft(signal)) ** 2
            edges = np.geomspace(250, 4000, 97)
            return np.log([power[(f >= a) & (f < b)].mean() for a, b in pairwise(edges)])

        small, tall = spectrum(0.14), spectrum(0.175)
        shifts = np.arange(-24, 25)
        match = [np.corrcoef(np.roll(tall, k)[24:-24], small[24:-24])[0, 1] for k in shifts]
        ratio = (4000 / 250) ** (shifts[np.argmax(match)] / 96)
        assert ratio == pytest.approx(0.175 / 0.14, rel=0.06)

    def test_talkers_differ_in_size_and_pitch(self):
        drawn = [draw_talker(_generator(f"talker-{k:02}")) for k in range(1, 61)]
        tracts, pitches = np.array([t.tract for t in drawn]), np.array([t.pitch for t in drawn])
        assert tracts.max() / tracts.min() > 1.3
        assert pitches.max() / pitches.min() > 2
        assert 70 < pitches.min() < pitches.max() < 350
        assert np.corrcoef(tracts, pitches)[0, 1] < -0.6


class TestNoise:
    def test_nearest_centroid_tells_the_kinds_apart(self):
        """Band spectra and modulation of clips of 1 s; the recordings of test and training are disjoint."""
        source, rng = noise_source(), np.random.default_rng(0)
        parts: tuple[dict[str, list[np.ndarray]], dict[str, list[np.ndarray]]] = ({}, {})
        for number, recording in enumerate(source.recordings):
            signal = source.read(recording, FS)
            for start in rng.choice(loud_starts(signal, FS, 1.0), 2):
                parts[number % 2].setdefault(recording.label, []).append(features(signal[start : start + FS]))
        training, test = parts
        centroids = np.array([np.mean(clips, axis=0) for clips in training.values()])
        hits = {
            name: np.mean([np.argmin(np.linalg.norm(centroids - clip, axis=1)) == k for clip in test[name]])
            for k, name in enumerate(training)
        }
        assert len(hits) == 10
        assert np.mean(list(hits.values())) >= 0.9, hits
        assert min(hits.values()) >= 0.7, hits

    def test_a_clock_ticks_and_a_hiss_does_not(self):
        source = noise_source()
        clock, hiss = (
            source.read(next(r for r in source.recordings if r.label == name), FS)
            for name in ("clock", "hiss")
        )
        level = levels(clock)
        ticks, _ = find_peaks(level, height=level.max() - 15)
        assert 10 <= len(ticks) <= 25
        assert np.std(levels(hiss)) < 1

    def test_recordings_of_a_kind_differ(self):
        source = noise_source()
        hums = [source.read(r, FS) for r in source.recordings if r.label == "hum"][:8]
        assert max(abs(np.corrcoef(hums)[np.triu_indices(8, 1)])) < 0.95


class TestSpeechShapedNoise:
    def test_many_recordings_of_one_kind(self):
        source = noise_source("speech-shaped")
        assert source.kind == "speech-shaped noise"
        assert {r.label for r in source.recordings} == {"speech-shaped"}
        assert len({r.origin for r in source.recordings}) == len(source.recordings) >= 20

    def test_a_folder_of_this_name_is_found_by_its_absolute_path(self, tmp_path):
        folder = tmp_path / "speech-shaped"
        folder.mkdir()
        with pytest.raises(ValueError, match="holds no audio files"):
            noise_source(folder)

    def test_it_has_the_spectrum_of_speech_throughout(self):
        source = noise_source("speech-shaped")
        signal = source.read(source.recordings[0], RATE)
        centres, expected = np.array([*SPEECH_LEVELS]), np.array([*SPEECH_LEVELS.values()])
        assert 10 * np.log10(np.sum(10 ** (expected / 10))) == pytest.approx(70, abs=0.2)
        shown = (centres >= 100) & (centres <= 10_000)
        for part in np.split(signal, 3):
            levels = [band_levels(part, RATE, c * 2 ** np.array([-1 / 6, 1 / 6]))[0] for c in centres]
            difference = (levels - expected)[shown]
            assert np.abs(difference - difference.mean()).max() < 1.5

    def test_it_is_stationary_and_gaussian(self):
        source = noise_source("speech-shaped")
        signals = [source.read(recording, FS) for recording in source.recordings[:2]]
        assert np.std([10 * np.log10(second.var()) for second in np.split(signals[0], 60)]) < 0.5
        assert np.mean(signals[0] ** 4) / signals[0].var() ** 2 == pytest.approx(3, abs=0.1)
        assert abs(np.corrcoef(signals)[0, 1]) < 0.02


def features(signal: np.ndarray) -> np.ndarray:
    """Levels in 16 bands from 60 Hz to 7.5 kHz and, of the envelope, in 7 bands from 1 to 100 Hz; in dB."""
    envelope = np.sqrt(signal.reshape(-1, 80).var(axis=1))
    bands = band_levels(signal, FS, np.geomspace(60, 7500, 17))
    modulation = band_levels(envelope / envelope.mean() - 1, FS / 80, np.array([1, 2, 4, 8, 16, 32, 64, 100]))
    return np.concatenate([bands - 10 * np.log10(np.sum(10 ** (bands / 10))), modulation])


def band_levels(signal: np.ndarray, fs: float, edges: np.ndarray) -> np.ndarray:
    power = np.abs(np.fft.rfft(signal * np.hanning(len(signal)))) ** 2 / len(signal) ** 2
    f = np.fft.rfftfreq(len(signal), 1 / fs)
    return 10 * np.log10([power[(f >= a) & (f < b)].sum() + 1e-8 for a, b in pairwise(edges)])
