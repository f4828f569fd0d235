"""Training: what is learned, written and resumed."""

import csv
import json
import os
import re
import shutil
import signal
from dataclasses import replace
from math import nan
from pathlib import Path

import numpy as np
import pytest
import torch
from cue_database import FORMAT, N_FRAMES, write_database

from benchmarks.faults.training import interrupted, killed
from database.exit_status import DamageError
from database.interrupts import Terminated, sigterm_raised
from database.lock import locked
from database.store import Database
from localization.calibration import fit_temperature
from localization.checkpoints import checkpoint_bytes, read_checkpoint
from localization.dataset import CueDataset
from localization.evaluation import evaluate
from localization.gradient_norms import GRADIENT_NORMS, read_gradient_norms
from localization.models import CNN, CNNConfig, build_model
from localization.runs import (
    BEST,
    CONFIG,
    LAST,
    PREVIOUS,
    config_digest,
    heard_in_training,
    load_run,
    log_probabilities,
    weights_digest,
)
from localization.shipped import export_run
from localization.training import TrainingConfig, fit, train
from localization.training.callbacks import AtomicCheckpoints, EpochReport
from localization.training.learner import Learner

pytestmark = pytest.mark.usefixtures("one_precision")

MODEL = CNNConfig(n_bands=6, channels=(8, 12), width=24)
TRAINING = TrainingConfig(epochs=4, batch_size=24, learning_rate=1e-2, mixup=0.1)
HERE = {"accelerator": "cpu", "n_workers": 0, "progress": False}


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    return write_database(tmp_path_factory.mktemp("database"), n_per_split=144)


@pytest.fixture(scope="module")
def undisturbed(database, tmp_path_factory):
    return train(database, tmp_path_factory.mktemp("run"), TRAINING, MODEL, **HERE)


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


EVERYTHING = TrainingConfig(
    epochs=3,
    batch_size=24,
    loss={"ghm": 1.0, "ghm_ranking": {"weight": 0.3, "bins": 5}},
    imbalance=1.5,
    mirror=0.5,
    head_warp=0.1,
    spectral_jitter=1.0,
    mask_bands=0.4,
    mask_frames=0.2,
)


def interrupt(monkeypatch, number: signal.Signals, at_epoch: int) -> None:
    """Let a signal come in the middle of an epoch, once."""
    whole = EpochReport.on_train_batch_end

    def interrupted(self, trainer, pl_module, outputs, batch, batch_index):
        whole(self, trainer)
        if trainer.current_epoch == at_epoch and batch_index == 3:
            monkeypatch.undo()
            signal.raise_signal(number)

    monkeypatch.setattr(EpochReport, "on_train_batch_end", interrupted)


def train_until(monkeypatch, database: Path, run: Path, n_epochs: int) -> None:
    """Train, and interrupt it in the epoch after these."""
    interrupt(monkeypatch, signal.SIGINT, n_epochs)
    with pytest.raises(KeyboardInterrupt):
        train(database, run, TRAINING, MODEL, resume=True, **HERE)


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
    assert {path.name for path in (undisturbed / "checkpoints").iterdir()} == {
        "best.ckpt",
        "last.ckpt",
        "previous.ckpt",
    }
    assert list((undisturbed / "tensorboard").glob("events*"))
    config = json.loads((undisturbed / "config.json").read_text(encoding="utf-8"))
    assert config["training"]["epochs"] == 4 and config["model"]["name"] == "cnn"
    assert config["database"]["folder"] == str(database.resolve()) and config["database"]["recipe"] == {
        "seed": 0
    }
    assert config["database"]["sources"] == {
        "speakers": ["train-0", "train-1", "train-2"],
        "noise recordings": ["everywhere.wav", "train.wav"],
        "heads": ["round"],
    }


def test_each_epoch_gets_its_line(database, tmp_path, capfd):
    train(database, tmp_path / "run", TrainingConfig(epochs=2, batch_size=48), MODEL, **HERE)
    part = r"Loss=\d+\.\d{4}, Top-1=\d+\.\d\d%, Top-5=\d+\.\d\d%"
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 2
    for epoch, line in enumerate(lines, start=1):
        assert re.fullmatch(rf"Epoch {epoch}/2: Train {part} \| Evaluation {part}", line)


