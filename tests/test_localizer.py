"""From a recording to an azimuth."""

import warnings
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from tqdm import tqdm

from binaural_feature import CueFormat
from localization import Localizer, Location, UnlikeTrainingWarning, localizer

FORMAT = CueFormat.default(fs=16000, n_bands=8)


class Lateral(nn.Module):
    """Stands in for a trained model: 90° where the left ear leads, 270° where the right one does."""

    def forward(self, cues):
        itd = cues[:, 0].mean(dim=(1, 2))
        logits = torch.zeros(len(cues), 72)
        logits[:, 18], logits[:, 54] = 2e4 * itd, -2e4 * itd
        return logits


@pytest.fixture(scope="module")
def lateral():
    return Localizer(Lateral(), FORMAT, duration=1.0)


def draw_signal(n_samples: int, lead: int, seed: int = 0) -> np.ndarray:
    """Noise (n_samples, 2) that reaches the left ear `lead` samples earlier."""
    noise = 0.1 * np.random.default_rng(seed).standard_normal(n_samples + abs(lead))
    left, right = noise[max(lead, 0) :], noise[max(-lead, 0) :]
    return np.stack([left[:n_samples], right[:n_samples]], axis=1)


def test_the_ear_that_leads_is_the_side_of_the_source(lateral):
    for lead, azimuth in ((8, 90.0), (-8, 270.0)):
        location = lateral.locate(draw_signal(16000, lead), 16000)
        assert isinstance(location, Location) and isinstance(location.azimuth, float)
        assert location.azimuth == azimuth
        assert location.probabilities.shape == (72,) and location.probabilities.dtype == np.float32
        assert location.probabilities.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("fs", [8000, 11025, 44100, 48000, 96000])
def test_any_rate_is_resampled_to_the_models(lateral, fs):
    assert lateral.locate(draw_signal(fs, round(0.0005 * fs)), fs).azimuth == 90.0


@settings(max_examples=15, deadline=None)
@given(n_samples=st.integers(160, 50_000))
def test_any_length_from_one_frame_on(lateral, n_samples):
    assert lateral.locate(draw_signal(n_samples, 8), 16000).azimuth == 90.0


def test_a_recording_longer_than_the_clips_is_the_mean_of_its_log_probabilities(lateral):
    halves = [lateral._cues(draw_signal(32000, lead), 16000, progress=False) for lead in (8, -3)]
    signal = np.concatenate([draw_signal(32000, 8), draw_signal(32000, -3)])
    parts = [Lateral()(cues[None]).log_softmax(dim=-1)[0] for cues in halves]
    expected = torch.stack(parts).mean(dim=0).softmax(dim=-1)
    np.testing.assert_allclose(lateral.locate(signal, 16000).probabilities, expected, atol=0.02)


@pytest.mark.parametrize("pause_db", [-np.inf, -40.0, -30.0])
def test_pauses_have_no_say(lateral, pause_db):
    pause = draw_signal(64000, -8, seed=1) * 10 ** (pause_db / 20)
    alone, among = draw_signal(16000, 3), np.concatenate([draw_signal(16000, 3), pause])
    expected = lateral.locate(alone, 16000).probabilities
    np.testing.assert_allclose(lateral.locate(among, 16000).probabilities, expected, atol=1e-3)


def test_a_softer_talker_is_heard(lateral):
    softer = draw_signal(64000, -8, seed=1) * 10 ** (-17 / 20)
    assert lateral.locate(np.concatenate([draw_signal(16000, 3), softer]), 16000).azimuth == 270.0


