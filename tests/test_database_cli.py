"""`python -m database`: what it prints, and its exit statuses."""

import errno
import io
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sofa_files import spherical, write_sofa

import database.commands
import database.download
from auditory_model import FILTER_TYPES, MODEL_TYPES, centre_freqs
from database.__main__ import main
from database.hrtf import AZIMUTHS, kemar
from database.interrupts import Terminated
from database.on_error import STOP
from database.recipe import Recipe
from database.store import Database, Reject, write_rejects
from database.version import own_version

ROOT = Path(__file__).parent.parent
SIZE = "--clips 3 --duration 0.2 --fs 8000 --bands 4 --noise-types 2 --noise-files 3 --workers 0"
SMALL = SIZE.split()
HERE = {"n_workers": None, "scheduler": None, "local_cluster": None, "on_error": STOP}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("command line") / "Datenbank für Köpfe"
    assert main(["build", str(folder), *SMALL, "--keep-audio"]) == 0
    return folder


@pytest.fixture
def shard(built: Path):
    """A shard that may be changed; it is put back."""
    path = built / "shards" / "00000.h5"
    content = path.read_bytes()
    yield path
    path.write_bytes(content)


@pytest.fixture
def builds(monkeypatch) -> list[tuple[tuple, dict]]:
    """The arguments and options with which a build would have been started."""
    seen: list[tuple[tuple, dict]] = []
    monkeypatch.setattr(
        database.commands, "build_database", lambda *arguments, **options: seen.append((arguments, options))
    )
    return seen


def test_options_left_out_are_those_of_the_recipe(builds, tmp_path, capsys):
    assert main(["build", str(tmp_path)]) == 0
    (folder, recipe, speech, noise, heads), options = builds[0]
    assert (folder, recipe, options) == (tmp_path, Recipe(), HERE)
    assert [head.name for head in heads] == ["MIT KEMAR"]
    assert (speech.kind, noise.kind) == ("synthetic speech", "synthetic noise")
    said = capsys.readouterr().out
    assert "no --speech: synthetic speech" in said
    assert "no --noise: synthetic noise" in said


def test_every_option_arrives(builds, tmp_path):
    words = (
        "--clips 9 --seed 5 --duration 2 --snr-db 15 40 --noise-types rain wind --noise-files 4 --rooms 2 "
        "--splits 50 25 25 --fs 44100 --bands 16 --high 20000 --filter-type APGF --model-type halfwave "
        "--keep-audio --scenes-per-shard 1440 --workers 3 --only train test --realizations 2 --diffuse-noise "
        "--speech-speed 0.9 1.1 --median-plane 8 "
        "--train-noise-types rain --test-noise-types wind --on-error skip"
    )
    assert main(["build", str(tmp_path), *words.split()]) == 0
    (_, recipe, *_), options = builds[0]
    assert options.pop("on_error").skip
    assert options == {"n_workers": 3, "scheduler": None, "local_cluster": None}
    assert (recipe.n_clips, recipe.seed, recipe.duration, recipe.snr_db) == (9, 5, 2.0, (15.0, 40.0))
    assert (recipe.noise_types, recipe.noise_files, recipe.n_rooms) == (("rain", "wind"), 4, 2)
    assert (recipe.shares, recipe.keep_audio) == ((0.5, 0.25, 0.25), True)
    assert (recipe.scenes_per_shard, recipe.only, recipe.n_realizations) == (1440, ("train", "test"), 2)
    assert (recipe.train_noise_types, recipe.test_noise_types) == (("rain",), ("wind",))
    assert recipe.diffuse_noise
    assert recipe.speech_speed == (0.9, 1.1)
    assert recipe.median_plane == 8
    assert recipe.format.fs == 44100
    assert recipe.format.cfs == tuple(centre_freqs(44100, 16, high=20000.0))
    assert (recipe.format.filter_type, recipe.format.model_type) == ("APGF", "halfwave")


@pytest.mark.parametrize(
    ("words", "option"),
    [(["--scheduler", "tcp://node1:8786"], "tcp://node1:8786"), (["--local-cluster", "2"], 2)],
)
def test_a_cluster_takes_the_place_of_the_workers(builds, tmp_path, words, option):
    assert main(["build", str(tmp_path), *words]) == 0
    assert builds[0][1] == HERE | {words[0].strip("-").replace("-", "_"): option}
    with pytest.raises(SystemExit, match="2"):
        main(["build", str(tmp_path), *words, "--workers", "2"])


