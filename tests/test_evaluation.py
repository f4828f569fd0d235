"""Evaluation: the numbers are those of the metrics, the files are there, and what does not fit is refused."""

import json
import shutil
from dataclasses import asdict, replace

import cue_database
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import log_softmax

import train_doa
from binaural_feature import CueFormat
from database.build import build
from database.hrtf import AZIMUTHS, Head, kemar
from database.recipe import Recipe
from database.store import Database
from localization import evaluation
from localization.checkpoints import checkpoint_bytes
from localization.dataset import CueDataset, format_differences
from localization.evaluation import evaluate
from localization.gradient_norms import GRADIENT_NORMS
from localization.metrics import MEASURES, confusion, order_from_right, outcomes, snr_bin
from localization.models import CNNConfig, build_model
from localization.report import report
from localization.runs import BEST, CONFIG, VERSION, config_digest, load_run, log_probabilities

FIGURES = ("accuracy_over_snr.png", "confusion.png", "error_over_azimuth.png", "reliability.png")


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    return cue_database.write_database(tmp_path_factory.mktemp("data") / "noisy_hrtf")


def write_run(folder, cue_format=cue_database.FORMAT, software=None, **trained_on):
    """A run whose model has learned nothing."""
    torch.manual_seed(0)
    config = CNNConfig(n_bands=cue_format.n_bands, channels=(4, 4), width=8)
    weights = build_model(config).state_dict()
    (folder / BEST).parent.mkdir(parents=True)
    checkpoint = {"epoch": 0, "state_dict": {f"model.{name}": value for name, value in weights.items()}}
    (folder / BEST).write_bytes(checkpoint_bytes(checkpoint))
    content = {
        "version": VERSION,
        "model": asdict(config),
        "cue_format": cue_format.to_dict(),
        "duration": 0.1,
        "training": {"precision": "32-true", "seed": 0},
        "database": {"digest": "of another database", **trained_on},
        "software": software or {"torch": "2"},
    }
    content["sha256"] = config_digest(content)
    (folder / CONFIG).write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory, database):
    return write_run(tmp_path_factory.mktemp("runs") / "tiny", digest=Database(database).digest)


@pytest.fixture(scope="module")
def metrics(run, database):
    return evaluate(run, database)


def test_numbers_are_those_of_the_test_split(metrics, run, database):
    with Database(database) as opened:
        dataset = CueDataset(opened, "test")
        judged = outcomes(np.exp(log_probabilities(load_run(run).model, dataset)), dataset.classes)
        snr_db = opened.columns["snr_db"][dataset.indices]
        noise_type = opened.columns["noise_type"][dataset.indices]
    assert (metrics["n_clips"], metrics["n_speakers"]) == (72, 3)
    assert set(metrics["measures"]) == set(MEASURES)
    for name, interval in metrics["measures"].items():
        of_clips = judged.angular_error_deg**2 if name == "rms_error_deg" else getattr(judged, name)
        power = 0.5 if name == "rms_error_deg" else 1
        assert interval["value"] == pytest.approx(of_clips.mean() ** power)
        assert interval["low"] <= interval["value"] <= interval["high"]
    error = judged.angular_error_deg
    for edge, found in metrics["by_snr_db"].items():
        inside = snr_bin(snr_db) == float(edge)
        assert found["n_clips"] == inside.sum()
        assert found["measures"]["angular_error_deg"]["value"] == pytest.approx(error[inside].mean())
    for name, found in metrics["by_noise_type"].items():
        assert found["measures"]["angular_error_deg"]["value"] == pytest.approx(
            error[noise_type == name].mean()
        )
    assert list(metrics["by_azimuth"]) == [str(azimuth) for azimuth in range(0, 360, 5)]
    assert list(metrics["by_head"]) == ["round"]
    np.testing.assert_array_equal(metrics["confusion"], confusion(dataset.classes, judged.estimate))


