"""Baselines: they find what is plain to find, likelihoods are the textbook's, bad input is refused."""

import io
import json
import sys

import cue_database
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import cauchy, multivariate_normal

from binaural_feature import CueFormat
from database.store import Database
from localization.baselines import BASELINES, gaussian_mixture, template
from localization.baselines.gcc_phat import gcc_phat
from localization.baselines.template import Templates, clip_means
from localization.calibration import calibration_error, reliability
from localization.dataset import CueDataset
from localization.evaluation import evaluate_baseline, fit_baseline
from localization.metrics import outcomes


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """Four clips of each azimuth in each split, with sound."""
    folder = tmp_path_factory.mktemp("data") / "noisy_hrtf"
    with Database(cue_database.write_database(folder, n_per_split=288, audio=True)) as opened:
        yield opened


def of_classes(dataset, classes):
    """The clips of some classes alone."""
    kept = np.isin(dataset.classes, classes)
    dataset.indices, dataset.classes = dataset.indices[kept], dataset.classes[kept]
    return dataset


@pytest.mark.parametrize("name", BASELINES)
def test_probabilities_are_probabilities_of_the_right_azimuths(database, name):
    test = CueDataset(database, "test")
    if name == "gaussian_mixture":
        train = of_classes(CueDataset(database, "train"), range(0, 72, 6))
        test = of_classes(test, range(0, 72, 6))
        fitted = gaussian_mixture.fit(train, n_components=2)
    else:
        fitted = BASELINES[name](CueDataset(database, "train"))
    probabilities = np.exp(fitted.log_probabilities(test))
    assert probabilities.shape == (len(test), 72)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    judged = outcomes(probabilities, test.classes)
    # One delay does not tell 85 from 90 degrees.
    assert judged.within_10deg.mean() > (0.95 if name == "gcc_phat" else 0.99)
    assert judged.front_back_confusion.mean() < 0.02


@pytest.mark.parametrize("name", ["template", "gcc_phat"])
def test_only_azimuths_that_were_heard_are_thought_of(database, name):
    frontal = [*range(19), *range(54, 72)]
    fitted = BASELINES[name](of_classes(CueDataset(database, "train"), frontal))
    test = CueDataset(database, "test")
    probabilities = np.exp(fitted.log_probabilities(test))
    np.testing.assert_allclose(probabilities[:, frontal].sum(axis=1), 1)
    behind = np.flatnonzero(test.classes == 30)
    assert set(probabilities[behind].argmax(axis=1)) <= {4, 5, 6, 7, 8}


def test_clips_of_azimuths_that_were_not_heard_are_left_out_of_calibration(database):
    frontal = [*range(19), *range(54, 72)]
    fitted = template.fit(of_classes(CueDataset(database, "train"), frontal))
    temperatures = []
    for classes in (range(72), frontal):
        fitted.calibrate(of_classes(CueDataset(database, "validation"), classes))
        temperatures.append(fitted.temperature)
    assert temperatures[0] == temperatures[1] < 50
    with pytest.raises(ValueError, match="no azimuth of its validation split is known"):
        fitted.calibrate(of_classes(CueDataset(database, "validation"), range(30, 40)))