def test_torch_itself_reads_the_checkpoints(undisturbed):
    for name in (BEST, LAST, PREVIOUS):
        assert torch.load(undisturbed / name, weights_only=True)["state_dict"]


def test_the_same_seed_gives_the_same_weights_and_another_others(undisturbed, database, tmp_path):
    assert_same_run(train(database, tmp_path / "same", TRAINING, MODEL, **HERE), undisturbed)
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
    where = {**HERE, "n_workers": n_workers}
    for number, error, at_epoch in ((signal.SIGINT, KeyboardInterrupt, 2), (signal.SIGTERM, Terminated, 3)):
        interrupt(monkeypatch, number, at_epoch)
        handler = signal.getsignal(number)
        with pytest.raises(error), sigterm_raised():
            train(database, run, TRAINING, MODEL, resume=True, **where)
        assert len(metrics(run)) == at_epoch
        assert signal.getsignal(number) == handler
    train(database, run, TRAINING, MODEL, resume=True, **where)
    assert_same_run(run, undisturbed)


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@pytest.mark.parametrize("at_file", range(6, 11))
def test_killed_between_two_files_and_resumed_is_undisturbed(
    undisturbed, database, tmp_path, monkeypatch, at_file
):
    run, written, move = tmp_path / "run", [], Path.replace

    def killing(self, target):
        written.append(target)
        if len(written) == at_file:
            raise Killed
        return move(self, target)

    monkeypatch.setattr(Path, "replace", killing)
    with pytest.raises(Killed):
        train(database, run, TRAINING, MODEL, resume=True, **HERE)
    train(database, run, TRAINING, MODEL, resume=True, **HERE)
    assert_same_run(run, undisturbed)


def test_a_process_that_reads_ahead_and_dies_is_named(database, tmp_path, monkeypatch):
    monkeypatch.setattr(
        CueDataset, "__getitems__", lambda self, indices: os.kill(os.getpid(), signal.SIGKILL)
    )
    monkeypatch.setattr(fit, "_evenly", lambda dataset, n_clips: [torch.rand(2, 4, 6, 10)])
    with pytest.raises(ChildProcessError, match="a process that reads the database ahead died"):
        train(database, tmp_path / "run", TRAINING, MODEL, **{**HERE, "n_workers": 1})


def test_training_killed_goes_on_to_the_same_weights(tmp_path):
    outcome = killed(tmp_path, 1)
    assert outcome.kept == outcome.tried == 1, outcome.notes


def test_training_asked_to_end_ends_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.faults.training.SOON", 60.0)  # how soon is for the benchmark to say
    outcome = interrupted(tmp_path, 1)
    assert outcome.kept == outcome.tried == 1, outcome.notes


@pytest.mark.parametrize("damage", [lambda whole: whole[:-100], lambda whole: b"", lambda whole: whole[::-1]])
def test_where_the_last_checkpoint_is_damaged_the_one_before_is_used(
    undisturbed, database, tmp_path, monkeypatch, damage
):
    run = tmp_path / "run"
    train_until(monkeypatch, database, run, 3)
    (run / LAST).write_bytes(damage((run / LAST).read_bytes()))
    with pytest.warns(UserWarning, match=r"last.ckpt: damaged.*going on from .*previous.ckpt"):
        train_until(monkeypatch, database, run, 2)
    assert read_checkpoint(run / PREVIOUS)["epoch"] == 1  # no damage takes its place
    (run / LAST).unlink()  # as where a kill came between the two
    train(database, run, TRAINING, MODEL, resume=True, **HERE)
    assert_same_run(run, undisturbed)


def test_where_both_checkpoints_are_damaged_both_are_named(undisturbed, database, tmp_path):
    run = shutil.copytree(undisturbed, tmp_path / "run")
    for name in (LAST, PREVIOUS):
        (run / name).write_bytes(b"no checkpoint")
    with pytest.raises(DamageError, match=r"last.ckpt: damaged.*previous.ckpt: damaged.*train anew"):
        train(database, run, TRAINING, MODEL, resume=True, **HERE)


def test_a_damaged_best_checkpoint_is_replaced_by_the_next_best(database, tmp_path, monkeypatch):
    run = tmp_path / "run"
    train_until(monkeypatch, database, run, 3)
    (run / BEST).write_bytes(b"no checkpoint")
    with pytest.warns(UserWarning, match=r"best.ckpt: damaged or missing"):
        train(database, run, TRAINING, MODEL, resume=True, **HERE)
    assert read_checkpoint(run / BEST)["epoch"] == 3