def test_everything_is_written_beside_each_other(metrics, run):
    folder = run / "evaluation" / "noisy_hrtf_test"
    assert metrics["folder"] == str(folder)
    assert sorted(file.name for file in folder.iterdir()) == sorted([*FIGURES, "metrics.json", "report.md"])
    for name in FIGURES:
        with Image.open(folder / name) as image:
            image.verify()
    assert json.loads((folder / "metrics.json").read_text(encoding="utf-8")) == metrics


def test_report_holds_numbers_figures_and_origin(metrics, run, database):
    page = (run / "evaluation" / "noisy_hrtf_test" / "report.md").read_text(encoding="utf-8")
    assert page == report(metrics)
    assert f"python train_doa.py evaluate {run} --database {database}\n" in page
    assert f"database: seed 0, digest {Database(database).digest}" in page
    assert "another database" not in page
    top1, error = (metrics["measures"][name] for name in ("top1", "angular_error_deg"))
    row = next(line for line in page.splitlines() if line.startswith("| test | 72 |"))
    assert f"| {100 * top1['value']:.2f} ({100 * top1['low']:.2f} … {100 * top1['high']:.2f}) |" in row
    assert f"| {error['value']:.2f} ({error['low']:.2f} … {error['high']:.2f}) |" in row
    for name in FIGURES:
        assert f"({name})" in page
    for heading in ("| 0 to 5 dB |", "| rain |", "| round |", "| 355° |"):
        assert heading in page
    tables = [line for line in page.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} == {len(MEASURES) + 3}


def test_the_same_evaluation_again_gives_the_same_numbers(metrics, run, database):
    assert evaluate(run, database) == metrics


def test_a_model_that_is_always_right_gets_full_marks(run, database, tmp_path, monkeypatch):
    certain = np.where(np.eye(72) == 1, 0.0, -np.inf)
    monkeypatch.setattr(evaluation, "log_probabilities", lambda model, dataset: certain[dataset.classes])
    metrics = evaluate(run, database, "validation", tmp_path / "report")
    errors = ("angular_error_deg", "rms_error_deg", "front_back_confusion")
    perfect = dict.fromkeys(MEASURES, 1.0) | dict.fromkeys(errors, 0.0)
    for group in (metrics, *metrics["by_azimuth"].values(), *metrics["by_snr_db"].values()):
        assert {name: interval["value"] for name, interval in group["measures"].items()} == perfect
    assert metrics["calibration"]["error"] == 0
    np.testing.assert_array_equal(metrics["confusion"], np.eye(72))
    page = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "--split validation" in page


def test_a_small_temperature_leaves_the_order_of_the_improbable(run, database, tmp_path, monkeypatch):
    logits = np.where(np.arange(72) == 60, -120, np.where(np.arange(72) == 0, 0, -130)).astype(np.float32)
    monkeypatch.setattr(
        evaluation, "log_probabilities", lambda _, dataset: np.tile(logits, (len(dataset), 1))
    )
    metrics = evaluate(run, database, "validation", tmp_path / "report")
    of_class = metrics["by_azimuth"]["300"]["measures"]
    assert of_class["top1"]["value"] == 0 and of_class["top5"]["value"] == 1


@pytest.fixture(scope="module")
def frontal(tmp_path_factory):
    """A tiny database of a head that was measured in front alone."""
    classes = [*range(19), *range(54, 72)]
    head = Head("front", kemar().fs, AZIMUTHS[classes], kemar().responses[classes])
    recipe = Recipe(n_clips=6, duration=0.1, format=cue_database.FORMAT, noise_types=2, noise_files=6)
    folder = tmp_path_factory.mktemp("frontal") / "front"
    return build(folder, recipe, heads=[head], n_workers=0, progress=False), np.array(classes)