def test_options_may_come_from_a_file(builds, tmp_path):
    config = tmp_path / "recipe.yaml"
    config.write_text("clips: 12\nsnr_db: [5, 6]\nkeep_audio: true\n", encoding="utf-8")
    assert main(["build", str(tmp_path), "--config", str(config), "--seed", "4"]) == 0
    assert [arguments[1] for arguments, _ in builds] == [
        Recipe(n_clips=12, snr_db=(5, 6), keep_audio=True, seed=4)
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("noise_types: 10", 'Parser key "noise_types": expected a list, found 10; see python -m database'),
        ("noise_types: [1]", "noise_types is [1]: expected a value such as ['10']"),
        ("train_noise_types: [1]", "train_noise_types is (1,): expected a list of names"),
        ("head: null", "head is None: expected a value such as []"),
        ("snr_db: null", "snr_db is None: expected a value such as [0.0, 30.0]"),
        ("snr_db: 10", 'Parser key "snr_db": expected a list, found 10; see python -m database build --help'),
        ("only: test", "Parser key \"only\": expected a list, found 'test'; see python -m database"),
        ("head: my.sofa", "Parser key \"head\": expected a list, found 'my.sofa'; see python"),
        ("head: {a: 1}", "Parser key \"head\": expected a list, found {'a': 1}; see python"),
        ("keep_audio: 'no'", "keep_audio is 'no': expected a value such as False"),
        ("clips: null", "clips is None: expected a value such as 700"),
    ],
)
def test_a_file_with_options_of_another_kind_is_refused(builds, tmp_path, capsys, line, message):
    (tmp_path / "recipe.yaml").write_text(line, encoding="utf-8")
    try:
        status = main(["build", str(tmp_path), "--config", str(tmp_path / "recipe.yaml")])
    except SystemExit as ended:
        status = ended.code
    assert status == 2
    assert message in capsys.readouterr().err
    assert not builds


def test_bands_may_not_go_beyond_half_the_sampling_rate(builds, tmp_path, capsys):
    assert main(["build", str(tmp_path), "--high", "8001"]) == 2
    assert "fs/2 = 8000 Hz, found low 80.0 and high 8001.0" in capsys.readouterr().err
    assert not builds


@pytest.mark.parametrize("option", ["--clockwise", "--interpolate", "--incomplete-heads"])
def test_how_heads_are_read_needs_heads(builds, tmp_path, capsys, option):
    assert main(["build", str(tmp_path), option]) == 2
    assert f"{option} given without a head" in capsys.readouterr().err
    assert not builds


def test_heads_are_turned_and_shared_out_as_told(builds, tmp_path):
    mirrored = (360 - AZIMUTHS) % 360
    for name in ("a", "b", "c"):
        head = kemar()
        write_sofa(
            tmp_path / f"{name}.sofa", spherical(mirrored), head.responses, {"Data.SamplingRate": [head.fs]}
        )
    words = [
        *("--train-head", str(tmp_path / "a.sofa"), "--validation-head", str(tmp_path / "b.sofa")),
        *("--test-head", str(tmp_path / "c.sofa")),
    ]
    assert main(["build", str(tmp_path / "data"), *words, "--clockwise"]) == 0
    (_, recipe, _, _, heads), _ = builds[0]
    assert recipe.head_splits == {"a": "train", "b": "validation", "c": "test"}
    for head in heads:
        np.testing.assert_allclose(head.response(90), kemar().response(90))


def test_heads_are_read_as_told(builds, tmp_path, shared):
    heads = [str(shared / "data" / "hrtf" / "ari" / f"hrtf_b_nh{number}.sofa") for number in (2, 14)]
    assert main(["build", str(tmp_path), "--head", *heads]) == 0
    assert len({head.name for head in builds[0][0][4]}) == 2
    sparse = str(shared / "data" / "hrtf" / "listen" / "irc_1002.sofa")
    assert main(["build", str(tmp_path), "--head", sparse]) == 2
    assert main(["build", str(tmp_path), "--head", sparse, "--interpolate"]) == 0
    assert len(builds[1][0][4][0].azimuths) == 72


def test_bad_heads_are_left_out_as_told(builds, tmp_path, capsys):
    bad = str(tmp_path / "bad.sofa")
    assert main(["build", str(tmp_path), "--head", bad]) == 2
    assert "bad.sofa: no such file" in capsys.readouterr().err
    assert main(["build", str(tmp_path), "--head", str(tmp_path)]) == 2
    assert f"{tmp_path}: a folder, expected a file" in capsys.readouterr().err
    assert main(["build", str(tmp_path), "--head", bad, bad, "--on-error", "skip"]) == 2
    assert "no head is left; 1 were left out, the first since" in capsys.readouterr().err
    assert not builds


