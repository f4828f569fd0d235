"""From sources to an azimuth by the command lines alone, as a user types them."""

import json

import numpy as np
import pytest
import soundfile

import train_doa
from database.__main__ import main as database_main
from database.hrtf import kemar
from database.mixing import render
from database.sources import noise_source, speech_source
from localization.runs import load_run

pytestmark = pytest.mark.usefixtures("one_precision")


def make_localizer(folder, clips, *sources):
    """Build a database, train on it and judge it on its test split; the report's numbers."""
    database, run = str(folder / "noisy hrtf"), str(folder / "runs" / "kemar")
    build = ["build", database, "--clips", str(clips), "--snr-db", "15", "40", "--keep-audio", *sources]
    assert database_main(build) == 0
    assert database_main(["verify", database]) == 0
    assert train_doa.main(["train", database, "--out", run, "--epochs", "4", "--batch-size", "24"]) == 0
    assert train_doa.main(["evaluate", run, "--database", database, "--out", str(folder / "report")]) == 0
    return json.loads((folder / "report" / "metrics.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthetic")
    return folder, make_localizer(folder, 20)


def test_a_small_database_teaches_where_talkers_are(synthetic):
    _, metrics = synthetic
    assert metrics["n_clips"] >= 3 * 72
    assert metrics["measures"]["top1"]["value"] > 0.5  # chance is 1.4 %
    assert metrics["measures"]["top5"]["value"] > 0.9
    assert metrics["measures"]["angular_error_deg"]["value"] < 15


def test_the_report_has_its_figures(synthetic):
    folder, metrics = synthetic
    names = {path.name for path in (folder / "report").iterdir()}
    figures = {"confusion.png", "error_over_azimuth.png", "accuracy_over_snr.png", "reliability.png"}
    assert names == figures | {"metrics.json", "report.md"}
    assert (
        f"{100 * metrics['measures']['top1']['value']:.2f}" in (folder / "report" / "report.md").read_text()
    )


@pytest.mark.parametrize("azimuth", [45, 315])
def test_a_recording_is_located_from_the_shell(synthetic, azimuth, capsys):
    folder, _ = synthetic
    speech = speech_source()
    recording = speech.recordings[-1]
    talker = speech.read(recording, 44_100)[:66_150]
    signal = render(talker, kemar().resampled(44_100).response(azimuth))
    path = folder / f"talker at {azimuth}.wav"
    soundfile.write(path, 0.5 * signal / np.abs(signal).max(), 44_100)
    picture = folder / "azimuth.png"
    capsys.readouterr()
    arguments = ["locate", str(path), "--run", str(folder / "runs" / "kemar"), "--hop", "0.1", "--json"]
    assert train_doa.main(arguments) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["azimuth"]) == 15
    errors = (np.array(answer["azimuth"]) - azimuth + 180) % 360 - 180
    assert np.median(np.abs(errors)) <= 15
    assert train_doa.main([*arguments[:4], "--picture", str(picture)]) == 0
    assert picture.stat().st_size > 0


def test_a_stored_mixture_can_be_listened_to_and_located(synthetic):
    folder, _ = synthetic
    path = folder / "mixture.wav"
    assert database_main(["info", str(folder / "noisy hrtf"), "--play", "100", str(path)]) == 0
    signal, fs = soundfile.read(path)
    assert signal.shape == (16_000, 2)
    assert fs == 16_000
    assert -21.1 < 20 * np.log10(np.abs(signal).max()) < -0.9


def test_a_run_rebuilds_its_model_from_its_folder_alone(synthetic, tmp_path):
    folder, _ = synthetic
    moved = (folder / "runs" / "kemar").rename(tmp_path / "moved")
    try:
        assert load_run(moved).format.n_bands == 32
    finally:
        moved.rename(folder / "runs" / "kemar")


@pytest.mark.filterwarnings("ignore:.* are clipped")  # as one of ESC-50 is
def test_real_speech_and_noise(shared, tmp_path):
    data = shared / "data"
    sources = ["--speech", str(data / "LibriSpeech"), "--noise", str(data / "ESC-50")]
    metrics = make_localizer(tmp_path, 20, *sources)
    assert metrics["data"]["sources"] == {
        "speech": speech_source(data / "LibriSpeech").kind,
        "noise": noise_source(data / "ESC-50").kind,
    }
    assert metrics["measures"]["top1"]["value"] > 0.4
    assert metrics["measures"]["top5"]["value"] > 0.85