def test_a_run_moved_elsewhere_keeps_its_best(undisturbed, database, tmp_path, monkeypatch):
    train_until(monkeypatch, database, tmp_path / "run", 3)
    run = (tmp_path / "run").rename(tmp_path / "moved")
    scores = [float(row["val_top1"]) for row in metrics(undisturbed)]
    train(database, run, TRAINING, MODEL, resume=True, **HERE)
    assert_same_run(run, undisturbed)
    assert read_checkpoint(run / BEST)["epoch"] == scores.index(max(scores))


def test_what_a_killed_writer_left_is_removed_and_nothing_else(database, tmp_path, monkeypatch):
    run = tmp_path / "run"
    train_until(monkeypatch, database, run, 1)
    for name in ("checkpoints/last.ckpt", "config.json", "metrics.csv"):
        (run / f"{name}.0123.partial").write_bytes(b"half")
    (run / "film.partial").write_bytes(b"somebody else's")
    train_until(monkeypatch, database, run, 1)
    assert [path.name for path in run.rglob("*.partial")] == ["film.partial"]


def test_a_damaged_configuration_is_not_resumed(undisturbed, database, tmp_path):
    run = shutil.copytree(undisturbed, tmp_path / "run")
    text = (run / CONFIG).read_text(encoding="utf-8")
    (run / CONFIG).write_text(re.sub(r'"threads": \d+', '"threads": 77', text), encoding="utf-8")
    with pytest.raises(DamageError, match=r"config.json: damaged, its checksum differs"):
        train(database, run, TRAINING, MODEL, resume=True, **HERE)


def test_resuming_what_is_finished_changes_nothing(undisturbed, database):
    before = weights(undisturbed)
    train(database, undisturbed, TRAINING, MODEL, resume=True, **HERE)
    assert all(torch.equal(value, before[key]) for key, value in weights(undisturbed).items())
    assert len(metrics(undisturbed)) == 4


def test_a_run_is_not_overwritten(undisturbed, database):
    with pytest.raises(ValueError, match=r"holds a run already.*--resume"):
        train(database, undisturbed, TRAINING, MODEL, **HERE)


def test_a_run_is_trained_by_one_process_at_a_time(undisturbed, database, tmp_path):
    for run, resume in ((tmp_path / "new", False), (shutil.copytree(undisturbed, tmp_path / "run"), True)):
        before = list(run.rglob("*"))
        with (
            locked(run, "train"),
            pytest.raises(BlockingIOError, match=f"another process trains there: process {os.getpid()} on"),
        ):
            train(database, run, TRAINING, MODEL, resume=resume, **HERE)
        assert list(run.rglob("*")) == before


def test_a_run_is_not_resumed_otherwise_than_it_was_started(undisturbed, database):
    other = replace(TRAINING, epochs=5)
    with pytest.raises(ValueError, match=r"was started otherwise: training.epochs was 4, now 5$"):
        train(database, undisturbed, other, MODEL, resume=True, **HERE)


def test_a_run_is_not_resumed_by_more_processes(undisturbed, database):
    with pytest.raises(ValueError, match=r"was started otherwise: processes was 1, now 2$"):
        train(database, undisturbed, TRAINING, MODEL, resume=True, **HERE, devices=2)


def test_numbers_of_numpy_are_numbers(database, tmp_path):
    half, one = np.linspace(0.5, 1, 2)
    config = TrainingConfig(epochs=1, mirror=half, loss={"circular": {"std": np.float32(one)}})
    found = load_run(train(database, tmp_path / "run", config, "simple_cnn", **HERE)).config
    assert found["training"]["loss"] == {"circular": {"std": 1}} and found["model"]["mirror"] is True


def test_a_run_is_not_resumed_on_other_data(undisturbed, tmp_path):
    other = write_database(tmp_path / "other", n_per_split=144, seed=1)
    with pytest.raises(ValueError, match=r"was started otherwise: database.digest was"):
        train(other, undisturbed, TRAINING, MODEL, resume=True, **HERE)


