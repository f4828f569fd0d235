"""The benchmark programs, end to end with tiny settings: what they write, never how long it took."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import benchmarks.build
import benchmarks.cues
import benchmarks.faults.__main__
import benchmarks.models
import benchmarks.training
from auditory_model import MODEL_TYPES
from benchmarks import Target, print_targets
from benchmarks.build import in_new_process
from benchmarks.cues import compiled_band_cues, multiply_adds, pyfar_filterbank, sample_by_sample
from binaural_feature import CueFormat, get_cues
from database.recipe import Recipe
from database.worker_process import ENVIRONMENT
from localization.models import MODELS

ROOT = Path(__file__).parents[1]


@pytest.fixture
def recordings(tmp_path: Path) -> tuple[Path, Path]:
    """Folders with one recording of each of three talkers, and with three of rain; half a second each."""
    rng = np.random.default_rng(0)
    for number in range(3):
        for folder in (tmp_path / "speech" / f"talker-{number}", tmp_path / "noise" / "rain"):
            folder.mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / f"{number}.wav", 0.1 * rng.standard_normal(4000), 8000)
    return tmp_path / "speech", tmp_path / "noise"


def test_faults_are_counted(tmp_path, capsys):
    name, results = "mutations.wave_mutations", tmp_path / "faults.json"
    options = ["--only", name, "--scale", "0.001", "--json", str(results)]
    assert benchmarks.faults.__main__.main(options) == 0
    (tried,) = json.loads(results.read_text(encoding="utf-8"))["faults"]
    assert tried["scenario"] == name and tried["kept"] == tried["tried"] > 0
    assert tried["promised"] in capsys.readouterr().out


def test_cues_are_measured_beside_the_others(tmp_path, capsys, recordings):
    file, talker = tmp_path / "cues.json", recordings[0] / "talker-0" / "0.wav"
    tiny = ["--rates", "8000", "16000", "--bands", "3", "--duration", "0.1", "--rounds", "2"]
    benchmarks.cues.main([*tiny, "--speech", str(talker), "--json", str(file)])
    results = json.loads(file.read_text())
    ours = {f"GetCues_clean, {name}" for name in MODEL_TYPES if " " not in name}
    for fs in (8000, 16000):
        measured = results["rates"][str(fs)]
        assert ours < measured["seconds"].keys()
        assert {"gammatone's filterbank alone", "multiply-adds alone"} < measured["seconds"].keys()
        assert all(0 < seconds < 600 for seconds in measured["seconds"].values())
        assert [row["latency"] for row in measured["streaming"]] == [0.01, 0.1]  # a frame, the whole
        assert all(row["seconds"] > 0 for row in measured["streaming"])
        assert f"{fs} Hz: sample by sample, numba, over Roman" in {t["what"] for t in results["targets"]}
    assert results["machine"]["versions"]["python"]
    assert "| GetCues_clean, Meddis " in capsys.readouterr().out


def test_a_build_is_measured_by_workers_and_stages(tmp_path, capsys, recordings):
    speech, noise = map(str, recordings)
    file, scratch = tmp_path / "build.json", tmp_path / "scratch"
    scratch.mkdir()
    cue_format = CueFormat.default(8000, 4)
    tiny = Recipe(duration=0.2, format=cue_format, noise_types=1, noise_files=3, scenes_per_shard=108)
    settings = ["--clips", "3", "--workers", "2", "--rounds", "1", "--scratch", str(scratch)]
    benchmarks.build.main([*settings, "--speech", speech, "--noise", noise, "--json", str(file)], tiny)
    results = json.loads(file.read_text())
    (row,) = results["builds"]
    assert (row["clips"], row["workers"]) == (216, 2)
    assert row["seconds"] > 0
    if Path("/proc/self/status").exists():
        assert all(20 < row[name] < 1024 for name in ("builder_mib", "worker_mib"))
    stages = {"reading", "planning", "rendering", "mixing", "cues", "storing", "other"}
    assert results["stages"]["seconds"].keys() == stages
    assert all(seconds > 0 for seconds in results["stages"]["seconds"].values())
    assert not list(scratch.iterdir())
    assert "| cues " in capsys.readouterr().out


def test_builds_are_judged_by_the_largest_that_two_workers_and_one_made():
    rows = [
        {"clips": clips, "workers": workers, "seconds": seconds, "worker_mib": mib}
        for clips, workers, seconds, mib in [
            (720, 1, 10.0, 300),
            (720, 2, 10.0, 300),
            (7200, 1, 95.0, 310),
            (7200, 2, 50.0, 320),
            (50400, 2, 350.0, 330),
        ]
    ]
    judged = benchmarks.build.targets(rows, {"cues": 5.0, "reading": 1.0, "other": 2.0})
    assert [round(target.found, 6) for target in judged] == [0.6, 330, 1.9]


def test_all_that_compute_cues_compute_the_same():
    cue_format = CueFormat.default(16000, 3)
    signal = np.random.default_rng(0).standard_normal((1600, 2))
    cues = get_cues(signal, 16000, cfs=cue_format.cfs)
    compiled = sample_by_sample(signal, cue_format, compiled_band_cues)
    np.testing.assert_allclose(compiled.transpose(1, 0, 2), np.stack(cues), rtol=0, atol=1e-6)


def test_the_loader_is_measured_beside_the_model(tmp_path, capsys):
    file = tmp_path / "training.json"
    tiny = Recipe(n_clips=4, duration=0.2, format=CueFormat.default(8000, 4), shares=(0.5, 0.25, 0.25))
    settings = ["--batch-size", "32", "--workers", "1", "--rounds", "1"]
    benchmarks.training.main([*settings, "--json", str(file)], tiny)
    results = json.loads(file.read_text())
    (loader,), (training,) = results["loaders"], results["trainings"]
    assert loader["workers"] == training["workers"] == 1
    assert min(loader["cold"], loader["warm"], results["model_clips_a_second"], training["epoch_seconds"]) > 0
    assert 0 <= training["waiting_percent"] <= 100 and len(results["targets"]) == 3
    assert "| 1                 |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("program", "words", "message"),
    [
        (
            benchmarks.training,
            ["--workers", "0", "2"],
            "--workers: expected numbers from 0, 1 among them, found [0, 2]",
        ),
        (benchmarks.training, ["--workers", "1", "-1"], "--workers: expected numbers from 0"),
        (benchmarks.training, ["--batch-size", "9999"], "--batch-size: 9999, but "),
        (benchmarks.build, ["--speech", "nowhere"], "nowhere"),
        (benchmarks.build, ["--clips", "0"], "clips: 0: expected a whole number of 1 or more"),
        (benchmarks.models, ["--bands", "few"], "bands: few: expected a whole number of 1 or more"),
        (benchmarks.training, ["--rounds", "0"], "rounds: 0: expected a whole number of 1 or more"),
        (benchmarks.training, ["--database", "nowhere"], "nowhere/plan.json: no such file"),
        (benchmarks.cues, ["--speech", "nowhere.flac"], "nowhere.flac"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_measured(program, words, message, capsys):
    with pytest.raises(SystemExit, match=r"^2$"):
        program.main(words)
    assert f"{program.__name__}: error: " in (error := capsys.readouterr().err) and message in error


def test_every_network_is_measured(tmp_path, capsys):
    file = tmp_path / "models.json"
    tiny = ["--bands", "4", "--frames", "10", "--batch-size", "2", "--rounds", "1"]
    benchmarks.models.main([*tiny, "--json", str(file)])
    measured = json.loads(file.read_text())["models"]
    assert measured.keys() == MODELS.keys()
    assert all(value > 0 for figures in measured.values() for value in figures.values())
    assert "| cue_attention |" in capsys.readouterr().out


@pytest.mark.parametrize("fs", [16000, 44100, 48000])
def test_pyfar_has_the_same_bands(fs):
    pytest.importorskip("pyfar", reason="an extra of the benchmarks")
    cue_format = CueFormat.default(fs)
    process = pyfar_filterbank(np.zeros((160, 2)), cue_format)["pyfar's filterbank alone"]
    assert process()[0].cshape == (32, 2)
    frequencies = process.func.__self__.frequencies
    np.testing.assert_allclose(frequencies, cue_format.cfs, rtol=1e-3)


def test_multiply_adds_of_the_definition():
    cue_format = CueFormat.default(16000, 2)  # 33 lags
    assert multiply_adds(cue_format, 10) == 10 * 2 * (32 + 33 + 1 + 8)


def test_a_program_starts_again_with_one_thread_and_its_arguments():
    script = (
        "import os, sys, numba, benchmarks; benchmarks.run_with_one_thread();"
        "print(numba.get_num_threads(), os.environ['MALLOC_TRIM_THRESHOLD_'], sys.argv[1:])"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
    command = [sys.executable, "-c", script, "--rounds", "3"]
    answer = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert answer.stdout.split(maxsplit=2) == ["1", str(2**28), "['--rounds', '3']\n"], answer.stderr


def test_a_build_that_fails_is_no_measurement(capfd):
    with pytest.raises(ChildProcessError, match="says above why"):
        in_new_process(int, "not a number")
    assert "invalid literal" in capfd.readouterr().err


def test_targets_are_met_or_missed(capsys):
    targets = [Target("few", 0.2, most=0.35), Target("many", 4.99, least=5), Target("enough", 5, least=5)]
    assert [target.met for target in targets] == [True, False, True]
    print_targets(targets)
    verdicts = [line.split()[-2] for line in capsys.readouterr().out.strip().splitlines()[2:]]
    assert verdicts == ["met", "missed", "met"]
