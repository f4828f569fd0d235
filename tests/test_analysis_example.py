"""The analysis example shows the physics of two ears: by numbers, on real speech where there is some."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from binaural_feature import Cues, get_cues, select_cues
from database.hrtf import kemar
from database.sources import speech_source

EXAMPLE = Path(__file__).parents[1] / "examples" / "analysis.py"
DURATION = 14.4  # s, 25 degrees a second


@pytest.fixture(scope="module")
def analysis():
    specification = importlib.util.spec_from_file_location("analysis", EXAMPLE)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def head(analysis):
    return kemar().resampled(analysis.FS)


@pytest.fixture(scope="module", params=["synthetic", "real"])
def speech(request):
    if request.param == "synthetic":
        return speech_source()
    return speech_source(request.getfixturevalue("shared") / "data" / "LibriSpeech")


def talkers(speech):
    names = sorted({recording.label for recording in speech.recordings})
    return names[0], names[len(names) // 2]


@pytest.fixture(scope="module")
def walk(analysis, head, speech):
    """One turn round the head."""
    return analysis.moving_source(
        analysis.sound(speech, talkers(speech)[0], DURATION), head, range(0, 361, 5)
    )


def test_time_difference_at_the_sides_is_that_of_a_head(analysis, walk):
    left, right = analysis.itd_at(walk, (90, 270))
    assert 0.65e-3 < left < 0.8e-3
    assert -0.8e-3 < right < -0.65e-3


def test_differences_change_sign_in_front_and_behind_and_nowhere_else(analysis, walk):
    times = np.arange(0.1, DURATION, 0.1)
    azimuth = 360 * times / DURATION
    itd, ild = analysis.differences_over_time(get_cues(walk, analysis.FS), times, width=0.4)
    on_the_left, on_the_right = (azimuth > 10) & (azimuth < 170), (azimuth > 190) & (azimuth < 350)
    for difference in (itd, ild):
        assert (difference[on_the_left] > 0).all()
        assert (difference[on_the_right] < 0).all()


def test_a_source_that_stands_still_is_rendered_as_ever(analysis, head):
    speech = np.random.default_rng(0).standard_normal(4000)
    there = analysis.moving_source(speech, head, [35, 35, 35])
    np.testing.assert_allclose(there, analysis.render(speech, head.response(35)), atol=1e-12)


def test_a_moving_source_begins_and_ends_where_it_is_told(analysis, head):
    speech = np.random.default_rng(0).standard_normal(8000)
    moved = analysis.moving_source(speech, head, [90, 0, 270])
    for azimuth, part in ((90, slice(0, 80)), (270, slice(-80, None))):
        there = analysis.render(speech, head.response(azimuth))[part]
        assert np.abs(moved[part] - there).max() < 0.1 * np.abs(there).max()


def test_weighted_median_is_the_median_of_as_many_copies(analysis):
    rng = np.random.default_rng(1)
    values, copies = rng.normal(size=(3, 7)), rng.integers(0, 5, (3, 7))
    expected = np.quantile(np.repeat(values.ravel(), copies.ravel()), 0.5, method="inverted_cdf")
    assert analysis.weighted_median(values, copies.astype(float)) == expected
    assert np.isnan(analysis.weighted_median(values, np.zeros((3, 7))))


def test_two_talkers_at_once_show_as_two_peaks(analysis, head, speech):
    first, second = (analysis.sound(speech, talker, 10.0) for talker in talkers(speech))

    def chosen(cues, bands, ic_min):
        return select_cues(Cues(*(cue[bands] for cue in cues)), ic_min)

    together = analysis.two_talkers(first, second, head)
    on_the_left = get_cues(analysis.render(first, head.response(40)), analysis.FS)
    for cue, bands, reach in (("itd", analysis.ITD_BANDS, 0.15e-3), ("ild", analysis.ILD_BANDS, 3.0)):
        before, after = (getattr(chosen(together, bands, ic_min), cue) for ic_min in (0.0, 0.98))
        peak = np.median(getattr(chosen(on_the_left, bands, 0.98), cue))
        left, right = (np.abs(after - side) < reach for side in (peak, -peak))
        assert left.mean() > 0.25
        assert right.mean() > 0.25
        assert (np.abs(after) < peak - reach).mean() < 0.05
        at_peaks = (np.abs(np.abs(before) - peak) < reach).mean()
        assert (left | right).mean() > at_peaks + 0.05


@pytest.mark.parametrize("sound", ["synthetic", "real"])
def test_the_script_writes_its_figures(analysis, tmp_path, capsys, request, sound):
    given = []
    if sound == "real":
        data = request.getfixturevalue("shared") / "data"
        given = ["--speech", str(data / "LibriSpeech"), "--noise", str(data / "ESC-50")]
    analysis.main([*given, "--out", str(tmp_path)])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["circle.png", "noise.png", "two_talkers.png"]
    assert "90 degrees: ITD +0.7" in capsys.readouterr().out


def test_a_noise_that_is_not_there_is_refused_before_anything_is_drawn(analysis, tmp_path, capsys):
    with pytest.raises(SystemExit):
        analysis.main(["--noise-type", "thunder", "--out", str(tmp_path / "figures")])
    assert re.search("error: thunder: expected one of .*rain", capsys.readouterr().err)
    assert not (tmp_path / "figures").exists()


def test_a_file_is_no_folder_for_figures(analysis, tmp_path, capsys):
    (tmp_path / "figures").write_text("not yet", encoding="utf-8")
    with pytest.raises(SystemExit):
        analysis.main(["--out", str(tmp_path / "figures")])
    assert re.search("error: .*figures", capsys.readouterr().err)


def test_a_talker_of_too_few_words_is_named(analysis, tmp_path):
    soundfile.write(tmp_path / "short.wav", np.random.default_rng(0).uniform(-0.1, 0.1, 32_000), 16_000)
    source = speech_source(tmp_path)
    with pytest.raises(ValueError, match=r": 2.0 s of sound, expected at least 14.4 s"):
        analysis.sound(source, source.recordings[0].label, 14.4)