def test_a_database_without_validation_is_refused_and_nothing_is_left(database, tmp_path, monkeypatch):
    monkeypatch.setattr("cue_database.SPLITS", ("train", "test", "test"))
    without = write_database(tmp_path / "without", n_per_split=20)
    with pytest.raises(ValueError, match="no clip of the split 'validation'"):
        train(without, tmp_path / "run", TRAINING, MODEL, **HERE)
    assert not (tmp_path / "run").exists()


def test_a_model_for_other_bands_is_refused_and_nothing_is_left(database, tmp_path):
    with pytest.raises(ValueError, match=r"model: for 7 bands, but .* has 6"):
        train(database, tmp_path / "run", TRAINING, CNNConfig(n_bands=7), **HERE)
    assert not (tmp_path / "run").exists()


def test_a_machine_that_is_not_there_is_refused(database, tmp_path):
    for accelerator in ("abacus", "tpu"):  # the other is Lightning's, and lacks a package
        with pytest.raises(ValueError, match=rf"cannot train on .*'accelerator': '{accelerator}'"):
            train(database, tmp_path / "run", TRAINING, MODEL, **{**HERE, "accelerator": accelerator})


@pytest.mark.filterwarnings("ignore:You passed:UserWarning")
def test_what_the_machine_cannot_do_is_refused_and_nothing_is_left(database, tmp_path):
    half = replace(TRAINING, precision="16-mixed")
    with pytest.raises(ValueError, match=r"precision: 16-mixed asked for, found bf16-mixed on .*'cpu'"):
        train(database, tmp_path / "run", half, MODEL, **HERE)
    with pytest.raises(ValueError, match="n_workers: 0 or more expected, found -1"):
        train(database, tmp_path / "run", TRAINING, MODEL, **{**HERE, "n_workers": -1})
    assert not (tmp_path / "run").exists()


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("loss", ["cross_entropy", "ghm"])
def test_a_training_that_diverges_ends_with_a_word_on_it(database, tmp_path, loss, monkeypatch):
    monkeypatch.setattr(
        CNN, "raw_logits", lambda model, cues: model.out.bias * torch.full((len(cues), 1), nan)
    )
    with pytest.raises(ValueError, match="numbers expected for the loss, found nan in training, nan in val"):
        train(database, tmp_path / "run", replace(TRAINING, loss=loss, mixup=0.0), MODEL, **HERE)
    assert not (tmp_path / "run" / LAST).exists()


def test_torch_has_as_many_threads_after_training_as_before(undisturbed, database):
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        train(database, undisturbed, TRAINING, MODEL, resume=True, **HERE)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("epochs", 2.5),
        ("batch_size", 1.5),
        ("seed", 1.0),
        ("learning_rate", float("inf")),
        ("weight_decay", float("inf")),
        ("batch_size", -1),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("seed", -1),
        ("imbalance", 0.9),
        ("mirror", 1.5),
        ("seed", 2**64),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(field, value):
    with pytest.raises(ValueError, match=field):
        TrainingConfig(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [("learning_rate", "3e-3"), ("weight_decay", None), ("imbalance", [1]), ("mirror", "a"), ("mixup", True)],
)
def test_what_is_no_number_is_told_how_one_is_written(field, value):
    message = f"{field} must be a number such as 0.003 or 3.0e-3, found {value!r}"
    with pytest.raises(ValueError, match=re.escape(message)):
        TrainingConfig(**{field: value})


@pytest.mark.parametrize("loss", ["ranking", {"ghm_ranking": 1, "ranking": 0.3}])
def test_a_loss_of_pairs_alone_needs_two_clips_in_a_batch(loss):
    with pytest.raises(ValueError, match=r"batch_size must be at least 2 for .*ranking.*, which compares"):
        TrainingConfig(loss=loss, batch_size=1)
    assert TrainingConfig(loss=loss, batch_size=2) and TrainingConfig(batch_size=1)


def test_every_seed_that_is_taken_can_be_used(database, tmp_path):
    config = TrainingConfig(epochs=1, batch_size=144, seed=2**64 - 1)
    assert load_run(train(database, tmp_path / "run", config, MODEL, **HERE)).is_finished


def test_a_checkpoint_is_the_old_one_until_it_is_the_new_one(tmp_path, monkeypatch):
    path = tmp_path / "checkpoints" / "last.ckpt"
    checkpoints = AtomicCheckpoints()
    first = {"epoch": 1, "state_dict": {}}
    checkpoints.save_checkpoint(first, path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="cannot write"):
        checkpoints.save_checkpoint({"epoch": 2, "state_dict": {}}, path)
    monkeypatch.undo()
    assert checkpoints.load_checkpoint(path) == first
    assert [entry.name for entry in path.parent.iterdir()] == ["last.ckpt"]
    checkpoints.remove_checkpoint(path)
    assert not path.exists()