def test_directions_that_no_head_has_are_left_out_where_that_is_known(run, frontal, tmp_path):
    folder, classes = frontal
    as_ever = evaluate(run, folder, out=tmp_path / "all")
    words = ["evaluate", str(run), "--database", str(folder), "--out", str(tmp_path / "known")]
    assert train_doa.main([*words, "--known-directions"]) == 0
    found = json.loads((tmp_path / "known" / "metrics.json").read_text(encoding="utf-8"))
    assert as_ever["known_classes"] is None and found["known_classes"] == classes.tolist()
    with Database(folder) as opened:
        dataset = CueDataset(opened, "test")
        p = np.exp(log_probabilities(load_run(run).model, dataset))
        probabilities = np.zeros_like(p)
        probabilities[:, classes] = p[:, classes] / p[:, classes].sum(axis=1, keepdims=True)
        estimates = [outcomes(these, dataset.classes).estimate for these in (p, probabilities)]
        counts = [confusion(dataset.classes, estimate) for estimate in estimates]
    assert not np.isin(estimates[0], classes).all()  # so that something is left out
    np.testing.assert_array_equal(as_ever["confusion"], counts[0])
    np.testing.assert_array_equal(found["confusion"], counts[1])
    page = (tmp_path / "known" / "report.md").read_text(encoding="utf-8")
    assert "of the 37 azimuths that the heads have, one of the scene's own head;" in page
    assert f"evaluate {run} --database {folder} --known-directions --out {tmp_path / 'known'}\n" in page
    page = (tmp_path / "all" / "report.md").read_text(encoding="utf-8")
    assert "known directions" not in page and "--known-directions" not in page


def test_of_several_heads_each_clip_is_judged_among_its_own_azimuths(run, tmp_path):
    whole, known = kemar(), {"front": [*range(19), *range(54, 72)], "sides": [0, 18, 36, 54]}
    heads = [Head(name, whole.fs, AZIMUTHS[of], whole.responses[of]) for name, of in known.items()]
    recipe = Recipe(n_clips=6, duration=0.1, format=cue_database.FORMAT, noise_types=2, noise_files=6)
    folder = build(tmp_path / "mixed", recipe, heads=heads, n_workers=0, progress=False)
    found = evaluate(run, folder, out=tmp_path / "report", known_directions=True)
    assert found["known_classes"] == sorted({k for of in known.values() for k in of})
    with Database(folder) as opened:
        dataset = CueDataset(opened, "test")
        p = np.exp(log_probabilities(load_run(run).model, dataset))
        own = [known[name] for name in opened.columns["head"][dataset.indices]]
    estimate = np.array([of[row[of].argmax()] for row, of in zip(p, own, strict=True)])
    together = np.where(np.isin(np.arange(72), found["known_classes"]), p, 0).argmax(axis=1)
    assert (estimate != together).any()  # so that it matters whose azimuths they are
    np.testing.assert_array_equal(found["confusion"], confusion(dataset.classes, estimate))


def test_a_baseline_may_know_the_directions_too(frontal, tmp_path):
    folder, classes = frontal
    template = evaluation.fit_baseline("template", folder)
    found = evaluation.evaluate_baseline(template, folder, tmp_path, known_directions=True)
    assert found["known_classes"] == classes.tolist()
    assert found["command"].endswith("'test', known_directions=True)")


def test_a_single_speaker_leaves_the_interval_unknown(metrics):
    # Every azimuth occurs once in this split, so with one speaker.
    found = metrics["by_azimuth"]["0"]
    assert found["n_speakers"] == 1
    assert found["measures"]["top1"]["low"] is None
    assert f"| 0° | 1 | {100 * found['measures']['top1']['value']:.2f} (– … –) |" in report(metrics)


def test_a_model_from_another_database_is_said_to_be(database, tmp_path):
    run = write_run(tmp_path / "run")
    evaluate(run, database, out=tmp_path / "report")
    page = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "trained on another database, digest of another database" in page
    assert "heard in training as well: unknown" in page


