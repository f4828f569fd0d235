"""The command line: what it runs, prints and answers."""

import errno
import inspect
import json
import re
import shlex
import shutil
import signal
import warnings
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cue_database import FORMAT, write_database

import train_doa
from database import build
from database.exit_status import DamageError
from localization import Localizer, evaluation, plots, training
from localization.runs import BEST, load_run

pytestmark = pytest.mark.usefixtures("one_precision")


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    return write_database(tmp_path_factory.mktemp("database"))


@pytest.fixture(scope="module")
def run(database, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    arguments = ["--epochs", "1", "--batch-size", "24", "--accelerator", "cpu", "--workers", "0"]
    assert train_doa.main(["train", str(database), "--out", str(out), *arguments]) == 0
    return out


def one_line(capsys) -> str:
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    return error


def test_train_passes_everything_on(run, database):
    config = load_run(run).config
    assert config["training"]["epochs"] == 1 and config["training"]["batch_size"] == 24
    assert config["database"]["folder"] == str(database.resolve())
    assert config["cue_format"] == FORMAT.to_dict()


def test_every_option_of_training_arrives(monkeypatch):
    given = []
    monkeypatch.setattr(training, "train", lambda *arguments, **options: given.append((arguments, options)))
    decides = {
        **{"epochs": 3, "batch_size": 5, "learning_rate": 0.01, "weight_decay": 0.5, "loss": "circular"},
        **{"imbalance": 2.0, "mirror": 0.5, "head_warp": 0.1, "spectral_jitter": 2.0, "mixup": 0.3},
        **{"mask_bands": 0.2, "mask_frames": 0.4, "precision": "bf16-mixed", "seed": 7},
    }
    where = {"accelerator": "cpu", "devices": 2, "num_nodes": 3, "strategy": "ddp"}
    options = {"model": "resnet", "workers": 0, **decides, **where}
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    assert train_doa.main(["train", "database", "--out", "run", "--resume", *words]) == 0
    assert set(decides) == {field.name for field in fields(training.TrainingConfig)}
    assert given == [
        (
            (Path("database"), Path("run"), training.TrainingConfig(**decides), "resnet"),
            {"resume": True, "n_workers": 0, **where},
        )
    ]


def test_the_demo_ends_with_its_result_and_goes_on_where_it_was_stopped(monkeypatch, tmp_path, capsys):
    built = []

    def small(folder, recipe):
        if not built:
            write_database(folder, 144)
        built.append(recipe.n_clips)

    monkeypatch.setattr(build, "build", small)
    monkeypatch.setattr(train_doa, "DEMO_EPOCHS", 1)
    for _ in range(2):
        assert train_doa.main(["demo", "--out", str(tmp_path)]) == 0
        said = capsys.readouterr().out
        assert re.search(r"top-1 \d+\.\d% of 144 scenes, 3 talkers\nreport: .*report\.md, after", said)
        assert (tmp_path / "report" / "report.md").is_file()
    assert built == [train_doa.DEMO_CLIPS] * 2


def test_the_command_line_has_the_defaults_of_the_configuration():
    parameters = inspect.signature(train_doa.train).parameters
    for field in fields(training.TrainingConfig):
        assert parameters[field.name].default == field.default, field.name


def test_loss_model_and_augmentation_are_chosen_on_the_command_line(database, tmp_path):
    out = tmp_path / "run"
    switches = (
        "--model simple_cnn --loss.circular 1 --loss.ranking 0.3 --mirror 0.5 --mask-bands 0.2 --imbalance 3"
    )
    short = ["--epochs", "1", "--batch-size", "24", "--accelerator", "cpu", "--workers", "0"]
    assert train_doa.main(["train", str(database), "--out", str(out), *short, *switches.split()]) == 0
    config = load_run(out).config
    assert config["model"]["name"] == "simple_cnn"
    assert config["training"]["loss"] == {"circular": 1, "ranking": 0.3}
    expected = {"mirror": 0.5, "mask_bands": 0.2, "mask_frames": 0, "mixup": 0, "imbalance": 3}
    assert expected.items() <= config["training"].items()


def test_a_file_holds_options_of_losses(monkeypatch, tmp_path):
    given = []
    monkeypatch.setattr(training, "train", lambda *args, **_: given.append(args[2]))
    path = tmp_path / "options.yaml"
    path.write_text(
        "loss: {ghm: {bins: 20}, ranking: {weight: 0.3, margin: 0.2}}\nmirror: 0.2\n", encoding="utf-8"
    )
    assert train_doa.main(["train", "database", "--out", "run", "--config", str(path)]) == 0
    assert train_doa.main(["train", "database", "--out", "run", "--loss", "ghm"]) == 0
    assert given[0].loss == {"ghm": {"bins": 20}, "ranking": {"weight": 0.3, "margin": 0.2}}
    assert (given[0].mirror, given[1].loss) == (0.2, "ghm")


@pytest.mark.parametrize("option", ["workers", "devices", "model", "loss"])
def test_an_option_left_empty_in_a_file_is_named(tmp_path, capsys, option):
    path = tmp_path / "options.yaml"
    path.write_text(f"epochs: 3\n{option}:\n", encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        train_doa.main(["train", "database", "--out", "run", "--config", str(path)])
    assert ended.value.code == 2 and option in one_line(capsys)


@pytest.mark.parametrize(("option", "value"), [("systems", "cnn"), ("systems", {"cnn": 1}), ("seeds", 0)])
def test_what_is_no_list_in_a_file_is_named(tmp_path, capsys, option, value):
    path = tmp_path / "options.yaml"
    path.write_text(json.dumps({option: value}), encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        train_doa.main(["experiment", "experiments/losses.yaml", "--config", str(path)])
    assert ended.value.code == 2
    assert f'Parser key "{option}": expected a list, found {value!r}' in one_line(capsys)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--loss", "hinge"], "unknown loss 'hinge'"),
        (["--loss", "{ghm: {margin: 1}}"], "loss 'ghm' has no option 'margin'"),
        (["--mirror", "2"], "mirror must be a probability"),
        (["--mixup", "0.2", "--loss", "ghm"], "mixup and ghm given, expected one of them"),
        (["--devices", "two"], "cannot train on"),
        (["--imbalance", "0.5"], "imbalance must be at least 1"),
        (["--model", "rnn"], "model: found rnn, expected a network, one of cnn,"),
    ],
)
def test_what_cannot_be_trained_is_one_line_and_status_2(database, tmp_path, capsys, option, message):
    assert train_doa.main(["train", str(database), "--out", str(tmp_path / "run"), *option]) == 2
    assert message in one_line(capsys)


def test_evaluate_says_how_good_the_model_is_and_where_the_report_lies(run, database, tmp_path, capsys):
    out = tmp_path / "report"
    assert train_doa.main(["evaluate", str(run), "--database", str(database), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "top1: " in printed and str(out / "report.md") in printed
    assert (out / "report.md").is_file() and (out / "metrics.json").is_file()


def test_an_exported_model_is_judged_as_its_run(run, database, tmp_path, capsys):
    model, arguments = str(tmp_path / "model.safetensors"), ["--database", str(database)]
    assert train_doa.main(["export", str(run), model]) == 0
    assert train_doa.main(["evaluate", model, *arguments]) == 2
    assert f"out: expected a folder for the report, since {model} is no run's folder" in one_line(capsys)
    found = []
    for source in (str(run), model):
        assert train_doa.main(["evaluate", source, *arguments, "--out", str(tmp_path / "report")]) == 0
        found.append(json.loads((tmp_path / "report" / "metrics.json").read_text(encoding="utf-8")))
    assert found[0]["measures"] == found[1]["measures"]
    assert found[0]["data"]["weights"] == found[1]["data"]["weights"]
    assert train_doa.main(shlex.split(found[1]["command"])[2:]) == 0


def test_locate_prints_an_azimuth(run, recording, capsys):
    assert train_doa.main(["locate", str(recording), "--run", str(run)]) == 0
    assert capsys.readouterr().out.startswith("azimuth ")


def test_locate_prints_json(run, recording, capsys):
    assert train_doa.main(["locate", str(recording), "--run", str(run), "--json"]) == 0
    located = json.loads(capsys.readouterr().out)
    assert located["azimuth"] % 5 == 0 and len(located["probabilities"]) == 72
    assert train_doa.main(["locate", str(recording), "--run", str(run), "--json", "--hop", "0.1"]) == 0
    located = json.loads(capsys.readouterr().out)
    assert located["hop"] == 0.1 and np.shape(located["probabilities"]) == (13, 72)


def test_a_picture_that_cannot_be_written_is_refused_at_once(capsys, tmp_path):
    arguments = ["locate", str(tmp_path / "none.wav"), "--run", "none", "--picture", "azimuth.xyz"]
    assert train_doa.main(arguments) == 2
    printed = capsys.readouterr()
    assert "azimuth.xyz: expected the suffix of a picture" in printed.err and not printed.out


@pytest.mark.parametrize(
    ("hop", "edges"), [("0.5", [0.0, 0.5, 1.0, 1.25]), ("0.625", [0.0, 0.625, 1.25]), ("60", [0.0, 1.25])]
)
def test_a_picture_lasts_as_long_as_its_recording(run, recording, tmp_path, monkeypatch, hop, edges):
    drawn = []
    monkeypatch.setattr(plots, "save_figure", lambda ax, path: drawn.append(ax))
    options = ["--run", str(run), "--picture", str(tmp_path / "azimuth.png"), "--hop", hop]
    assert train_doa.main(["locate", str(recording), *options]) == 0
    (mesh,) = (part for part in drawn[0].collections if hasattr(part, "get_coordinates"))
    assert mesh.get_coordinates()[0, :, 0].tolist() == edges


def test_locate_draws_a_picture(run, recording, tmp_path, capsys):
    picture = tmp_path / "azimuth.png"
    assert train_doa.main(["locate", str(recording), "--run", str(run), "--picture", str(picture)]) == 0
    assert picture.stat().st_size > 1000 and f"picture: {picture}" in capsys.readouterr().out
    options = ["--run", str(run), "--picture", str(picture), "--json"]
    assert train_doa.main(["locate", str(recording), *options]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["hop"] is None and f"picture: {picture}" in printed.err


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("CUDA out of memory. Tried to allocate 2.00 GiB", 4),
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096000 bytes", 4),
        ("mat1 and mat2 shapes cannot be multiplied", None),
    ],
)
def test_want_of_memory_is_the_machines_fault(monkeypatch, capsys, said, status):
    def fail(*_, **__):
        raise RuntimeError(said)

    monkeypatch.setattr(training, "train", fail)
    arguments = ["train", "database", "--out", "run"]
    if status is None:
        with pytest.raises(RuntimeError, match=said):
            train_doa.main(arguments)
    else:
        assert train_doa.main(arguments) == status
        assert one_line(capsys).startswith("error: not enough memory: ")


def test_bad_input_is_one_line_and_status_2(run, recording, tmp_path, capsys):
    empty = tmp_path / "empty.wav"
    empty.write_bytes(b"")
    cut = tmp_path / "cut.wav"
    cut.write_bytes(recording.read_bytes()[:-1000])
    mono = tmp_path / "mono.wav"
    soundfile.write(mono, np.zeros(1000), 16000)
    for arguments, message in (
        (["train", str(tmp_path / "nowhere"), "--out", str(tmp_path / "run")], "nowhere"),
        (["evaluate", str(tmp_path / "nowhere"), "--database", str(tmp_path)], "no run is there"),
        (["locate", str(tmp_path / "no.wav"), "--run", str(run)], "No such file or directory"),
        (["locate", str(empty), "--run", str(run)], "empty.wav is empty"),
        (["locate", str(cut), "--run", str(run)], "cut.wav is truncated"),
        (["locate", str(mono), "--run", str(run)], "mono.wav: signal has one channel"),
        (["locate", str(recording), "--run", str(run), "--hop", "0"], "hop must be"),
    ):
        assert train_doa.main(arguments) == 2
        assert message in one_line(capsys)


@pytest.mark.parametrize(
    ("words", "helper"),
    [
        ("", ""),
        ("dance", ""),
        ("train", " train"),
        ("train x --out y --epochs many", " train"),
        ("demo --fast", " demo"),
    ],
)
def test_arguments_that_are_not_understood_are_status_2(words, helper, capsys):
    with pytest.raises(SystemExit) as stop:
        train_doa.main(words.split())
    assert stop.value.code == 2
    assert re.search(rf"; see [\w.]+{helper} --help\n$", one_line(capsys))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 4),
        (PermissionError(errno.EACCES, "Permission denied"), 4),
        (MemoryError("2 TB"), 4),
        (ChildProcessError("a process died"), 4),
        (FileNotFoundError(errno.ENOENT, "No such file"), 2),
        (ValueError("Caught ValueError in a worker.\nTraceback:\nValueError: no such split"), 2),
        (DamageError("best.ckpt: damaged"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_each_failure_has_its_status(monkeypatch, capsys, error, status):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(training, "train", fail)
    assert train_doa.main(["train", "database", "--out", "run"]) == status
    one_line(capsys)


@pytest.mark.parametrize(
    ("number", "status", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_signals_end_every_command_with_advice(monkeypatch, capsys, number, status, word):
    def signalled(*_, **__):
        signal.raise_signal(number)

    for module, name in ((training, "train"), (evaluation, "evaluate"), (build, "build")):
        monkeypatch.setattr(module, name, signalled)
    monkeypatch.setattr(Localizer, "load", signalled)
    for command, advice in (
        ("train data --out run", "; with --resume it goes on from the last finished epoch"),
        ("evaluate run --database data", ""),
        ("locate train --run run", ""),
        ("demo", "; the same command goes on from there"),
    ):
        assert train_doa.main(command.split()) == status
        assert capsys.readouterr().err == f"error: {word}{advice}\n"


def test_warnings_are_one_line_without_the_place_in_the_code(monkeypatch, capsys):
    monkeypatch.setattr(training, "train", lambda *_, **__: warnings.warn("odd,\n but true", stacklevel=1))
    assert train_doa.main(["train", "database", "--out", "run"]) == 0
    assert capsys.readouterr().err == "warning: odd, but true\n"


def test_damage_is_one_line_and_status_1(run, database, recording, tmp_path, capsys):
    damaged = shutil.copytree(run, tmp_path / "run")
    (damaged / BEST).write_bytes((run / BEST).read_bytes()[:-1])
    for arguments in (
        ["evaluate", str(damaged), "--database", str(database)],
        ["locate", str(recording), "--run", str(damaged)],
    ):
        assert train_doa.main(arguments) == 1
        assert f"{damaged / BEST}: damaged" in one_line(capsys)


def test_a_damaged_database_is_one_line_and_status_1(run, database, tmp_path, capsys):
    damaged = shutil.copytree(database, tmp_path / "data")
    shard = damaged / "shards/00000.h5"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1  # among the cues
    shard.write_bytes(content)
    for arguments in (
        ["evaluate", str(run), "--database", str(damaged), "--split", "train"],
        ["train", str(damaged), "--out", str(tmp_path / "run"), "--epochs", "1"],
    ):
        assert train_doa.main(arguments) == 1
        assert f"{shard}: damaged" in (line := one_line(capsys))
        assert "Traceback" not in line


@pytest.mark.parametrize("command", ["train", "evaluate", "experiment", "locate", "export", "demo"])
def test_help_explains_every_option(command, capsys):
    with pytest.raises(SystemExit) as stop:
        train_doa.main([command, "--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert stop.value.code == 0
    function = getattr(train_doa, command)
    explained = dict(re.findall(r"^(\w+) : .*\n {4}(.*)", inspect.getdoc(function), re.MULTILINE))
    for name in inspect.signature(function).parameters:
        assert " ".join(explained[name].split()[:4]) in printed, name


def test_options_have_dashes_and_switches_need_no_value(capsys):
    with pytest.raises(SystemExit):
        train_doa.main(["train", "--help"])
    printed = capsys.readouterr().out
    assert "--batch-size BATCH_SIZE" in printed and "[--resume]" in printed