def test_losses_with_a_state_and_augmentation_are_resumed_bit_for_bit(database, tmp_path, monkeypatch):
    whole = train(database, tmp_path / "whole", EVERYTHING, MODEL, **HERE)
    run = tmp_path / "run"
    for number, error, at_epoch in ((signal.SIGINT, KeyboardInterrupt, 1), (signal.SIGTERM, Terminated, 2)):
        interrupt(monkeypatch, number, at_epoch)
        with pytest.raises(error), sigterm_raised():
            train(database, run, EVERYTHING, MODEL, resume=True, **HERE)
    train(database, run, EVERYTHING, MODEL, resume=True, **HERE)
    assert_same_run(run, whole)
    assert weights(run)["loss.terms.ghm.harmonizer.density"].any()
    assert (run / GRADIENT_NORMS).read_bytes() == (whole / GRADIENT_NORMS).read_bytes()
    norms = read_gradient_norms(run)
    assert [of.share.shape for of in norms.values()] == [(3, 10), (3, 5)]
    for of in norms.values():
        assert of.share.sum(axis=1) == pytest.approx([1, 1, 1], abs=1e-4)
    config = json.loads((run / CONFIG).read_text(encoding="utf-8"))["training"]
    assert config["loss"] == EVERYTHING.loss and config["head_warp"] == 0.1


def test_validation_is_neither_augmented_nor_harmonized(database):
    model = build_model(replace(MODEL, dropout=0.0))
    batch = CueDataset(Database(database), "validation").__getitems__(range(48))
    plain = TrainingConfig(loss=EVERYTHING.loss)
    learners = [Learner(model, config, FORMAT).eval() for config in (plain, plain, EVERYTHING)]
    for learner in learners:
        learner.log = lambda *_, **__: None  # there is no trainer
    first, second, changed = (learner.validation_step(batch, 0) for learner in learners)
    assert torch.equal(first, second) and torch.equal(first, changed)
    first, second, changed = (learner.train().training_step(batch, 0) for learner in learners)
    assert torch.equal(first, second) and not torch.equal(first, changed)


@pytest.mark.parametrize(("knows_bfloat16", "precision"), [(True, "bf16-mixed"), (False, "32-true")])
def test_the_precision_that_auto_means_is_the_processor_s_and_the_run_s(
    database, tmp_path, monkeypatch, knows_bfloat16, precision
):
    monkeypatch.setattr(fit, "knows_bfloat16", lambda: knows_bfloat16)
    run = train(database, tmp_path / "run", replace(TRAINING, epochs=1), MODEL, **HERE)
    assert load_run(run).config["training"]["precision"] == precision


def test_the_best_weights_are_calibrated_on_the_validation_split(undisturbed, database, tmp_path):
    name = "model.temperature"
    temperature = weights(undisturbed, BEST)[name]
    assert temperature != 1 and weights(undisturbed, LAST)[name] == 1
    run = shutil.copytree(undisturbed, tmp_path / "run")
    checkpoint = read_checkpoint(run / BEST)
    checkpoint["state_dict"][name] = torch.tensor(1.0)  # as where a kill came right before
    (run / BEST).write_bytes(checkpoint_bytes(checkpoint))
    with Database(database) as opened:
        validation = CueDataset(opened, "validation")
        found = log_probabilities(load_run(run).model, validation)
    assert fit_temperature(found, validation.classes) == pytest.approx(temperature.item())
    train(database, run, TRAINING, MODEL, resume=True, **HERE)
    assert_same_run(run, undisturbed)


def test_ranking_alone_is_judged_by_pairs(database, tmp_path):
    config = TrainingConfig(epochs=4, batch_size=24, learning_rate=1e-2, loss="ranking")
    run = train(database, tmp_path / "run", config, MODEL, **HERE)
    accuracy = [float(row["val_pair_accuracy"]) for row in metrics(run)]
    assert max(accuracy) > 0.8 and read_checkpoint(run / BEST)["epoch"] == accuracy.index(max(accuracy))
    assert config.judged_by == "val_pair_accuracy" and TRAINING.judged_by == "val_top1"


