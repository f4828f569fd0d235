"""The folder of a run: what rebuilds a model, and what is refused."""

import json
import shutil

import numpy as np
import pytest
import torch
from cue_database import FORMAT, N_FRAMES, write_database

from database.store import Database
from localization.dataset import CueDataset
from localization.models import CNNConfig
from localization.runs import BEST, load_run, predict, read_config
from localization.training import TrainingConfig, train


class Anything:
    """What a checkpoint must not hold."""


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
        probabilities = predict(run.model, dataset)
        with torch.inference_mode():
            expected = run.model(dataset.__getitems__([17, 3])[0]).softmax(dim=-1)
        np.testing.assert_allclose(predict(run.model, dataset, batch_size=7), probabilities, atol=1e-6)
    assert probabilities.shape == (72, 72) and probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(probabilities[[17, 3]], expected, atol=1e-6)


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere: no run is there, config.json is missing"):
        load_run(tmp_path / "nowhere")


def test_a_run_without_weights_is_named(run_folder):
    (run_folder / BEST).unlink()
    with pytest.raises(FileNotFoundError, match=r"best.ckpt: missing"):
        load_run(run_folder)


def flip_a_bit(content: bytes) -> bytes:
    """Change one weight a little."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [lambda whole: b"", lambda whole: b"no checkpoint", lambda whole: whole[: len(whole) // 2], flip_a_bit],
)
def test_damaged_weights_are_named(run_folder, damage):
    path = run_folder / BEST
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"best.ckpt: damaged"):
        load_run(run_folder)


def test_weights_that_could_run_code_are_refused(run_folder):
    torch.save({"state_dict": {}, "extra": Anything()}, run_folder / BEST)
    with pytest.raises(ValueError, match=r"best.ckpt: damaged, or holds more than tensors"):
        load_run(run_folder)


@pytest.mark.parametrize(
    "content", [[1, 2], {"state_dict": {}}, {"state_dict": {"model.out.bias": torch.zeros(3)}}]
)
def test_weights_of_something_else_are_refused(run_folder, content):
    torch.save(content, run_folder / BEST)
    with pytest.raises(ValueError, match=r"best.ckpt: (no checkpoint|does not fit the model)"):
        load_run(run_folder)


def changed(config: dict, key: str, value: object) -> str:
    return json.dumps({**config, key: value})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (lambda config: "{", "damaged, not JSON"),
        (lambda config: "[]", "damaged, has no"),
        (lambda config: json.dumps({"version": 1}), "damaged, has no cue_format, duration, model"),
        (lambda config: changed(config, "version", 99), "written in version 99, expected 1"),
        (lambda config: changed(config, "model", {"name": "rnn"}), "unknown model 'rnn'"),
        (lambda config: changed(config, "model", 3), "damaged"),
        (lambda config: changed(config, "cue_format", {}), "damaged"),
        (lambda config: changed(config, "cue_format", None), "damaged"),
    ],
)
def test_a_damaged_configuration_is_named(run_folder, text, message):
    path = run_folder / "config.json"
    path.write_text(text(read_config(run_folder)), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"config.json: .*{message}"):
        load_run(run_folder)


def test_weights_of_another_shape_are_refused(run_folder):
    config = read_config(run_folder)
    config["model"]["width"] = 13
    (run_folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ValueError, match=r"best.ckpt: does not fit the model in config.json"):
        load_run(run_folder)