def test_the_report_says_what_of_the_test_was_heard_in_training(database, tmp_path):
    sources = {"speakers": ["test-0", "test-9"], "noise recordings": ["everywhere.wav"], "heads": ["flat"]}
    run = write_run(tmp_path / "run", sources=sources)
    found = evaluate(run, database, out=tmp_path / "report")["data"]["heard_in_training"]
    assert found == {"speakers": [1, 3], "noise recordings": [1, 2], "heads": [0, 1]}
    page = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "training as well: 1 of 3 speakers, 1 of 2 noise recordings, 0 of 1 heads" in page


def test_what_a_model_was_trained_with_is_told(metrics, database, tmp_path):
    assert metrics["data"]["trained_with"] == {"torch": "2", "precision": "32-true"}
    run = write_run(tmp_path / "run", software=[1])
    with pytest.raises(ValueError, match=r"run/config.json: software and training: an entry for each name"):
        evaluate(run, database, out=tmp_path / "report")


@pytest.mark.parametrize(
    "sources", [5, [], {}, {"speakers": 1}, {"speakers": [], "noise recordings": [], "heads": [[]]}]
)
def test_sources_that_training_did_not_write_are_named(database, tmp_path, sources):
    run = write_run(tmp_path / "run", sources=sources)
    with pytest.raises(ValueError, match=r"run/config.json: database.sources: lists of speakers, noise rec"):
        evaluate(run, database)


def test_cues_of_another_format_are_refused_with_the_difference(database, tmp_path):
    other = replace(CueFormat.default(fs=16000, n_bands=7), model_type="halfwave")
    run = write_run(tmp_path / "run", other)
    with pytest.raises(ValueError, match="not of the format") as refusal:
        evaluate(run, database, out=tmp_path / "report")
    for difference in (
        "fs: found 8000.0, expected 16000.0",
        "model_type: found 'Roman', expected 'halfwave'",
        "frame_shift: found 80, expected 160",
        "cfs: found 6 bands from 80 to",
        "expected 7 bands from 80 to",
        str(database),
        str(run),
    ):
        assert difference in str(refusal.value)
    assert "filter_type" not in str(refusal.value)
    assert not (tmp_path / "report").exists()


def test_formats_differ_in_what_differs():
    cue_format = cue_database.FORMAT
    last_bit = replace(cue_format, cfs=tuple(np.nextafter(cue_format.cfs, 1e9).tolist()))
    assert format_differences(last_bit, cue_format) == []
    shifted = replace(cue_format, cfs=tuple(1.01 * cf for cf in cue_format.cfs))
    (difference,) = format_differences(shifted, cue_format)
    assert difference.startswith("cfs: found 6 bands from 80.8 to")


def test_a_split_that_is_not_there_is_refused(run, database):
    with pytest.raises(ValueError, match="no clip of the split 'exam'"):
        evaluate(run, database, "exam")


