"""Training: what is learned, written and resumed."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from cue_database import write_database

from localization.models import CNNConfig
from localization.runs import BEST, LAST, read_checkpoint
from localization.training import TrainingConfig, train
from localization.training.callbacks import AtomicCheckpoints, EpochReport

ROOT = Path(__file__).parents[1]
MODEL = CNNConfig(n_bands=6, channels=(8, 12), width=24)
CONFIG = TrainingConfig(epochs=4, batch_size=24, learning_rate=1e-2)
HERE = {"accelerator": "cpu", "n_workers": 0, "progress": False}


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    return write_database(tmp_path_factory.mktemp("database"), n_per_split=144)


@pytest.fixture(scope="module")
def undisturbed(database, tmp_path_factory):
    return train(database, tmp_path_factory.mktemp("run"), CONFIG, MODEL, **HERE)


def weights(run: Path, name: str = LAST) -> dict[str, torch.Tensor]:
    return read_checkpoint(run / name)["state_dict"]


def metrics(run: Path) -> list[dict[str, str]]:
    """metrics.csv without what only the clock decides."""
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return [
            {k: v for k, v in row.items() if k not in ("seconds", "waiting")} for row in csv.DictReader(file)
        ]


def assert_same_run(run: Path, other: Path) -> None:
    for name in (LAST, BEST):
        assert weights(run, name).keys() == weights(other, name).keys()
        for key, value in weights(run, name).items():
            assert torch.equal(value, weights(other, name)[key]), f"{name}: {key}"
    assert metrics(run) == metrics(other)


def interrupt(monkeypatch, error: type[BaseException], at_epoch: int) -> None:
    """Let training end in the middle of an epoch, once."""
    whole = EpochReport.on_train_batch_start

    def broken(self, trainer, pl_module, batch, batch_index):
        if trainer.current_epoch == at_epoch and batch_index == 3:
            monkeypatch.undo()
            raise error
        whole(self, trainer, pl_module, batch, batch_index)

    monkeypatch.setattr(EpochReport, "on_train_batch_start", broken)


def test_it_learns(tmp_path):
    database = write_database(tmp_path / "database", n_per_split=576)
    config = TrainingConfig(epochs=6, batch_size=24, learning_rate=2e-2)
    rows = metrics(train(database, tmp_path / "run", config, MODEL, **HERE))
    assert [int(row["epoch"]) for row in rows] == list(range(1, 7))
    assert float(rows[-1]["val_loss"]) < 0.8 * float(rows[0]["val_loss"])
    assert float(rows[-1]["val_top5"]) > 0.5  # chance is 5/72


def test_the_folder_holds_what_it_promises(undisturbed, database):
    assert {path.name for path in undisturbed.iterdir()} == {
        "config.json",
        "checkpoints",
        "metrics.csv",
        "tensorboard",
    }
    assert {path.name for path in (undisturbed / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert list((undisturbed / "tensorboard").glob("events*"))
    config = json.loads((undisturbed / "config.json").read_text(encoding="utf-8"))
    assert config["training"]["epochs"] == 4 and config["model"]["name"] == "cnn"
    assert config["database"]["folder"] == str(database.resolve()) and config["database"]["recipe"] == {
        "seed": 0
    }


def test_each_epoch_gets_its_line(database, tmp_path, capfd):
    train(database, tmp_path / "run", TrainingConfig(epochs=2, batch_size=48), MODEL, **HERE)
    part = r"Loss=\d+\.\d{4}, Top-1=\d+\.\d\d%, Top-5=\d+\.\d\d%"
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 2
    for epoch, line in enumerate(lines, start=1):
        assert re.fullmatch(rf"Epoch {epoch}/2: Train {part} \| Evaluation {part}", line)


def test_checkpoints_hold_tensors_and_plain_types_alone(undisturbed):
    for name in (BEST, LAST):
        assert torch.load(undisturbed / name, weights_only=True)["state_dict"]


def test_the_same_seed_gives_the_same_weights_and_another_others(undisturbed, database, tmp_path):
    assert_same_run(train(database, tmp_path / "same", CONFIG, MODEL, **HERE), undisturbed)
    other = TrainingConfig(epochs=4, batch_size=24, learning_rate=1e-2, seed=1)
    name = "model.out.weight"
    assert not torch.equal(
        weights(train(database, tmp_path / "other", other, MODEL, **HERE))[name], weights(undisturbed)[name]
    )


@pytest.mark.parametrize("n_workers", [0, 1])
def test_interrupted_and_resumed_is_undisturbed_bit_for_bit(
    undisturbed, database, tmp_path, monkeypatch, n_workers
):
    run = tmp_path / "run"
    for at_epoch in (2, 3):
        interrupt(monkeypatch, KeyboardInterrupt, at_epoch)
        with pytest.raises(KeyboardInterrupt):
            train(database, run, CONFIG, MODEL, resume=True, **{**HERE, "n_workers": n_workers})
        assert len(metrics(run)) == at_epoch
        assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    train(database, run, CONFIG, MODEL, resume=True, **{**HERE, "n_workers": n_workers})
    assert_same_run(run, undisturbed)


def test_killed_and_resumed_is_undisturbed_bit_for_bit(undisturbed, database, tmp_path):
    run = tmp_path / "run"
    script = (
        "from localization.models import CNNConfig\n"
        "from localization.training import TrainingConfig, train\n"
        f"train({str(database)!r}, {str(run)!r}, {CONFIG!r}, {MODEL!r}, **{HERE!r})"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads()), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith("Epoch 2/"):
                child.kill()
    assert child.returncode != 0
    train(database, run, CONFIG, MODEL, resume=True, **HERE)
    assert_same_run(run, undisturbed)


def test_resuming_what_is_finished_changes_nothing(undisturbed, database):
    before = weights(undisturbed)
    train(database, undisturbed, CONFIG, MODEL, resume=True, **HERE)
    assert all(torch.equal(value, before[key]) for key, value in weights(undisturbed).items())
    assert len(metrics(undisturbed)) == 4


def test_a_run_is_not_overwritten(undisturbed, database):
    with pytest.raises(ValueError, match=r"holds a run already.*--resume"):
        train(database, undisturbed, CONFIG, MODEL, **HERE)


def test_a_run_is_not_resumed_otherwise_than_it_was_started(undisturbed, database):
    other = TrainingConfig(epochs=5, batch_size=24, learning_rate=1e-2)
    with pytest.raises(ValueError, match=r"was started otherwise: training.epochs was 4, now 5$"):
        train(database, undisturbed, other, MODEL, resume=True, **HERE)


def test_a_run_is_not_resumed_on_other_data(undisturbed, tmp_path):
    other = write_database(tmp_path / "other", n_per_split=144, seed=1)
    with pytest.raises(ValueError, match=r"was started otherwise: database.digest was"):
        train(other, undisturbed, CONFIG, MODEL, resume=True, **HERE)


def test_a_database_without_validation_is_refused_and_nothing_is_left(database, tmp_path, monkeypatch):
    monkeypatch.setattr("cue_database.SPLITS", ("train", "test", "test"))
    without = write_database(tmp_path / "without", n_per_split=20)
    with pytest.raises(ValueError, match="no clip of the split 'validation'"):
        train(without, tmp_path / "run", CONFIG, MODEL, **HERE)
    assert not (tmp_path / "run").exists()


def test_a_machine_that_is_not_there_is_refused(database, tmp_path):
    with pytest.raises(ValueError, match=r"cannot train on .*'accelerator': 'abacus'"):
        train(database, tmp_path / "run", CONFIG, MODEL, **{**HERE, "accelerator": "abacus"})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("batch_size", -1),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("seed", -1),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(field, value):
    with pytest.raises(ValueError, match=field):
        TrainingConfig(**{field: value})


def test_a_checkpoint_is_the_old_one_until_it_is_the_new_one(tmp_path, monkeypatch):
    path = tmp_path / "checkpoints" / "last.ckpt"
    checkpoints = AtomicCheckpoints()
    checkpoints.save_checkpoint({"epoch": 1}, path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="cannot write"):
        checkpoints.save_checkpoint({"epoch": 2}, path)
    monkeypatch.undo()
    assert checkpoints.load_checkpoint(path) == {"epoch": 1}
    assert [entry.name for entry in path.parent.iterdir()] == ["last.ckpt"]
    checkpoints.remove_checkpoint(path)
    assert not path.exists()