def test_a_model_is_chosen_by_name_and_rare_classes_are_thinned(database, tmp_path, monkeypatch):
    lengths = []
    evenly = fit._evenly
    monkeypatch.setattr(
        fit, "_evenly", lambda dataset, n: (lengths.append(len(dataset)), evenly(dataset, n))[1]
    )
    config = TrainingConfig(epochs=1, batch_size=24, imbalance=2.0)
    run = train(database, tmp_path / "run", config, "simple_cnn", **HERE)
    assert load_run(run).config["model"]["name"] == "simple_cnn"
    assert 72 < lengths[0] < 144
    with pytest.raises(ValueError, match="model: found rnn, expected a network, one of cnn,"):
        train(database, tmp_path / "other", config, "rnn", **HERE)


@pytest.mark.parametrize("mirror", [0.0, 0.5])
def test_the_model_knows_its_bands_and_mirrors_what_training_mirrored(database, tmp_path, mirror):
    config = TrainingConfig(epochs=1, batch_size=24, mirror=mirror)
    run = load_run(train(database, tmp_path / "run", config, "simple_cnn", **HERE))
    assert run.model.cfs.tolist() == pytest.approx(run.format.cfs)
    assert run.model.config.mirror == (mirror > 0)


def test_a_transformer_has_a_position_for_each_patch_of_the_clips(database, tmp_path):
    config = TrainingConfig(epochs=1, batch_size=24)
    run = load_run(train(database, tmp_path / "run", config, "transformer", **HERE))
    assert run.model.config.n_frames == N_FRAMES != 100


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    return write_database(tmp_path_factory.mktemp("others"), n_per_split=144, seed=1)


def test_a_trained_model_is_where_further_training_begins(undisturbed, others, tmp_path):
    hardly = TrainingConfig(epochs=1, batch_size=24, learning_rate=1e-9, mirror=0.5)
    further = load_run(train(others, tmp_path / "further", hardly, undisturbed, **HERE))
    start = load_run(undisturbed)
    assert weights(further.path)["model.temperature"] == 1
    for (name, before), after in zip(start.model.named_parameters(), further.model.parameters(), strict=True):
        torch.testing.assert_close(after, before, rtol=0, atol=1e-6, msg=name)
    for name in ("mean", "std"):
        assert torch.equal(
            getattr(further.model.normalisation, name), getattr(start.model.normalisation, name)
        )
    assert further.is_finished and further.model.config == replace(start.model.config, mirror=True)
    assert further.config["start"] == {
        "folder": str(undisturbed.resolve()),
        "weights": weights_digest(start.model),
        "trained_on": start.config["database"]["digest"],
        "sources": start.config["database"]["sources"],
    }
    assert start.config["start"] == {}


def rewrite_config(run: Path, change) -> None:
    """Change a run's configuration, as if training had written it so."""
    config = json.loads((run / CONFIG).read_text(encoding="utf-8"))
    change(config)
    config["sha256"] = config_digest(config)
    (run / CONFIG).write_text(json.dumps(config), encoding="utf-8")


def test_what_all_models_before_have_heard_counts_as_heard(undisturbed, database, others, tmp_path):
    once = TrainingConfig(epochs=1, batch_size=48)
    second = train(others, tmp_path / "second", once, undisturbed, **HERE)
    rewrite_config(second, lambda config: config["start"]["sources"].update(speakers=["test-1"]))
    third = train(others, tmp_path / "third", once, second, **HERE)
    speakers = ["test-1", "train-0", "train-1", "train-2"]
    assert load_run(third).config["start"]["sources"]["speakers"] == speakers
    data = evaluate(third, database, out=tmp_path / "report")["data"]
    assert data["heard_in_training"]["speakers"] == [1, 3]
    assert data["started_from"] == weights_digest(load_run(second).model)
    rewrite_config(third, lambda config: config["start"].update(sources={"speakers": "somebody"}))
    with pytest.raises(ValueError, match=r"config.json: start.sources: lists of speakers, noise recordings"):
        heard_in_training(load_run(third))


def test_an_exported_model_is_trained_further_as_its_run(undisturbed, others, tmp_path):
    once = TrainingConfig(epochs=1, batch_size=48)
    file = export_run(undisturbed, tmp_path / "model.safetensors").path
    of_file = train(others, tmp_path / "of_file", once, str(file), **HERE)
    assert_same_run(of_file, train(others, tmp_path / "of_run", once, undisturbed, **HERE))
    assert heard_in_training(load_run(of_file)) is None
    train(others, of_file, once, undisturbed, resume=True, **HERE)


