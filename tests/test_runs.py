"""The folder of a run: what rebuilds a model, and what is refused."""

import json
import shutil

import numpy as np
import pytest
import torch
from cue_database import FORMAT, N_FRAMES, write_database

from benchmarks.faults.run_files import damaged_files, hostile_checkpoints
from database.exit_status import DamageError
from database.store import Database
from localization.checkpoints import checkpoint_bytes
from localization.dataset import CueDataset
from localization.gradient_norms import GRADIENT_NORMS, read_gradient_norms
from localization.models import CNNConfig
from localization.runs import (
    BEST,
    config_digest,
    load_run,
    log_probabilities,
    read_config,
)
from localization.training import TrainingConfig, train

pytestmark = pytest.mark.usefixtures("one_precision")


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    return write_database(tmp_path_factory.mktemp("database"))


@pytest.fixture(scope="module")
def trained(database, tmp_path_factory):
    return train(
        database,
        tmp_path_factory.mktemp("run"),
        TrainingConfig(epochs=1, batch_size=24),
        CNNConfig(n_bands=6, channels=(8,), width=12),
        accelerator="cpu",
        n_workers=0,
        progress=False,
    )


@pytest.fixture
def run_folder(trained, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(trained, tmp_path / "run")


def test_a_run_rebuilds_its_model_without_the_database(trained):
    run = load_run(trained)
    assert run.format == FORMAT and run.duration == N_FRAMES / FORMAT.frame_rate
    assert run.model.config == CNNConfig(n_bands=6, channels=(8,), width=12)
    assert not run.model.training
    assert run.model.normalisation.std[0].max() < 1e-3
    weights = torch.load(trained / BEST, weights_only=True)["state_dict"]
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, weights[f"model.{name}"])


def test_predictions_are_probabilities_in_the_datasets_order(trained, database):
    run = load_run(trained)
    with Database(database) as opened:
        dataset = CueDataset(opened, "test")
        found = log_probabilities(run.model, dataset)
        with torch.inference_mode():
            expected = run.model(dataset.__getitems__([17, 3])[0]).log_softmax(dim=-1)
        np.testing.assert_allclose(log_probabilities(run.model, dataset, batch_size=7), found, atol=1e-5)
    assert found.shape == (72, 72) and found.dtype == np.float32
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(found[[17, 3]], expected, atol=1e-5)


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere: no run is there, config.json is missing"):
        load_run(tmp_path / "nowhere")


def test_a_run_without_weights_is_named(run_folder):
    (run_folder / BEST).unlink()
    with pytest.raises(FileNotFoundError, match=r"best.ckpt: missing"):
        load_run(run_folder)


def test_damaged_files_are_refused_by_name(tmp_path):
    outcome = damaged_files(tmp_path, 48)
    assert outcome.kept == outcome.tried == 48, outcome.notes


def test_nothing_in_a_checkpoint_is_executed(tmp_path):
    outcome = hostile_checkpoints(tmp_path, 15)
    assert outcome.kept == outcome.tried == 15, outcome.notes


def test_an_empty_checkpoint_is_damaged(run_folder):
    (run_folder / BEST).write_bytes(b"")
    with pytest.raises(DamageError, match=r"best.ckpt: damaged"):
        load_run(run_folder)


@pytest.mark.parametrize(
    "content",
    [
        [1, 2],
        {"state_dict": {}},
        {"epoch": 0, "state_dict": [1]},
        {"epoch": 0, "state_dict": {}},
        {"epoch": 0, "state_dict": {3: torch.zeros(3)}},
        {"epoch": 0, "state_dict": {"model.out.bias": torch.zeros(3)}},
        {"epoch": 0, "state_dict": {"model.out.bias": "text"}},
    ],
)
def test_weights_of_something_else_are_refused(run_folder, content):
    (run_folder / BEST).write_bytes(checkpoint_bytes(content))
    with pytest.raises(ValueError, match=r"best.ckpt: (no checkpoint|does not fit the model)"):
        load_run(run_folder)


def text_of(config: dict, **changes: object) -> str:
    """A configuration with other values and the checksum that belongs to them."""
    config = {**config, **changes}
    return json.dumps({**config, "sha256": config_digest(config)})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (lambda config: "", "damaged, not JSON"),
        (lambda config: "{", "damaged, not JSON"),
        (lambda config: "[" * 100_000, "damaged, not JSON"),
        (lambda config: "[]", "damaged, holds no configuration"),
        (lambda config: "{}", "damaged, its checksum differs"),
        (lambda config: json.dumps({**config, "duration": 2.0}), "damaged, its checksum differs"),
        (lambda config: json.dumps({**config, "version": 1}), "written in version 1, expected 2"),
        (lambda config: text_of(config, version=99), "written in version 99, expected 2"),
        (lambda config: text_of(config, model={"name": "rnn"}), "unknown model 'rnn'"),
        (lambda config: text_of(config, model=3), "no model can be built"),
        (lambda config: text_of(config, cue_format={}), "no model can be built"),
        (lambda config: text_of(config, cue_format=None), "no model can be built"),
    ],
)
def test_a_damaged_configuration_is_named(run_folder, text, message):
    path = run_folder / "config.json"
    path.write_text(text(read_config(run_folder)), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"config.json: .*{message}"):
        load_run(run_folder)


def test_weights_of_another_shape_are_refused(run_folder):
    config = read_config(run_folder)
    wider = text_of(config, model={**config["model"], "width": 13})
    (run_folder / "config.json").write_text(wider, encoding="utf-8")
    with pytest.raises(ValueError, match=r"best.ckpt: does not fit the model in config.json"):
        load_run(run_folder)


def test_what_a_foreign_configuration_claims_takes_no_memory(run_folder):
    config = read_config(run_folder)
    huge = text_of(config, model={**config["model"], "channels": [4096] * 64})  # 38 GB of weights
    (run_folder / "config.json").write_text(huge, encoding="utf-8")
    with pytest.raises(ValueError, match=r"best.ckpt: does not fit the model in config.json"):
        load_run(run_folder)


def test_gradient_norms_are_read_by_loss_epoch_and_bin(tmp_path):
    assert read_gradient_norms(tmp_path) == {}
    rows = [
        f"{name},{epoch},{k / 3},{epoch + k / 10},nan" for epoch in (1, 2) for name in "ab" for k in range(3)
    ]
    text = "\n".join(["loss,epoch,gradient_norm,share,weight", *rows, ""])
    (tmp_path / GRADIENT_NORMS).write_text(text, encoding="utf-8")
    found = read_gradient_norms(tmp_path)
    assert list(found) == ["a", "b"]
    for norms in found.values():
        np.testing.assert_allclose(norms.share, [[1, 1.1, 1.2], [2, 2.1, 2.2]])
        assert norms.weight.shape == (2, 3) and np.isnan(norms.weight).all()


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-20],
        lambda text: text.replace("share", "shape"),
        lambda text: text + "x",
        lambda text: text + '"' + 200_000 * "x",
        lambda text: text.replace("ghm", "../ghm"),  # figures are called after it
    ],
)
def test_damaged_gradient_norms_are_named(tmp_path, damage):
    text = "loss,epoch,gradient_norm,share,weight\n" + "".join(
        f"ghm,{epoch},{k / 2},0.5,1\n" for epoch in (1, 2) for k in range(2)
    )
    (tmp_path / GRADIENT_NORMS).write_text(damage(text), encoding="utf-8")
    with pytest.raises(DamageError, match=r"gradient_norms.csv: damaged"):
        read_gradient_norms(tmp_path)