def test_missing_folders_are_named(run, database, tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        evaluate(tmp_path / "nowhere", database)
    with pytest.raises(OSError, match="nowhere"):
        evaluate(run, tmp_path / "nowhere")


def with_temperature(folder, temperature):
    """The run of `write_run`, its logits divided."""
    checkpoint = torch.load(folder / BEST, weights_only=True)
    checkpoint["state_dict"]["model.temperature"] = torch.tensor(temperature)
    (folder / BEST).write_bytes(checkpoint_bytes(checkpoint))
    return folder


def test_calibration_is_told_before_and_after(metrics, database, tmp_path):
    assert metrics["calibration"]["temperature"] == 1
    assert metrics["calibration"]["error"] == pytest.approx(metrics["calibration"]["error_before"])
    sharper = evaluate(with_temperature(write_run(tmp_path / "run"), 0.25), database)
    assert sharper["calibration"]["temperature"] == 0.25
    assert sharper["calibration"]["error_before"] == pytest.approx(metrics["calibration"]["error"], abs=1e-5)
    assert sharper["calibration"]["error"] != pytest.approx(metrics["calibration"]["error"], abs=1e-3)
    assert sharper["measures"]["top1"]["value"] == metrics["measures"]["top1"]["value"]
    unfinished = "training was not finished, and no temperature was fitted"
    assert unfinished in report(metrics) and "fitted on the validation split" not in report(metrics)
    assert unfinished not in report(sharper) and "fitted on the validation split" in report(sharper)
    error, before = (sharper["calibration"][key] for key in ("error", "error_before"))
    line = f"Expected calibration error {error:.3f}; {before:.3f} before the logits were divided by 0.250,"
    assert line in report(sharper)


def test_the_error_before_calibration_is_that_of_the_undivided_logits(database, tmp_path, monkeypatch):
    temperature = 0.05  # at which 0.9 becomes so near 1 that single precision holds nothing of the rest
    logits = np.log(0.9 * 71 / 0.1) * np.eye(72) / temperature
    found = log_softmax(logits, axis=1).astype(np.float32)
    monkeypatch.setattr(evaluation, "log_probabilities", lambda model, dataset: found[dataset.classes])
    run = with_temperature(write_run(tmp_path / "run"), temperature)
    calibration = evaluate(run, database)["calibration"]
    assert calibration["error"] == pytest.approx(0, abs=1e-6)
    assert calibration["error_before"] == pytest.approx(0.1, abs=1e-4)  # 0.9, and always right


def test_order_is_told(metrics, run, database):
    with Database(database) as opened:
        dataset = CueDataset(opened, "test")
        p = np.exp(log_probabilities(load_run(run).model, dataset))
        found = order_from_right(p, dataset.classes)
    assert metrics["order_from_right"] == pytest.approx(found._asdict())
    assert f"{100 * found.pair_accuracy:.2f} % of the pairs of scenes are in order" in report(metrics)
    assert f"tau-b is {found.kendall_tau:.4f}" in report(metrics)


def test_gradient_norms_of_the_training_are_drawn(database, tmp_path, metrics):
    assert metrics["gradient_norms"] == [] and "Gradient norms" not in report(metrics)
    run = write_run(tmp_path / "run")
    rows = ["loss,epoch,gradient_norm,share,weight", "ghm,1,0,0.25,1.5", "ghm,1,0.5,0.75,nan"]
    (run / GRADIENT_NORMS).write_text("\n".join(rows) + "\n", encoding="utf-8")
    found = evaluate(run, database, out=tmp_path / "report")
    assert found["gradient_norms"] == ["ghm"]
    assert "(gradient_norms_ghm.png)" in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    with Image.open(tmp_path / "report" / "gradient_norms_ghm.png") as image:
        image.verify()
    evaluate(write_run(tmp_path / "plain"), database, out=tmp_path / "report")
    assert not list((tmp_path / "report").glob("gradient_norms*"))


def test_numbers_never_lie_beside_figures_of_another_evaluation(run, database, tmp_path, monkeypatch):
    evaluate(run, database, out=tmp_path)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("localization.judgement.save_figure", killed)
    with pytest.raises(KeyboardInterrupt):
        evaluate(run, database, out=tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {*FIGURES}


def test_databases_of_one_name_do_not_overwrite_each_others_report(database, tmp_path, monkeypatch):
    run = write_run(tmp_path / "run")
    evaluate(run, database)
    other = cue_database.write_database(tmp_path / database.name, seed=1)
    message = rf"evaluation.noisy_hrtf_test: holds the report on {database}; give another folder \(--out\)"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        evaluate(run, database.name)
    moved = shutil.copytree(database, tmp_path / "moved" / database.name)
    assert evaluate(run, moved)["database"] == str(moved)
    shutil.rmtree(moved)
    evaluate(run, cue_database.write_database(moved, seed=2))  # built anew
    (run / "evaluation" / "noisy_hrtf_test" / "metrics.json").write_text("{}", encoding="utf-8")
    assert evaluate(run, other)["database"] == str(other)
