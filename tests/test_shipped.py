"""Trained models in one file: written, read, refused, and those that come with the package."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch
from cue_database import FORMAT

import train_doa
from database.exit_status import DamageError
from database.hrtf import kemar
from database.mixing import render
from database.sources import speech_source
from localization import Localizer, shipped
from localization.checkpoints import checkpoint_bytes, read_checkpoint
from localization.models import CNNConfig, build_model
from localization.runs import BEST, CONFIG, LAST, VERSION, config_digest, load_run, weights_digest
from localization.shipped import ENTRY, MOST_METADATA, export_run, read_model, shipped_models


def write_run(folder: Path, seed: int = 0) -> Path:
    """A run as training leaves it, its weights drawn."""
    torch.manual_seed(seed)
    model_config = CNNConfig(n_bands=FORMAT.n_bands, channels=(4,), width=5)
    model = build_model(model_config)
    model.normalisation.mean.normal_()
    model.temperature.fill_(0.7)
    config = {
        "version": VERSION,
        "model": asdict(model_config),
        "cue_format": FORMAT.to_dict(),
        "duration": 0.1,
        "training": {"epochs": 3, "loss": "cross_entropy"},
        "start": {
            "folder": "/home/somebody/run",
            "weights": "of another run",
            "trained_on": "of another database",
            "sources": {"speakers": ["somebody"]},
        },
        "database": {
            "folder": "/home/somebody/noisy_hrtf",
            "n_clips": 72,
            "digest": "0123",
            "sources": {"speakers": ["somebody"]},
            "recipe": {"peak_db": [-30.0, -3.0], "snr_db": [0.0, 30.0]},
        },
        "software": {"torch": "2"},
    }
    config = json.loads(json.dumps(config))
    weights = {f"model.{name}": value for name, value in model.state_dict().items()}
    (folder / BEST).parent.mkdir(parents=True)
    (folder / BEST).write_bytes(checkpoint_bytes({"epoch": 2, "state_dict": weights}))
    (folder / CONFIG).write_text(json.dumps({**config, "sha256": config_digest(config)}), encoding="utf-8")
    return folder


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run")


@pytest.fixture
def exported(run, tmp_path):
    return export_run(run, tmp_path / "model.safetensors").path


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """The folder of the shipped models, empty."""
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setattr(shipped, "WEIGHTS", folder)
    return folder


def parts(path: Path) -> tuple[dict[str, torch.Tensor], dict]:
    """The tensors of a file, and its description."""
    with safetensors.safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()[ENTRY])  # noqa: SIM118


def described(tensors: dict[str, torch.Tensor], config: dict, **changes: object) -> bytes:
    """A file with other values in its description, and the checksum that belongs to them."""
    config = {**config, **changes}
    text = json.dumps({**config, "sha256": config_digest(config)})
    return safetensors.torch.save(tensors, {ENTRY: text})


def test_probabilities_are_the_runs_bit_for_bit(run, exported):
    before, after = load_run(run), read_model(exported)
    cues = torch.randn(50, 4, FORMAT.n_bands, 10)
    with torch.inference_mode():
        assert torch.equal(before.model(cues).softmax(dim=-1), after.model(cues).softmax(dim=-1))
    signal = 0.1 * np.random.default_rng(0).standard_normal((8000, 2))
    of_run, of_file = (Localizer.load(source).locate(signal, 8000) for source in (run, exported))
    np.testing.assert_array_equal(of_run.probabilities, of_file.probabilities)
    assert float(after.model.temperature) == float(np.float32(0.7)) and not after.model.training


def test_the_file_says_what_the_run_said_of_the_model(run, exported):
    before, after = load_run(run), read_model(exported)
    assert (after.path, after.format, after.duration) == (exported, FORMAT, 0.1)
    assert after.peak_db == before.peak_db == (-30.0, -3.0)
    for key in ("model", "cue_format", "duration", "training"):
        assert after.config[key] == before.config[key]
    assert after.config["database"]["recipe"] == before.config["database"]["recipe"]
    assert "sources" not in after.config["database"]  # there may be thousands
    assert after.config["start"] == {"weights": "of another run", "trained_on": "of another database"}
    assert after.config["weights"] == weights_digest(before.model)
    assert b"somebody" not in exported.read_bytes()


def test_export_replaces_a_file_and_leaves_nothing_else(run, exported, tmp_path):
    exported.write_bytes(b"something")
    export_run(run, exported)
    assert read_model(exported).config["duration"] == 0.1
    assert {path.name for path in tmp_path.iterdir()} == {"run", "model.safetensors"}


def test_the_name_must_have_the_formats_ending(run, tmp_path):
    with pytest.raises(ValueError, match=r"model.pt: expected a name that ends in .safetensors"):
        export_run(run, tmp_path / "model.pt")


def test_a_run_whose_training_is_not_finished_is_not_exported_and_says_so(run, recording, tmp_path, capsys):
    checkpoint = read_checkpoint(run / BEST)
    checkpoint["state_dict"]["model.temperature"] = torch.tensor(1.0)
    (run / BEST).write_bytes(checkpoint_bytes(checkpoint))
    (run / LAST).write_bytes(checkpoint_bytes({**checkpoint, "epoch": 0}))
    with pytest.raises(ValueError, match=r"run: training is not finished, 1 of 3 epochs; go on with --res"):
        export_run(run, tmp_path / "model.safetensors")
    assert not (tmp_path / "model.safetensors").exists()
    assert train_doa.main(["locate", str(recording), "--run", str(run)]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("azimuth ")
    assert printed.err == f"warning: {run}: its training is not finished, and no temperature was fitted\n"


def test_a_flipped_byte_is_refused_by_name(exported):
    sound = exported.read_bytes()
    before = weights_digest(read_model(exported).model)
    for place in np.random.default_rng(0).choice(len(sound), 200, replace=False):
        content = bytearray(sound)
        content[place] ^= 1 << (place % 8)
        exported.write_bytes(content)
        try:
            same = weights_digest(read_model(exported).model) == before
        except ValueError as error:
            assert str(exported) in str(error)
        else:
            assert same and chr(sound[place]).isspace()  # one blank for another, among the header's


@pytest.mark.parametrize("share", [0.0, 0.0005, 0.1, 0.9, 0.9999])
def test_a_file_cut_short_or_with_more_behind_it_is_damaged(exported, share):
    sound = exported.read_bytes()
    for content in (sound[: int(share * len(sound))], sound + b"\0"):
        exported.write_bytes(content)
        with pytest.raises(DamageError, match=r"model.safetensors: damaged"):
            read_model(exported)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            lambda tensors, config: safetensors.torch.save(tensors),
            "no model of ours, its header has no entry",
        ),
        (lambda tensors, config: safetensors.torch.save(tensors, {"format": "pt"}), "no model of ours"),
        (lambda tensors, config: (22).to_bytes(8, "little") + b'{"__metadata__": null}', "no model of ours"),
        (lambda tensors, config: safetensors.torch.save(tensors, {ENTRY: "{"}), "metadata is not JSON"),
        (lambda tensors, config: safetensors.torch.save(tensors, {ENTRY: "[" * 50_000}), "is not JSON"),
        (lambda tensors, config: safetensors.torch.save(tensors, {ENTRY: "[]"}), "checksum of its metadata"),
        (lambda tensors, config: described(tensors, config, version=99), "in version 99, expected 1"),
        (
            lambda tensors, config: described(tensors, config, note="x" * MOST_METADATA),
            "characters describe it",
        ),
        (lambda tensors, config: described(tensors, config, model={"name": "rnn"}), "unknown model 'rnn'"),
        (lambda tensors, config: described(tensors, config, duration=float("nan")), "clips of nan s"),
        (lambda tensors, config: described(tensors, config, duration=0.004), "clips of 0.004 s"),
        (lambda tensors, config: described(tensors, config, database=3), "no model can be built"),
        (lambda tensors, config: described(tensors, config, weights="0"), "the checksum of its weights"),
        (
            lambda tensors, config: described(tensors, config, model={**config["model"], "width": 4096}),
            "tensors are not those",
        ),
        (
            lambda tensors, config: described(tensors, config, model={**config["model"], "width": 10**18}),
            "width must be a whole number of 1 to 4096",
        ),
        (
            lambda tensors, config: described(tensors, config, model={**config["model"], "n_bands": 7}),
            "6 bands for a model of 7",
        ),
        (
            lambda tensors, config: described({k: v.half() for k, v in tensors.items()}, config),
            "tensors are not those",
        ),
        (
            lambda tensors, config: described({**tensors, "more": torch.ones(3)}, config),
            "tensors are not those",
        ),
        (lambda tensors, config: described({}, config), "tensors are not those"),
        (
            lambda tensors, config: described({k: v + 1 for k, v in tensors.items()}, config),
            "the checksum of its weights",
        ),
    ],
)
def test_foreign_files_are_refused_by_name(exported, changed, message):
    exported.write_bytes(changed(*parts(exported)))
    with pytest.raises(ValueError, match=rf"model.safetensors: .*{message}"):
        read_model(exported)


def test_a_file_that_is_far_too_large_is_not_read(tmp_path):
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:
        file.truncate(2**28 + 1)
    with pytest.raises(ValueError, match=r"large.safetensors: no model of ours, 268435457 bytes"):
        read_model(path)


def test_a_shipped_model_is_loaded_by_its_name(weights, tmp_path, monkeypatch):
    export_run(write_run(tmp_path / "of the package", seed=1), weights / "kemar.safetensors")
    here = write_run(tmp_path / "kemar", seed=2)
    monkeypatch.chdir(tmp_path)
    packaged, own = (weights_digest(load_run(tmp_path / name).model) for name in ("of the package", here))
    assert list(shipped_models()) == ["kemar"]
    assert weights_digest(Localizer.load("kemar").model) == packaged != own
    for path in ("./kemar", Path("kemar"), here):
        assert weights_digest(Localizer.load(path).model) == own


def test_a_runs_folder_may_be_called_like_a_file(run):
    renamed = run.rename(run.with_suffix(".safetensors"))
    assert weights_digest(Localizer.load(renamed).model) == weights_digest(load_run(renamed).model)


def test_an_unknown_name_is_told_the_known_ones(weights, run):
    with pytest.raises(FileNotFoundError, match="any-head: no run is there, and no models are shipped"):
        Localizer.load("any-head")
    for name in ("kemar", "any-head"):
        export_run(run, weights / f"{name}.safetensors")
    for unknown in ("kemer", weights / "kemer.safetensors"):
        with pytest.raises(FileNotFoundError, match=r"kemer.*: .* the shipped models are: any-head, kemar"):
            Localizer.load(unknown)


def test_exported_on_the_command_line_and_located_without_more(weights, run, recording, capsys):
    out = weights / "any-head.safetensors"
    assert train_doa.main(["locate", str(recording)]) == 2
    assert capsys.readouterr().err == "error: any-head: no run is there, and no models are shipped\n"
    assert train_doa.main(["export", str(run), str(out)]) == 0
    assert f"{out}: " in (printed := capsys.readouterr().out) and f"{out.stat().st_size} bytes" in printed
    assert train_doa.main(["locate", str(recording), "--json"]) == 0
    by_default = capsys.readouterr()
    assert by_default.err == ""
    for source in (run, out, "any-head"):
        assert train_doa.main(["locate", str(recording), "--run", str(source), "--json"]) == 0
        assert capsys.readouterr().out == by_default.out


def test_what_is_unlike_training_is_one_line_and_status_0(run, tmp_path, capsys):
    path = tmp_path / "copied.wav"
    noise = 0.1 * np.random.default_rng(0).standard_normal((20000, 1))
    soundfile.write(path, noise.repeat(2, axis=1), 16000)
    arguments = ["locate", str(path), "--run", str(run), "--picture", str(tmp_path / "azimuth.png")]
    assert train_doa.main(arguments) == 0
    printed = capsys.readouterr()
    assert printed.err.startswith(f"warning: {path}: both channels hold the same signal")
    assert printed.err.count("\n") == 1 and printed.out.startswith("azimuth ")


def test_a_damaged_model_is_one_line_and_status_1(exported, recording, capsys):
    exported.write_bytes(exported.read_bytes()[:-1])
    assert train_doa.main(["locate", str(recording), "--run", str(exported)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {exported}: damaged") and error.count("\n") == 1


def test_every_shipped_model_has_a_card_and_hears_where_a_talker_is():
    source = speech_source()
    talkers = [source.read(recording, 16_000)[:32_000] for recording in source.recordings[::100]]
    assert set(shipped_models()) == {"any-head", "kemar"}
    for name, path in shipped_models().items():
        assert path.stat().st_size <= 4e6, name
        assert "to be filled in" not in path.with_suffix(".md").read_text(encoding="utf-8"), name
        for talker in talkers:
            for azimuth in (90, 300):
                signal = render(talker, kemar().resampled(16_000).response(azimuth))
                location = Localizer.load(name).locate(0.5 * signal / np.abs(signal).max(), 16_000)
                assert abs(location.azimuth - azimuth) <= 10, name