def test_with_a_hop_each_tenth_of_a_second_has_its_own(lateral):
    signal = np.concatenate([draw_signal(24000, 8), draw_signal(24000, -8)])
    location = lateral.locate(signal, 16000, hop=0.1)
    assert location.azimuth.shape == (30,) and location.probabilities.shape == (30, 72)
    assert location.azimuth[:15].tolist() == [90.0] * 15 and location.azimuth[15:].tolist() == [270.0] * 15
    np.testing.assert_allclose(location.probabilities.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(("n_samples", "n_hops"), [(160, 1), (1600, 1), (1760, 2), (16000, 10), (16159, 10)])
def test_hops_cover_the_recording(lateral, n_samples, n_hops):
    assert len(lateral.locate(draw_signal(n_samples, 8), 16000, hop=0.1).azimuth) == n_hops


def test_a_hop_of_any_length(lateral):
    signal = draw_signal(16000, 8)
    for hop, n_hops in ((0.01, 100), (0.03, 34), (0.25, 4), (5.0, 1), (1e300, 1)):
        assert len(lateral.locate(signal, 16000, hop=hop).azimuth) == n_hops


def test_computing_cues_in_pieces_cannot_be_seen(lateral, monkeypatch):
    signal = draw_signal(40_000, 5)
    whole = lateral._cues(signal, 16000, progress=False).numpy()
    monkeypatch.setattr(localizer, "PIECE", 0.5)
    pieces = lateral._cues(signal, 16000, progress=False).numpy()
    assert pieces.shape == whole.shape == (4, 8, 250)
    np.testing.assert_array_equal(pieces, whole)


@pytest.mark.parametrize(
    ("signal", "fs", "hop", "message"),
    [
        (np.full(16000, 0.1), 16000, None, "one channel"),
        (np.full((2, 16000), 0.1), 16000, None, "channels first"),
        (np.full((16000, 2), np.nan), 16000, None, "NaN"),
        (np.zeros((0, 2)), 16000, None, "empty"),
        (np.full((159, 2), 0.1), 16000, None, "too short: 159 samples at 16000 Hz, a frame has 160"),
        (np.full((400, 2), 0.1), 48000, None, "too short: 133 samples at 16000 Hz"),
        (np.full((16000, 2), 0.1), 16.0, None, "kHz"),
        (np.full((16000, 2), 0.1), 16000, 0.0, "hop must be at least one frame, 0.01 s, found 0.0"),
        (np.full((16000, 2), 0.1), 16000, -1.0, "hop must be"),
        (np.full((16000, 2), 0.1), 16000, float("nan"), "hop must be"),
        (np.full((16000, 2), 0.1), 16000, "0.1", "hop must be"),
    ],
)
def test_bad_input_is_refused_by_name(lateral, signal, fs, hop, message):
    with pytest.raises(ValueError, match=message):
        lateral.locate(signal, fs, hop)


def test_what_is_unlike_training_is_told_where_it_was_asked(lateral):
    signal = draw_signal(16000, 8) * [1.0, 1e-4]
    with pytest.warns(UnlikeTrainingWarning, match="the right channel is silent") as said:
        location = lateral.locate(signal, 16000)
    assert len(said) == 1 and said[0].filename == __file__
    assert location.probabilities.shape == (72,)


@pytest.mark.parametrize(("lowest", "n_warnings"), [(-21.0, 1), (-60.0, 0)])
def test_how_faint_is_too_faint_is_the_training_s(lowest, n_warnings):
    of_training = Localizer(Lateral(), FORMAT, duration=1.0, peak_db=(lowest, -1.0))
    with warnings.catch_warnings(record=True) as said:
        assert of_training.locate(1e-3 * draw_signal(16000, 8), 16000).azimuth == 90.0
    assert len(said) == n_warnings


def test_silence_is_told(lateral):
    with pytest.warns(UnlikeTrainingWarning, match="silence"):
        assert np.isfinite(lateral.locate(np.zeros((16000, 2)), 16000).probabilities).all()


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no run is there"):
        Localizer.load(tmp_path)


def test_progress_is_told_of_what_takes_long(lateral, monkeypatch, capsys):
    signal = draw_signal(40_000, 8)
    monkeypatch.setattr("localization.localizer.tqdm", partial(tqdm, mininterval=0))
    monkeypatch.setattr("localization.localizer.LONG", 0.0)
    lateral.locate(signal, 16000, hop=0.1, progress=True)  # into a file, and not on a terminal
    assert not capsys.readouterr().err
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    lateral.locate(signal, 16000, hop=0.1, progress=True)
    shown = capsys.readouterr().err
    assert "cues: 100%" in shown and "estimates: 100%" in shown
    lateral.locate(signal, 16000, hop=0.1)
    assert not capsys.readouterr().err
    monkeypatch.setattr("localization.localizer.LONG", 999.0)
    lateral.locate(signal, 16000, hop=0.1, progress=True)
    assert "cues" not in capsys.readouterr().err


def test_an_estimate_hears_half_a_clip_around_its_hop(lateral):
    signal = np.concatenate([draw_signal(24_000, 8), draw_signal(24_000, -8)])  # it changes sides at 1.5 s
    found = lateral.locate(signal, 16000, hop=0.1).probabilities
    assert (found[:12, 18] > 0.99).all() and (found[18:, 54] > 0.99).all()
    assert found[14, 18] < 0.9


def test_the_pieces_of_a_recording_are_as_long_as_the_clips():
    seen = []

    class Recorder(Lateral):
        def forward(self, cues):
            seen.append(tuple(cues.shape))
            return super().forward(cues)

    Localizer(Recorder(), FORMAT, duration=1.0).locate(draw_signal(64_000, 8), 16000)
    assert seen == [(4, 4, 8, 100)]


def test_a_model_is_used_as_trained_and_not_as_in_training():
    torch.manual_seed(0)
    localizer = Localizer(nn.Sequential(nn.Dropout(0.5), Lateral()).train(), FORMAT, duration=1.0)
    first, again = (localizer.locate(draw_signal(16_000, 2), 16000).probabilities for _ in range(2))
    np.testing.assert_array_equal(first, again)