def test_calibration_makes_probabilities_truer_and_keeps_their_order(database):
    validation = CueDataset(database, "validation")
    # Half of the clips are called by their neighbour's name, so that certainty is a mistake.
    shifted = CueDataset(database, "validation")
    shifted.classes = (shifted.classes + np.arange(len(shifted)) // 72 % 2) % 72

    def error(probabilities):
        judged = outcomes(probabilities, shifted.classes)
        return calibration_error(reliability(judged.confidence, judged.top1))

    fitted = template.fit(CueDataset(database, "train"))
    before = np.exp(fitted.log_probabilities(validation))
    fitted.calibrate(shifted)
    after = np.exp(fitted.log_probabilities(validation))
    np.testing.assert_array_equal(before.argmax(axis=1), after.argmax(axis=1))
    assert error(after) < 0.6 * error(before)


def test_means_are_those_of_loud_and_coherent_frames(database):
    itd, ild, ic, energy = database.read_cues([7])[0].astype(np.float64)
    weight = 10 ** (energy / 10) * np.exp((ic - 1) / 0.02)
    found = clip_means(CueDataset(database, "train"))[7]
    np.testing.assert_allclose(found[0], np.average(itd, axis=1, weights=weight))
    np.testing.assert_allclose(found[1], np.average(ild, axis=1, weights=weight))


def test_template_likelihoods_are_cauchys():
    values = np.array([[0.0, 10.0], [1.0, 12.0], [5.0, 20.0], [5.0, 28.0], [8.0, 24.0]])
    templates = Templates.of(values, np.array([3, 3, 9, 9, 9]), resolution=0.25)
    np.testing.assert_allclose(templates.centre, [[0.5, 11.0], [5.0, 24.0]])
    np.testing.assert_allclose(templates.spread, [0.5, 1.0])  # of distances .5 .5 0 0 3 and 1 1 4 4 0
    found = templates.log_likelihoods(np.array([[2.0, 13.0]]))
    expected = [
        cauchy.logpdf(2.0, 0.5, 0.5) + cauchy.logpdf(13.0, 11.0, 1.0),
        cauchy.logpdf(2.0, 5.0, 0.5) + cauchy.logpdf(13.0, 24.0, 1.0),
    ]
    np.testing.assert_allclose(found[0, [3, 9]], expected)
    assert np.isneginf(np.delete(found[0], [3, 9])).all()


def test_no_spread_is_less_than_the_resolution():
    templates = Templates.of(np.zeros((4, 1)), np.array([0, 0, 1, 1]), resolution=0.125)
    np.testing.assert_array_equal(templates.spread, [0.125])


@pytest.mark.parametrize("seconds", [5 / 16000, -5 / 16000, 0.0, 3.25 / 16000, -9e-4])
def test_delay_is_found_to_a_sixteenth_of_a_sample(seconds):
    # At 16 kHz five samples are 312.5 microseconds.
    noise = np.random.default_rng(0).standard_normal(16000)
    frequency = np.fft.rfftfreq(16000, 1 / 16000)
    right = np.fft.irfft(np.fft.rfft(noise) * np.exp(-2j * np.pi * frequency * seconds), 16000)
    assert gcc_phat(np.stack([noise, right], axis=1), 16000) == pytest.approx(seconds, abs=0.5 / 16 / 16000)


def test_delay_does_not_depend_on_level_spectrum_or_swapped_ears():
    noise = np.random.default_rng(1).standard_normal(8000)
    coloured = np.convolve(noise, [1, 0.9, 0.7, 0.4])[:8000]
    ears = np.stack([coloured[3:], 0.01 * coloured[:-3]], axis=1)
    assert gcc_phat(ears, 8000) == 3 / 8000
    assert gcc_phat(ears[:, ::-1], 8000) == -3 / 8000


def test_the_longest_delay_of_gcc_phat_is_a_millisecond():
    fs, noise = 12_600, np.random.default_rng(0).standard_normal(4000)
    ears = np.stack([noise[13:], noise[:-13]], axis=1)  # 13 samples are 1.03 ms
    assert abs(gcc_phat(ears, fs)) <= 1e-3


def test_silence_has_no_gcc_phat():
    assert gcc_phat(np.zeros((1000, 2)), 8000) == 0


@pytest.mark.parametrize(
    ("signal", "message"),
    [
        (np.zeros(1000), "signal has one channel"),
        (np.zeros((1000, 3)), "signal must have exactly two channels"),
        (np.full((1000, 2), np.nan), "signal holds NaN"),
        (np.zeros((31, 2)), r"signal: at least 32 samples \(2 ms\) expected, found 31"),
    ],
)
def test_what_is_no_signal_of_two_ears_is_refused(signal, message):
    with pytest.raises(ValueError, match=message):
        gcc_phat(signal, 16000)


def test_mixture_likelihoods_are_sums_over_bands_and_means_over_frames(database):
    classes = [2, 30, 60]
    fitted = gaussian_mixture.fit(of_classes(CueDataset(database, "train"), classes), n_components=3)
    test = of_classes(CueDataset(database, "test"), [30])
    found = fitted.log_likelihoods(test)
    cues = database.read_cues(test.indices)[0, :2].astype(np.float64)
    expected = np.zeros(3)
    for row, of_bands in zip(range(3), fitted.mixtures, strict=True):
        for band, mixture in enumerate(of_bands):
            frames = cues[:, band].T / fitted.scale
            of_components = [
                np.log(weight) + multivariate_normal.logpdf(frames, mean, np.diag(variance))
                for weight, mean, variance in zip(
                    mixture.weights_, mixture.means_, mixture.covariances_, strict=True
                )
            ]
            expected[row] += logsumexp(of_components, axis=0).mean()
    np.testing.assert_allclose(found[0, classes], expected, rtol=1e-4)
    assert np.isneginf(np.delete(found[0], classes)).all()


def test_mixtures_find_two_sources_where_there_are_two(database):
    # Half of an azimuth's frames from 30 degrees, half from -30: two Gaussians, one on each.
    left, right = (of_classes(CueDataset(database, "train"), [k]) for k in (6, 66))
    left.indices = np.concatenate([left.indices, right.indices])
    left.classes = np.full(len(left.indices), 6)
    fitted = gaussian_mixture.fit(left, n_components=2)
    for mixture in fitted.mixtures[0]:
        itd = np.sort(mixture.means_[:, 0]) * fitted.scale[0]
        np.testing.assert_allclose(itd, [-350e-6, 350e-6], rtol=0.2)
        np.testing.assert_allclose(mixture.weights_, 0.5, atol=0.1)


def test_the_same_seed_gives_the_same_mixtures(database):
    def likelihoods(seed):
        train = of_classes(CueDataset(database, "train"), [0, 20])
        fitted = gaussian_mixture.fit(train, n_components=2, n_frames=20, seed=seed)
        return fitted.log_likelihoods(of_classes(CueDataset(database, "test"), [0]))

    np.testing.assert_array_equal(likelihoods(0), likelihoods(0))
    assert (likelihoods(0)[:, 0] != likelihoods(1)[:, 0]).any()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_how_far_a_fit_is_and_a_log_is_kept_short(database, monkeypatch):
    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        gaussian_mixture.fit(of_classes(CueDataset(database, "train"), [0]), n_components=2, n_frames=20)
        assert [words in stream.getvalue() for words in ("train:", "mixtures:")] == [shown, shown]


def test_fewer_frames_than_gaussians_are_refused(database):
    with pytest.raises(ValueError, match="40 frames of an azimuth, expected at least n_components, 41"):
        gaussian_mixture.fit(CueDataset(database, "train"), n_components=41)


def test_a_baseline_gets_the_report_of_a_model(database, tmp_path):
    template = fit_baseline("template", database.folder)
    metrics = evaluate_baseline(template, database.folder, tmp_path / "report")
    assert metrics["system"] == "template"
    assert metrics["measures"]["top1"]["value"] > 0.9
    assert metrics["data"]["trained_on"] == database.digest
    assert metrics["calibration"]["temperature"] != 1
    assert json.loads((tmp_path / "report" / "metrics.json").read_text(encoding="utf-8")) == metrics
    page = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert page.startswith(f"# template on {database.folder}\n")
    assert metrics["command"] in page and "another database" not in page
    assert "training as well: 0 of 3 speakers, 1 of 2 noise recordings, 1 of 1 heads" in page
    assert (tmp_path / "report" / "confusion.png").is_file()


def test_the_command_of_a_report_makes_it_again(database, tmp_path):
    other = cue_database.write_database(tmp_path / "other", seed=1)
    template = fit_baseline("template", database.folder)
    metrics = evaluate_baseline(template, other, tmp_path / "report", split="validation")
    assert metrics["data"]["trained_on"] == database.digest != metrics["data"]["digest"]
    assert "another database" in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    functions = {"evaluate_baseline": evaluate_baseline, "fit_baseline": fit_baseline}
    assert eval(metrics["command"], functions) == metrics


def test_what_cannot_be_evaluated_is_refused(database, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="no baseline is called 'oracle', there are template, gcc_phat, gau"):
        fit_baseline("oracle", database.folder)
    silent = cue_database.write_database(tmp_path / "silent")
    with pytest.raises(ValueError, match="silent: built without audio"):
        fit_baseline("gcc_phat", silent)
    monkeypatch.setattr(cue_database, "FORMAT", CueFormat.default(fs=16000, n_bands=6))
    other = cue_database.write_database(tmp_path / "other")
    with pytest.raises(ValueError, match=r"other: .* template baseline .* fs: found 16000"):
        evaluate_baseline(fit_baseline("template", database.folder), other, tmp_path / "report")
    assert not (tmp_path / "report").exists()
