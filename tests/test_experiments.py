"""Experiments: from a configuration file to a report, and what is wrong with a file."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

import train_doa
from localization.checkpoints import checkpoint_bytes, read_checkpoint
from localization.experiments import read_experiment
from localization.experiments.configuration import build_arguments
from localization.experiments.tables import Result, _judged_alike, mean_and_range
from localization.runs import BEST, load_run, weights_digest
from localization.training import train

pytestmark = pytest.mark.usefixtures("one_precision")

TINY = {"clips": 8, "workers": 0, "noise_types": 2, "noise_files": 3, "bands": 8, "scenes_per_shard": 720}

CONTENT = {
    "title": "Two seeds and a baseline",
    "databases": {"quiet": {**TINY, "snr_db": [30, 40]}, "loud": {**TINY, "snr_db": [0, 5]}},
    "train": "quiet",
    "test": ["quiet", "loud"],
    "seeds": [3, 4],
    "systems": {
        "small": {"model": "simple_cnn", "epochs": 1, "mirror": 0.5},
        "matching": {"baseline": "template"},
    },
    "targets": {"quiet": {"top5": 0.0, "angular_error_deg": [0.001, 180]}},
    "known_directions": ["loud"],
}


def write(path, content) -> str:
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiments")
    words = [write(folder / "tiny.yaml", CONTENT), "--data", str(folder), "--out", str(folder / "results")]
    assert train_doa.main(["experiment", *words, "--seeds", "3"]) == 0
    partial = (folder / "results/tiny/report.md").read_text(encoding="utf-8")
    made = (".h5", ".json", ".ckpt")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.suffix in made}
    assert train_doa.main(["experiment", *words]) == 0
    return folder / "results", partial, before


@pytest.fixture
def folder(made, tmp_path):
    """The results, to be changed."""
    return shutil.copytree(made[0].parent, tmp_path / "experiments") / "results"


def test_a_report_has_every_system_on_every_database_over_all_seeds(made):
    folder, partial, _ = made
    found = json.loads((folder / "tiny/results.json").read_text(encoding="utf-8"))
    judged = [(one["system"], one["database"], list(one["metrics"])) for one in found["results"]]
    assert judged == [
        ("small", "quiet", ["3", "4"]),
        ("small", "loud", ["3", "4"]),
        ("matching", "quiet", ["3"]),
        ("matching", "loud", ["3"]),
    ]
    for one in found["results"]:
        digests = {metrics["data"]["digest"] for metrics in one["metrics"].values()}
        weights = {metrics["data"]["weights"] for metrics in one["metrics"].values()}
        assert len(digests) == 1 and len(weights) == len(one["metrics"])
    report = (folder / "tiny/report.md").read_text(encoding="utf-8")
    small = found["results"][0]["metrics"]
    top1 = [metrics["measures"]["top1"]["value"] for metrics in small.values()]
    for seed, metrics in small.items():
        assert (
            f"| small | {seed} | {metrics['data']['trained_on']} | {metrics['data']['weights']} |" in report
        )
    assert f"| small | {mean_and_range(top1)} |" in report
    assert f"| small | {mean_and_range(top1[:1])} |" in partial  # of the seed that there was
    assert "in brackets the lowest and the highest" in report
    assert "in brackets" not in partial
    assert f"--out {folder} --systems small matching --seeds 3\n" in partial
    for words in ("small --seeds 3 4", "matching --seeds 3"):
        assert f"--out {folder} --systems {words}\n" in report
    assert (
        "- top-5 (%) at least 0: small; matching\n- mean error (°) at most 0.001: reached by none\n"
        "- mean error (°) at most 180: small; matching\n" in report
    )
    for one in found["results"]:
        known = list(range(72)) if one["database"] == "loud" else None
        assert all(metrics["known_classes"] == known for metrics in one["metrics"].values())
    assert (folder / "tiny/accuracy_over_snr.png").stat().st_size > 10_000
    assert "On quiet, loud." in report and "accuracy_over_snr_2" not in report
    for digest in digests:
        assert digest in report
    networks, baseline = (line for line in report.splitlines() if line.startswith("Trained with "))
    assert networks.endswith(": small (seed 3), small (seed 4).") and ", precision " in networks
    assert baseline.endswith(": matching (seed 3).") and "precision" not in baseline
    assert all(f"torch {torch.__version__}, lightning " in line for line in (networks, baseline))


def test_systems_that_are_judged_by_other_databases_have_a_figure_of_their_own():
    pairs = [("a", "quiet"), ("b", "quiet"), ("a", "loud"), ("c", "loud"), ("b", "loud")]
    results = [Result(system, database, {}) for system, database in pairs]
    found = {names: [one.system for one in of] for names, of in _judged_alike(results).items()}
    assert found == {("quiet", "loud"): ["a", "b", "a", "b"], ("loud",): ["c"]}


def test_what_is_there_is_not_made_again(made):
    _, _, before = made
    kept = [path for path in before if path.name != "results.json"]
    assert len(kept) > 5
    assert all(path.stat().st_mtime_ns == before[path] for path in kept)


def test_other_directions_and_other_measures_are_judged_again(folder):
    path = folder.parent / "tiny.yaml"
    words = ["experiment", str(path), "--data", str(folder.parent), "--out", str(folder)]
    report = folder / "tiny/evaluations/matching_seed3/loud/metrics.json"
    before = json.loads(report.read_text(encoding="utf-8"))
    lacking = {name: found for name, found in before["measures"].items() if name != "rms_error_deg"}
    for stale in (json.dumps(before | {"measures": lacking}), report.read_text(encoding="utf-8")[:99], "[1]"):
        report.write_text(stale, encoding="utf-8")
        assert train_doa.main([*words, "--systems", "matching"]) == 0
        assert json.loads(report.read_text(encoding="utf-8"))["measures"] == before["measures"]
    write(path, {name: value for name, value in CONTENT.items() if name != "known_directions"})
    assert train_doa.main([*words, "--systems", "matching"]) == 0
    assert json.loads(report.read_text(encoding="utf-8"))["known_classes"] is None


def test_what_was_judged_by_another_database_is_left_out_of_the_report(folder, capsys):
    write(folder.parent / "tiny.yaml", CONTENT)
    words = [str(folder.parent / "tiny.yaml"), "--data", str(folder.parent), "--out", str(folder)]
    for name in CONTENT["test"]:
        stale = folder / f"tiny/evaluations/matching_seed3/{name}/metrics.json"
        metrics = json.loads(stale.read_text(encoding="utf-8"))
        metrics["data"]["digest"] = "of a database that was there before"
        stale.write_text(json.dumps(metrics), encoding="utf-8")

    def rows(*options: str) -> set[tuple[str, str]]:
        assert train_doa.main(["experiment", *words, *options]) == 0
        found = json.loads((folder / "tiny/results.json").read_text(encoding="utf-8"))["results"]
        return {(one["system"], one["database"]) for one in found}

    all_rows = {(system, database) for system in CONTENT["systems"] for database in CONTENT["test"]}
    assert rows("--systems", "small", "--seeds", "3") == all_rows - {
        ("matching", name) for name in CONTENT["test"]
    }
    assert "matching on quiet: left out" in capsys.readouterr().out
    assert rows("--systems", "matching") == all_rows


def test_what_was_trained_otherwise_is_left_out_of_the_report(folder, capsys):
    systems = {**CONTENT["systems"], "small": {"model": "simple_cnn", "epochs": 1, "mirror": 0.25}}
    path = write(folder.parent / "tiny.yaml", {**CONTENT, "systems": systems})
    words = ["experiment", path, "--data", str(folder.parent), "--out", str(folder)]
    assert train_doa.main([*words, "--systems", "matching"]) == 0
    assert "small on quiet: left out" in capsys.readouterr().out
    assert "small" not in (folder / "tiny/report.md").read_text(encoding="utf-8")


def test_what_is_trained_is_left_alone_where_auto_means_another_precision(folder, monkeypatch, capsys):
    path = write(folder.parent / "tiny.yaml", CONTENT)

    def on_another_machine(database, out, config, *arguments, **options):
        return train(database, out, replace(config, precision="bf16-mixed"), *arguments, **options)

    monkeypatch.setattr("localization.experiments.running.train", on_another_machine)
    words = ["experiment", path, "--data", str(folder.parent), "--out", str(folder)]
    assert train_doa.main([*words, "--systems", "small"]) == 0
    assert "left out" not in capsys.readouterr().out


@pytest.mark.parametrize("started", ["small", "other"])
def test_a_system_goes_on_from_another_of_its_seed(folder, capsys, started):
    systems = {
        "small": CONTENT["systems"]["small"],
        "other": {"model": "simple_cnn", "epochs": 1, "mask_bands": 0.2},
        "further": {"start": started, "epochs": 1, "train": "loud", "seeds": [4]},
    }
    path = write(folder.parent / "tiny.yaml", {**CONTENT, "systems": systems})
    words = ["experiment", path, "--data", str(folder.parent), "--out", str(folder)]
    assert train_doa.main([*words, "--systems", "further"]) == 0
    start, further = (load_run(folder / f"tiny/runs/{name}_seed4") for name in (started, "further"))
    assert further.config["start"]["weights"] == weights_digest(start.model)
    assert not (folder / "tiny/runs/other_seed3").exists()
    report = (folder / "tiny/report.md").read_text(encoding="utf-8")
    digest = further.config["database"]["digest"]
    row = f"| further | 4 | {digest}, from {weights_digest(start.model)} | {weights_digest(further.model)} |"
    assert row in report
    of_its_own = (folder / "tiny/evaluations/further_seed4/quiet/report.md").read_text(encoding="utf-8")
    assert f"training went on from a trained model, weights {weights_digest(start.model)}" in of_its_own


def test_a_system_counts_as_long_as_what_it_went_on_from_is_not_another(folder, capsys):
    systems = {"small": CONTENT["systems"]["small"], "further": {"start": "small", "epochs": 1, "seeds": [4]}}
    path = write(folder.parent / "tiny.yaml", {**CONTENT, "systems": systems})
    words = ["experiment", path, "--data", str(folder.parent), "--out", str(folder)]
    assert train_doa.main([*words, "--systems", "further"]) == 0
    start = folder / "tiny/runs/small_seed4"
    kept = shutil.move(start, folder / "kept")
    assert train_doa.main([*words, "--systems", "further"]) == 0
    assert "further on" not in capsys.readouterr().out
    assert not start.exists()
    shutil.move(kept, start)
    checkpoint = read_checkpoint(start / BEST)
    checkpoint["state_dict"]["model.out.bias"] += 1
    (start / BEST).write_bytes(checkpoint_bytes(checkpoint))
    assert train_doa.main([*words, "--systems", "small", "--seeds", "3"]) == 0
    assert "further on quiet: left out" in capsys.readouterr().out


def test_a_start_whose_database_is_not_whole_is_no_end(folder):
    further = {"start": "small", "epochs": 1, "train": "loud", "test": ["loud"], "seeds": [4]}
    systems = {"small": CONTENT["systems"]["small"], "further": further}
    path = write(folder.parent / "tiny.yaml", {**CONTENT, "systems": systems})
    words = ["experiment", path, "--data", str(folder.parent), "--out", str(folder), "--systems", "further"]
    assert train_doa.main(words) == 0
    best = folder / "tiny/runs/further_seed4" / BEST
    before = best.read_bytes()
    plan = folder / "databases/quiet/plan.json"
    plan.write_bytes(plan.read_bytes()[:-9])
    assert train_doa.main(words) == 0
    assert best.read_bytes() == before


def test_a_system_with_a_start_is_another_than_one_without(folder, capsys):
    systems = {"small": CONTENT["systems"]["small"], "further": {"start": "small", "epochs": 1, "seeds": [4]}}
    path = write(folder.parent / "tiny.yaml", {**CONTENT, "systems": systems})
    words = ["experiment", path, "--data", str(folder.parent), "--out", str(folder)]
    assert train_doa.main([*words, "--systems", "further"]) == 0
    systems["further"] = {"model": "simple_cnn", "epochs": 1, "seeds": [4]}
    write(folder.parent / "tiny.yaml", {**CONTENT, "systems": systems})
    assert train_doa.main([*words, "--systems", "small", "--seeds", "3"]) == 0
    assert "further on quiet: left out" in capsys.readouterr().out


def test_reports_from_before_models_could_be_trained_further_stand(folder):
    path = write(folder.parent / "tiny.yaml", CONTENT)
    report = folder / "tiny/evaluations/small_seed3/quiet/metrics.json"
    metrics = json.loads(report.read_text(encoding="utf-8"))
    del metrics["data"]["started_from"]
    report.write_text(json.dumps(metrics), encoding="utf-8")
    before = report.stat().st_mtime_ns
    words = ["experiment", path, "--data", str(folder.parent), "--out", str(folder)]
    assert train_doa.main([*words, "--systems", "small"]) == 0
    assert report.stat().st_mtime_ns == before
    assert f"| small | 3 | {metrics['data']['trained_on']} |" in (folder / "tiny/report.md").read_text(
        "utf-8"
    )


def test_what_a_start_needs_is_missed_before_anything_is_built(folder, capsys):
    databases = {**CONTENT["databases"], "other": {**TINY, "speech": "nowhere"}}
    systems = {
        "other": {"model": "simple_cnn", "epochs": 1, "train": "other", "test": ["quiet"], "seeds": [4]},
        "further": {"start": "other", "epochs": 1, "seeds": [4]},
    }
    path = write(folder.parent / "tiny.yaml", {**CONTENT, "databases": databases, "systems": systems})
    shutil.rmtree(folder / "databases")
    words = ["experiment", path, "--data", str(folder.parent), "--out", str(folder)]
    assert train_doa.main([*words, "--systems", "further"]) == 2
    assert "nowhere: no such file or folder; the database other needs it" in capsys.readouterr().err
    assert not (folder / "databases").exists()


def test_a_run_that_is_not_finished_is_trained_on(folder):
    path = write(folder.parent / "tiny.yaml", CONTENT)
    best = folder / "tiny/runs/small_seed3" / BEST
    finished = best.read_bytes()
    checkpoint = read_checkpoint(best)
    checkpoint["state_dict"]["model.temperature"] = torch.tensor(1.0)  # as where a kill came right before
    best.write_bytes(checkpoint_bytes(checkpoint))
    words = ["experiment", path, "--data", str(folder.parent), "--out", str(folder)]
    assert train_doa.main([*words, "--systems", "small"]) == 0
    assert best.read_bytes() == finished


def test_a_damaged_run_ends_the_experiment_where_its_system_is_chosen_alone(folder, capsys):
    path = write(folder.parent / "tiny.yaml", CONTENT)
    best = folder / "tiny/runs/small_seed3" / BEST
    sound = best.read_bytes()
    words = ["experiment", path, "--data", str(folder.parent), "--out", str(folder)]
    best.write_bytes(sound[:-1])
    assert train_doa.main([*words, "--systems", "matching"]) == 0
    assert "small on quiet: left out" in capsys.readouterr().out
    assert train_doa.main([*words, "--systems", "small"]) == 1
    warning, error = capsys.readouterr().err.splitlines()
    assert warning.startswith(f"warning: {best}: damaged") and error.startswith(f"error: {best}: damaged")
    best.write_bytes(sound)


def test_a_database_that_is_not_whole_leaves_the_report_on_the_others(folder, capsys):
    content = CONTENT | {"systems": {"matching": CONTENT["systems"]["matching"]}, "test": ["quiet"]}
    content["systems"] |= {"loudly": {"baseline": "template", "train": "loud"}}
    words = ["experiment", write(folder.parent / "tiny.yaml", content)]
    words += ["--data", str(folder.parent), "--out", str(folder)]
    assert train_doa.main([*words, "--systems", "loudly"]) == 0
    plan = folder / "databases/loud/plan.json"
    plan.write_bytes(plan.read_bytes()[:-9])
    assert train_doa.main([*words, "--systems", "matching"]) == 0
    assert "loudly on quiet: left out" in capsys.readouterr().out
    report = (folder / "tiny/report.md").read_text(encoding="utf-8")
    assert "| matching |" in report and "loudly" not in report
    assert train_doa.main([*words, "--systems", "loudly"]) == 0  # builds again what is not sound
    assert "| loudly |" in (folder / "tiny/report.md").read_text(encoding="utf-8")


def test_a_baseline_is_judged_whatever_the_seeds(folder, capsys):
    path = write(folder.parent / "tiny.yaml", CONTENT)
    words = ["experiment", path, "--data", str(folder.parent), "--out", str(folder)]
    assert train_doa.main([*words, "--systems", "matching", "--seeds", "4"]) == 0
    assert "matching, seed 3" in capsys.readouterr().out


def test_a_system_without_the_seed_is_passed_over(folder, capsys):
    systems = {**CONTENT["systems"], "once": {"model": "simple_cnn", "epochs": 1, "seeds": [3]}}
    path = write(folder.parent / "tiny.yaml", {**CONTENT, "systems": systems})
    words = ["experiment", path, "--data", str(folder.parent), "--out", str(folder)]
    assert train_doa.main([*words, "--seeds", "4"]) == 0
    assert "once: passed over, since it has none of the seeds 4" in capsys.readouterr().out
    assert not (folder / "tiny/runs/once_seed4").exists()


def test_options_become_the_words_of_a_command_line(tmp_path):
    options = {"noise": "ESC-50", "only": ["test"], "keep_audio": True, "interpolate": False, "clips": 3}
    assert build_arguments(tmp_path, options, tmp_path / "data") == [
        *("build", str(tmp_path), "--noise", str(tmp_path / "data" / "ESC-50")),
        *("--only", "test", "--keep-audio", "--clips", "3"),
    ]


def test_noise_that_lies_in_no_folder_keeps_its_name(tmp_path):
    words = build_arguments(tmp_path, {"speech": "a", "noise": "speech-shaped"}, tmp_path)
    assert words == ["build", str(tmp_path), "--speech", str(tmp_path / "a"), "--noise", "speech-shaped"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"systems": {"a": {"model": "oracle"}}},
            "systems: a: model: oracle unknown, expected cnn, simple_cnn",
        ),
        ({"systems": {"a/b": {"model": "cnn"}}}, "systems: a/b: a name without slashes and | expected"),
        ({"systems": {"a|b": {"model": "cnn"}}}, "systems: a|b: a name without slashes and | expected"),
        ({"systems": {"": {"model": "cnn"}}}, "systems: : a name without slashes and | expected"),
        (
            {"systems": {"a": {"model": "cnn", "learning_rate": "3e-3"}}},
            "systems: a: learning_rate must be a number such as 0.003 or 3.0e-3, found '3e-3'",
        ),
        ({"systems": {"a": {}}}, "systems: a: expected either a model, a start or a baseline"),
        (
            {"systems": {"a": {"model": "cnn"}, "b": {"start": "a", "model": "cnn"}}},
            "systems: b: expected either a model, a start or a baseline",
        ),
        (
            {"systems": {"a": {"baseline": "template"}, "b": {"start": "a"}, "c": {"model": "cnn"}}},
            "systems: b: start: expected a network above it, found none there",
        ),
        (
            {"systems": {"a": {"model": "cnn"}, "b": {"start": "b"}}},
            "systems: b: start: b unknown, expected a",
        ),
        (
            {"systems": {"a": {"model": "cnn", "seeds": [1]}, "b": {"start": "a"}}},
            "systems: b: seeds: 3, 4 unknown, expected 1",
        ),
        ({"systems": {"a": {"model": "cnn", "epoch": 3}}}, "systems: a: epoch unknown, expected model, star"),
        (
            {"systems": {"a": {"model": "cnn", "mirror": 2}}},
            "systems: a: mirror must be a probability, found 2",
        ),
        (
            {"systems": {"a": {"baseline": "template", "epochs": 3}}},
            "a baseline has no options, found epochs",
        ),
        ({"train": "other"}, "systems: small: other unknown, expected quiet, loud"),
        ({"targets": {"quiet": {"top2": 1}}}, "targets of quiet: top2 unknown, expected top1"),
        ({"known_directions": ["a"]}, "known_directions: a unknown, expected quiet, loud"),
        ({"known_directions": True}, "known_directions: a list of names expected, found True"),
        ({"databases": 3}, "databases: a mapping expected, found 3"),
        ({"databases": {"quiet": {"clipz": 3}}}, "databases: quiet: clipz unknown, expected speech, noise"),
        ({"databases": {"quiet": {"clip": 3}}}, "databases: quiet: clip unknown, expected speech"),
        ({"databases": {"quiet": {"help": True}}}, "databases: quiet: help unknown, expected speech"),
        ({"databases": {"quiet": {1: 2}}}, "databases: quiet: 1 unknown, expected speech"),
        (
            {"databases": {"quiet": {"on_error": "skip"}}},
            "databases: quiet: on_error unknown, expected speech",
        ),
        (
            {"databases": {"quiet": {"noise": False}}},
            "databases: quiet: noise: False found, a text or a number expected; words such as no and off",
        ),
        (
            {"databases": {"quiet": {"clips": True}}},
            "databases: quiet: clips: True found, a text or a number",
        ),
        ({"databases": {"quiet": {"clips": "many"}}}, 'databases: quiet: Parser key "clips"'),
        ({"databases": {"quiet": {"clips": 0}}}, "databases: quiet: n_clips is 0: expected a whole number"),
        ({"databases": {"quiet": {"splits": [1, 2, 3]}}}, "databases: quiet: splits are [1.0, 2.0, 3.0]"),
        (
            {"databases": {"quiet": {**TINY, "only": ["train"]}, "loud": TINY}},
            "systems: small: quiet has no split validation, which is needed",
        ),
        (
            {"databases": {"quiet": TINY, "loud": {**TINY, "splits": [80, 20, 0]}}},
            "systems: small: loud has no split test, which is needed",
        ),
        (
            {"databases": {"quiet": TINY, "loud": {**TINY, "bands": 16}}},
            "systems: small: loud has other cues than quiet: cfs: found 16 bands from 80 to",
        ),
        (
            {
                "databases": {"quiet": TINY, "loud": {**TINY, "fs": 8000}},
                "test": ["loud"],
                "systems": {
                    "a": {"model": "cnn", "test": ["quiet"]},
                    "b": {"start": "a", "train": "loud"},
                },
            },
            "systems: b: quiet has other cues than loud: fs: found 16000.0, expected 8000.0",
        ),
        (
            {"systems": {"a": {"baseline": "gcc_phat"}}},
            "systems: a: quiet has no audio, expected keep_audio: true",
        ),
        ({"databases": {"quiet": None}}, "databases: quiet: a mapping expected, found None"),
        ({"databases": {"../quiet": {}}}, "databases: ../quiet: a name without slashes and | expected"),
        ({"systems": {"..": {"model": "cnn"}}}, "systems: ..: a name without slashes and | expected"),
        ({"seeds": 0}, "systems: small: seeds: a list of whole numbers expected, found 0"),
        ({"seeds": ["a"]}, "systems: small: seeds: a list of whole numbers expected, found ['a']"),
        ({"seeds": [-1]}, "systems: small: seed must be a whole number of at least 0, found -1"),
        ({"seeds": []}, "systems: small: seeds: one or more expected, found none"),
        ({"test": "loud"}, "systems: small: test: a list of names expected, found 'loud'"),
        (
            {"targets": {"quiet": {"top1": "high"}}},
            "targets of quiet: top1: a list of numbers expected, found ['high']",
        ),
        (
            {"targets": {"quiet": {"top1": [0.9, [1, 2]]}}},
            "targets of quiet: top1: a list of numbers expected, found [0.9, [1, 2]]",
        ),
        ({"test": ["quiet", "quiet"]}, "systems: small: test: each once expected, found ['quiet', 'quiet']"),
        ({"title": ""}, "the file: title missing or empty, found title, databases, "),
        ({"test": []}, "systems: small: test missing or empty"),
    ],
)
def test_a_wrong_entry_is_named(change, message, tmp_path, capsys):
    path = write(tmp_path / "wrong.yaml", CONTENT | change)
    assert train_doa.main(["experiment", path, "--data", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path}: ") and message in error and error.count("\n") == 1


def test_missing_recordings_and_heads_are_named_before_anything_is_built(tmp_path, capsys):
    for option in ({"speech": "nowhere"}, {"head": ["a.sofa", "nowhere"]}):
        (tmp_path / "a.sofa").touch()
        content = CONTENT | {"databases": CONTENT["databases"] | {"loud": {**TINY, **option}}}
        words = ["experiment", write(tmp_path / "tiny.yaml", content), "--data", str(tmp_path)]
        assert train_doa.main([*words, "--out", str(tmp_path / "out")]) == 2
        expected = f"error: {tmp_path / 'nowhere'}: no such file or folder; the database loud needs it\n"
        assert capsys.readouterr().err == expected
        assert not (tmp_path / "out").exists()


def test_what_a_system_without_the_seed_needs_may_be_missing(folder):
    more = {"there": {**TINY, "speech": "nowhere"}}
    systems = {**CONTENT["systems"], "once": {"model": "cnn", "seeds": [3], "train": "there"}}
    content = CONTENT | {"databases": CONTENT["databases"] | more, "systems": systems}
    path = write(folder.parent / "tiny.yaml", content)
    words = ["experiment", path, "--data", str(folder.parent), "--out", str(folder)]
    words += ["--systems", "small", "once"]
    assert train_doa.main([*words, "--seeds", "4"]) == 0
    assert train_doa.main(words) == 2


def test_databases_may_stand_in_a_file_that_experiments_share(tmp_path, capsys):
    path = write(tmp_path / "tiny.yaml", CONTENT | {"databases": "databases/shared.yaml"})
    words = ["experiment", path, "--data", str(tmp_path)]
    assert train_doa.main(words) == 2
    assert f"{tmp_path / 'databases/shared.yaml'}" in capsys.readouterr().err
    (tmp_path / "databases").mkdir()
    shared = write(tmp_path / "databases/shared.yaml", CONTENT["databases"])
    alone = write(tmp_path / "alone.yaml", CONTENT)
    assert read_experiment(path).databases == read_experiment(alone).databases
    write(tmp_path / "databases/shared.yaml", {"quiet": {"clipz": 3}})
    assert train_doa.main(words) == 2
    assert capsys.readouterr().err.startswith(f"error: {shared}: databases: quiet: clipz unknown")


def test_what_is_no_yaml_and_unknown_choices_are_refused(tmp_path, capsys, monkeypatch):
    path = tmp_path / "wrong.yaml"
    for text in ("a: [", "title: 2024-13-45", "!!timestamp x", "!!bool x", '!!int ""', 3000 * "["):
        path.write_text(text, encoding="utf-8")
        assert train_doa.main(["experiment", str(path), "--data", str(tmp_path)]) == 2
        assert f"{path}: no YAML" in capsys.readouterr().err
    for text in ("title: A\ntitle: B\n", "a: &a {x: 1}\nb: {<<: *a, x: 2}\nsystems: {a: {}, b: {}, a: {}}\n"):
        path.write_text(text, encoding="utf-8")
        assert train_doa.main(["experiment", str(path), "--data", str(tmp_path)]) == 2
        twice = "a" if "systems" in text else "title"
        assert f"{path}: no YAML: {twice}: found twice, expected once, in " in capsys.readouterr().err
    write(path, CONTENT)
    words = ["experiment", str(path), "--out", str(tmp_path / "out")]
    assert train_doa.main([*words, "--data", str(tmp_path), "--systems", "big"]) == 2
    assert "systems: big unknown, expected small, matching" in capsys.readouterr().err
    assert train_doa.main([*words, "--data", str(tmp_path), "--seeds", "5"]) == 2
    assert "seeds: 5 unknown, expected 3, 4" in capsys.readouterr().err
    monkeypatch.delenv("DOA_SHARED", raising=False)
    assert train_doa.main(words) == 2
    assert "--data: expected the folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_every_experiment_in_the_project_can_be_read():
    files = sorted((Path(__file__).parents[1] / "experiments").glob("*.yaml"))
    for file in files:
        experiment = read_experiment(file)
        assert experiment.systems and experiment.databases
    assert files