def test_what_was_left_out_is_told_by_kind_and_is_status_3(builds, tmp_path, capsys):
    names = [("noise", "a.wav"), ("shard", "shards/00007.h5"), ("noise", "b.wav")]
    write_rejects(tmp_path, [Reject(what, name, "damaged") for what, name in names])
    assert main(["build", str(tmp_path), "--on-error", "skip"]) == 3
    assert capsys.readouterr().err.splitlines() == [
        f"left out: noise a.wav: damaged; and 1 more, see {tmp_path / 'rejects.jsonl'}",
        "left out: shard shards/00007.h5: damaged",
    ]
    assert builds[0][1]["on_error"].skip


def test_help_names_every_filterbank_and_hair_cell(capsys):
    with pytest.raises(SystemExit):
        main(["build", "--help"])
    words = capsys.readouterr().out.replace(",", " ").split()
    short = {"envelope" if " " in name else name for name in MODEL_TYPES}
    assert short | set(FILTER_TYPES) <= set(words)


def test_info_tells_what_is_there(built, capsys):
    assert main(["info", str(built)]) == 0
    said = capsys.readouterr().out
    for words in (
        "216 of 0.2 s: 72 train, 72 validation, 72 test",
        "synthetic speech, 1 train, 1 validation, 1 test",
        "synthetic noise, types: ",
        "of noise, 2 train, 2 validation, 2 test",
        "free field",
        "4 bands from 80 to",
        "GF_spectrogram, Roman, 100 frames/s, fs 8000 Hz",
        "in 1 shards",
    ):
        assert words in said


def test_a_terminal_that_cannot_show_a_name_is_no_damage(built, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert main(["info", str(built)]) == 2  # the folder's name has an umlaut


def test_info_writes_a_mixture_to_listen_to(built, tmp_path, capsys):
    path = tmp_path / "mixture.wav"
    assert main(["info", str(built), "--play", "100", str(path)]) == 0
    signal, fs = soundfile.read(path)
    with Database(built) as stored:
        np.testing.assert_allclose(signal, stored.read_audio(100), atol=2**-15)
    assert fs == 8000
    assert "mixture 100 is in" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("number", "message"),
    [("216", "216 is not one of the scenes"), ("x", "--play x: expected the number of a mixture")],
)
def test_a_mixture_that_is_not_there_is_a_bad_argument(built, tmp_path, capsys, number, message):
    assert main(["info", str(built), "--play", number, str(tmp_path / "mixture.wav")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "mixture.wav").exists()


def test_a_mixture_is_written_as_wav_alone(built, tmp_path, capsys):
    path = tmp_path / "mixture.flac"
    assert main(["info", str(built), "--play", "100", str(path)]) == 2
    assert f"--play {path}: expected a name that ends in .wav" in capsys.readouterr().err
    assert not path.exists()


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["--version"])
    assert capsys.readouterr().out == f"python -m database {own_version()}\n"


def test_verify_finds_a_sound_database_sound(built, capsys):
    assert main(["verify", str(built)]) == 0
    assert "1 shards, all sound" in capsys.readouterr().out


def test_a_flipped_byte_is_found(built, shard, capsys):
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    assert main(["verify", str(built)]) == 1
    assert "shards/00000.h5" in capsys.readouterr().out


def test_a_truncated_shard_is_damage_to_info_and_verify(built, shard, capsys):
    shard.write_bytes(shard.read_bytes()[:1000])
    assert main(["info", str(built)]) == 1
    assert "00000.h5" in capsys.readouterr().err
    assert main(["verify", str(built)]) == 1
    assert "shards/00000.h5" in capsys.readouterr().out


def test_an_unfinished_database_is_told(built, shard, capsys):
    manifest = built / "manifest.jsonl"
    lines = manifest.read_bytes()
    manifest.write_bytes(b"")
    try:
        assert main(["info", str(built)]) == 1
    finally:
        manifest.write_bytes(lines)
    assert "not finished, 1 of 1 shards" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["info", "verify"])