def test_a_run_begun_before_models_could_be_trained_further_is_resumed_and_exported(
    undisturbed, database, tmp_path
):
    run = shutil.copytree(undisturbed, tmp_path / "run")
    rewrite_config(run, lambda config: [config.pop(key) for key in ("start", "processes")])
    train(database, run, TRAINING, MODEL, resume=True, **HERE)
    assert export_run(run, tmp_path / "model.safetensors").config["start"] == {}


def test_further_training_is_resumed_bit_for_bit_and_from_nothing_else(
    undisturbed, database, tmp_path, monkeypatch
):
    whole = train(database, tmp_path / "whole", TRAINING, undisturbed, **HERE)
    run = tmp_path / "run"
    interrupt(monkeypatch, signal.SIGINT, 2)
    with pytest.raises(KeyboardInterrupt):
        train(database, run, TRAINING, undisturbed, **HERE)
    assert not load_run(run).is_finished
    for model, now in ((MODEL, "None"), (whole, weights_digest(load_run(whole).model))):
        was = weights_digest(load_run(undisturbed).model)
        with pytest.raises(ValueError, match=f"started otherwise: .*start.weights was {was}, now {now}"):
            train(database, run, TRAINING, model, resume=True, **HERE)
    train(database, run, TRAINING, undisturbed, resume=True, **HERE)
    assert_same_run(run, whole)
    assert not torch.equal(weights(run)["model.out.weight"], weights(undisturbed)["model.out.weight"])


def test_what_cannot_be_trained_further_is_refused_and_nothing_is_left(
    undisturbed, database, tmp_path, monkeypatch
):
    unfinished = tmp_path / "unfinished"
    train_until(monkeypatch, database, unfinished, 1)
    messages = {
        str(unfinished): rf"model: the training of {re.escape(str(unfinished))} is not finished",
        "kemar": r"cues are not of the format that the model in kemar takes: .*fs: found 8000.0, expected 16",
        "nothing": r"model: found nothing, expected a network, one of cnn, .*, or a trained model, one of an",
    }
    for model, message in messages.items():
        with pytest.raises(ValueError, match=message):
            train(database, tmp_path / "run", TRAINING, model, **HERE)
    assert not (tmp_path / "run").exists()


class Given(torch.nn.Module):
    """Its input is its logits."""

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        return logits


def test_top5_counts_the_five_most_probable(monkeypatch):
    learner, logged = Learner(Given(), TrainingConfig(), FORMAT), {}
    monkeypatch.setattr(learner, "log", lambda name, value, **_: logged.update({name: float(value)}))
    logits = -torch.arange(72.0).expand(4, 72)
    learner.validation_step((logits, torch.tensor([0, 4, 5, 71])), 0)
    assert (logged["val_top1"], logged["val_top5"]) == (0.25, 0.5)


def test_each_class_of_a_mixture_counts_by_its_share(monkeypatch):
    learner = Learner(Given(), TrainingConfig(mixup=0.2), FORMAT)
    monkeypatch.setattr(learner, "log", lambda *_, **__: None)
    logits, classes = torch.randn(6, 72), torch.arange(6)
    monkeypatch.setattr(
        "localization.training.learner.augment",
        lambda config, cues, classes, *_: (cues, [(0.75, classes), (0.25, classes.flip(0))]),
    )
    expected = 0.75 * learner.loss(logits, classes) + 0.25 * learner.loss(logits, classes.flip(0))
    assert float(learner.training_step((logits, classes), 0)) == pytest.approx(float(expected))


def test_biases_and_normalisations_do_not_decay(undisturbed):
    states = read_checkpoint(undisturbed / LAST)["optimizer_states"][0]["param_groups"]
    decays = {
        name: group["weight_decay"] for name, group in zip(("matrices", "vectors"), states, strict=True)
    }
    assert decays == {"matrices": TRAINING.weight_decay, "vectors": 0.0}
    counts = [len(group["params"]) for group in states]
    model = build_model(MODEL)
    assert counts == [sum((w.ndim > 1) == many for w in model.parameters()) for many in (True, False)]