def test_no_database_is_a_bad_argument(command, tmp_path, capsys):
    assert main([command, str(tmp_path)]) == 2
    assert f"{tmp_path}: no database there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model-type", "Cochlea"], "unknown model_type 'Cochlea', expected one of"),
        (["--snr-db", "30", "0"], "snr_db is 30.0 to 0.0 dB"),
        (["--speech", "nowhere"], "nowhere"),
        (["--head", "nowhere.sofa"], "nowhere.sofa"),
        (["--noise-types", "bagpipe"], "noise type 'bagpipe'"),
        (["--clips", "2"], "2 speakers cannot be shared out"),
        (
            ["--splits", "0.7", "0.2", "0.1"],
            "splits are [0.7, 0.2, 0.1]: expected three percentages, none negative",
        ),
    ],
)
def test_bad_input_ends_with_one_line(tmp_path, capsys, words, message):
    assert main(["build", str(tmp_path / "new"), *SMALL, *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("words", "helper"),
    [
        ("fly", ""),
        ("build", " build"),
        ("download kemar", " download"),
        ("build x --clips many", " build"),
        ("build x --klips 1", " build"),
    ],
)
def test_bad_arguments_end_with_status_2(words, helper, capsys):
    with pytest.raises(SystemExit) as caught:
        main(words.split())
    assert caught.value.code == 2
    assert re.fullmatch(rf"error: .*; see python -m database{helper} --help\n", capsys.readouterr().err)


def test_another_recipe_in_the_folder_is_refused(built, capsys):
    assert main(["build", str(built), *SMALL, "--keep-audio", "--seed", "1"]) == 2
    assert "seed: 1 given, 0 in the folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (OSError(errno.ENOSPC, "no space left on the device", "00000.h5"), 4, "no space left"),
        (PermissionError(errno.EACCES, "not allowed", "00000.h5"), 4, "not allowed"),
        (ChildProcessError("a worker process died"), 4, "a worker process died"),
        (MemoryError(), 4, "not enough memory"),
        (BlockingIOError("another process builds there"), 4, "another process builds there"),
        (ConnectionError("no Dask scheduler answers"), 4, "no Dask scheduler answers"),
        (KeyboardInterrupt(), 130, "interrupted; the same command goes on"),
        (Terminated(), 143, "terminated; the same command goes on"),
        (FileNotFoundError(errno.ENOENT, "no such file", "a.wav"), 2, "a.wav"),
    ],
)
def test_statuses_tell_whose_fault_it_is(monkeypatch, tmp_path, capsys, error, status, message):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(database.commands, "build_database", fails)
    assert main(["build", str(tmp_path)]) == status
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", ["info", "verify"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_any_command(built, monkeypatch, capsys, command, number, status):
    before = signal.getsignal(number)
    monkeypatch.setattr(database.commands, "_check_is_database", lambda _: signal.raise_signal(number))
    assert main([command, str(built)]) == status
    assert capsys.readouterr().err.count("\n") == 1
    assert signal.getsignal(number) == before


def test_download_is_handed_on(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(database.download, "download", lambda name, to: seen.append((name, to)))
    assert main(["download", "esc50", "--to", str(tmp_path)]) == 0
    assert seen == [("esc50", tmp_path)]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize(
    "words",
    [["-m", "database", "verify", "{built}"], ["-m", "database", "--help"], ["train_doa.py", "--help"]],
)
def test_output_that_cannot_be_written_is_an_error_in_one_line(built, words):
    command = [sys.executable, *(word.format(built=built) for word in words)]
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        run = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert run.returncode == 4
    assert run.stderr.splitlines()[-1].startswith("error: [Errno 28]")
    assert "Exception ignored" not in run.stderr


@pytest.mark.skipif(os.name == "nt", reason="needs a shell that can close a stream")
def test_closed_streams_change_nothing_but_what_is_said(built, tmp_path):
    def run(streams: str, *words) -> subprocess.CompletedProcess:
        command = f"{shlex.join([sys.executable, *map(str, words)])} {streams}"
        return subprocess.run(command, shell=True, cwd=ROOT, capture_output=True)

    for streams in ("2>&-", "<&- >&- 2>&-"):
        assert run(streams, "-m", "database", "verify", built).returncode == 0
    said = run("2>&-", "train_doa.py", "locate", tmp_path / "nowhere.wav")
    assert (said.returncode, said.stdout) == (2, b"")  # not where the answer belongs


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_an_error_that_cannot_be_said_keeps_its_status(tmp_path):
    for command in ("-m database verify", "train_doa.py locate"):
        words = [sys.executable, *command.split(), str(tmp_path / "nowhere")]
        with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
            assert subprocess.run(words, cwd=ROOT, stderr=full).returncode == 2


def test_the_command_line_answers_at_once():
    """Nothing heavy is imported before the arguments are understood."""
    heavy = "import sys, database.__main__; print({'numpy', 'scipy', 'numba', 'h5py'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", heavy], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process")
@pytest.mark.parametrize(
    ("number", "status", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_ends_all_processes_and_leaves_nothing_half_done(tmp_path, number, status, word):
    folder = tmp_path / "interrupted"
    words = ["build", str(folder), *SMALL, "--clips", "30", "--workers", "2"]
    # Its own process group, interrupted as a whole, as a terminal does.
    process = subprocess.Popen(
        [sys.executable, "-m", "database", *words],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not (folder / "scratch").exists() and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, number)
    try:
        _, said = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == status
    assert word in said
    assert "Traceback" not in said
    assert {path.name for path in folder.iterdir()} <= {
        "plan.json",
        "manifest.jsonl",
        "shards",
    }  # not finished
    assert not list(folder.glob("**/*.partial"))
