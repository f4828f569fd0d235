"""A database from a recipe: the same bytes however it is built, and in them what the plan says."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest
import soundfile

import database.rendering
from binaural_feature import CueFormat
from database.build import build
from database.hrtf import AZIMUTHS, Head, kemar
from database.plan import Plan, draw_plan
from database.recipe import Recipe
from database.rendering import Renderer
from database.scenes import draw_scene
from database.sources import noise_source, speech_source
from database.store import Database, read_manifest, verify
from database.version import PACKAGE, own_version
from database.workers import shards_of_processes

RECIPE = Recipe(
    n_clips=3,
    duration=0.2,
    format=CueFormat.default(8000, 4),
    noise_types=2,
    noise_files=6,
    scenes_per_shard=50,
    keep_audio=True,
)
COLUMNS = {
    *("azimuth", "split", "speech_file", "speaker", "speech_start", "noise_type"),
    *("noise_file_1", "noise_file_2", "noise_azimuth_1", "noise_azimuth_2", "noise_start_1", "noise_start_2"),
    *("snr_db_1", "snr_db_2", "snr_db", "peak_db", "head", "room", "scene"),
}


def digests(folder: Path) -> dict[str, str]:
    assert verify(folder) == []
    return {row["name"]: row["sha256"] for row in read_manifest(folder)}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("build") / "undisturbed", RECIPE, n_workers=0, progress=False)


@pytest.fixture
def folder(undisturbed: Path, tmp_path: Path) -> Path:
    """A copy of the finished database, to be disturbed."""
    return shutil.copytree(undisturbed, tmp_path / "copy")


def test_the_database_is_complete(undisturbed):
    with Database(undisturbed) as database:
        assert len(database) == 3 * 72
        assert database.shape == (4, 4, 20)
        assert database.format == RECIPE.format
        assert database.duration == RECIPE.duration
        assert database.columns.keys() == COLUMNS
        assert database.columns["scene"].tolist() == list(range(3 * 72))
        assert database.columns["room"].tolist() == [-1] * 3 * 72
    names = {path.name for path in undisturbed.iterdir()}
    assert names == {"plan.json", "manifest.jsonl", "shards", "database.h5"}
    assert len(digests(undisturbed)) == 5


@pytest.mark.parametrize("n_workers", [1, 3])
def test_the_bytes_do_not_depend_on_the_workers(undisturbed, tmp_path, n_workers):
    built = build(tmp_path / "built", RECIPE, n_workers=n_workers, progress=False)
    assert digests(built) == digests(undisturbed)


def test_a_missing_shard_is_built_again(undisturbed, folder):
    (folder / "shards" / "00002.h5").unlink()
    build(folder, RECIPE, n_workers=0, progress=False)
    assert digests(folder) == digests(undisturbed)


def test_heads_may_be_given_in_another_order_when_a_build_goes_on(tmp_path):
    left, right = (
        Head(name, kemar().fs, AZIMUTHS, kemar().responses * levels)
        for name, levels in (("left", [1, 1e-3]), ("right", [1e-3, 1]))
    )
    folder = build(tmp_path / "two", RECIPE, heads=[left, right], n_workers=0, progress=False)
    before = digests(folder)
    (folder / "shards" / "00002.h5").unlink()
    build(folder, RECIPE, heads=[right, left], n_workers=0, progress=False)
    assert digests(folder) == before


def test_what_a_killed_build_left_is_removed_and_built_again(undisturbed, folder):
    manifest = folder / "manifest.jsonl"
    lines = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(b"".join(lines[:2]) + lines[2][:20])  # the third line is torn
    (folder / "shards" / "00004.h5").unlink()
    (folder / "shards" / "00004.h5.0.partial").write_bytes(b"unfinished")
    (folder / "scratch").mkdir()
    (folder / "scratch" / "noise_0.npy").write_bytes(b"of no use")
    (folder / "database.h5").unlink()
    build(folder, RECIPE, n_workers=0, progress=False)
    assert digests(folder) == digests(undisturbed)
    assert not (folder / "scratch").exists()


def test_a_stopped_build_goes_on_and_keeps_what_is_finished(undisturbed, tmp_path, monkeypatch):
    write_shard = database.rendering.write_shard

    def interrupted(folder, number, *rest):
        if number == 2:
            raise KeyboardInterrupt
        return write_shard(folder, number, *rest)

    monkeypatch.setattr(database.rendering, "write_shard", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "stopped", RECIPE, n_workers=0, progress=False)
    assert not (tmp_path / "stopped" / "scratch").exists()
    finished = tmp_path / "stopped" / "shards" / "00001.h5"
    written = finished.stat().st_mtime_ns
    monkeypatch.undo()
    build(tmp_path / "stopped", RECIPE, n_workers=0, progress=False)
    assert finished.stat().st_mtime_ns == written
    assert digests(tmp_path / "stopped") == digests(undisturbed)


def test_the_same_build_again_does_nothing_and_says_so(folder, capsys):
    before = {path: path.stat().st_mtime_ns for path in (folder / "shards").iterdir()}
    build(folder, RECIPE)
    assert {path: path.stat().st_mtime_ns for path in (folder / "shards").iterdir()} == before
    assert "all 216 scenes are there already" in capsys.readouterr().out


def test_another_recipe_is_refused_with_the_difference(folder):
    with pytest.raises(
        ValueError, match=r"another database: seed: 1 given, 0 in the folder; keep_audio: False"
    ):
        build(folder, replace(RECIPE, seed=1, keep_audio=False), n_workers=0)


def test_another_head_is_refused(folder):
    louder = Head(kemar().name, kemar().fs, AZIMUTHS, 2 * kemar().responses)
    with pytest.raises(ValueError, match=f"head {kemar().name} has changed"):
        build(folder, RECIPE, heads=[louder], n_workers=0)
    other = Head("other", louder.fs, AZIMUTHS, louder.responses)
    with pytest.raises(ValueError, match=f"head {kemar().name} is missing; head other is new"):
        build(folder, RECIPE, heads=[other], n_workers=0)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "letter.txt").write_text("Dear Sir", encoding="utf-8")
    with pytest.raises(ValueError, match="not empty and holds no database"):
        build(tmp_path, RECIPE, n_workers=0)


@pytest.mark.parametrize(
    "name",
    ["plan.json", "manifest.jsonl", "rejects.jsonl", "shards/notes.txt", "scratch/noise.npy", "x.partial"],
)
def test_a_file_of_somebody_else_with_one_of_our_names_is_refused_and_kept(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text('{"plan": "to sleep"}', encoding="utf-8")
    with pytest.raises(ValueError, match=f"holds no database: .* found {name}"):
        build(tmp_path, RECIPE, n_workers=0)
    assert (tmp_path / name).read_text(encoding="utf-8") == '{"plan": "to sleep"}'


def test_what_somebody_put_into_a_database_stays(undisturbed, folder):
    for name in ("shards/notes.txt", "scratch/x", "scratch/noise_0.npy", "film.partial"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"")
    (folder / "shards" / "00002.h5").unlink()
    build(folder, RECIPE, n_workers=0, progress=False)
    now, before = (
        {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
        for root in (folder, undisturbed)
    )
    assert now - before == {"shards/notes.txt", "scratch/x", "film.partial"}


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({"speech": "data"}, r"speech is 'data': expected speech_source\('data'\)"),
        ({"noise": Path("data")}, r"noise is 'data': expected noise_source\('data'\)"),
        ({"heads": kemar()}, "heads is Head.*: expected a list of heads"),
        ({"heads": ["head.sofa"]}, "expected a list of heads, as read_head"),
    ],
)
def test_what_is_no_source_and_no_head_is_refused(tmp_path, sources, message):
    with pytest.raises(ValueError, match=message):
        build(tmp_path / "database", RECIPE, **sources)


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ({"n_workers": -1}, "n_workers is -1: expected 1 or more, or 0"),
        ({"local_cluster": 0}, "local_cluster is 0: expected 1 process or more"),
        (
            {"n_workers": 2, "scheduler": "tcp://x:1"},
            "n_workers and scheduler are given: expected one of them",
        ),
    ],
)
def test_workers_that_there_cannot_be_are_refused(tmp_path, engine, message):
    with pytest.raises(ValueError, match=message):
        build(tmp_path / "database", RECIPE, **engine)
    assert not (tmp_path / "database").exists()


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A folder of three speakers and one of three noises, as files."""
    rng = np.random.default_rng(0)
    for name in ("speech/anna", "speech/bert", "speech/carl", "noise/hiss"):
        (tmp_path / name).mkdir(parents=True)
        for take in range(3):
            soundfile.write(tmp_path / name / f"{take}.wav", 0.1 * rng.standard_normal(8000), 8000)
    return tmp_path


def recorded_build(recorded: Path, **arguments) -> Path:
    recipe = replace(RECIPE, noise_types=1, noise_files=3)
    speech, noise = speech_source(recorded / "speech"), noise_source(recorded / "noise")
    return build(recorded / "database", recipe, speech, noise, progress=False, **arguments)


def test_changed_sources_are_refused(recorded):
    recorded_build(recorded, n_workers=0)
    soundfile.write(recorded / "noise" / "hiss" / "1.wav", 0.2 * np.ones(8000), 8000)
    with pytest.raises(ValueError, match=r"noise hiss/1\.wav has changed"):
        recorded_build(recorded, n_workers=0)
    (recorded / "noise" / "hiss" / "1.wav").unlink()
    with pytest.raises(ValueError, match=r"noise hiss/1\.wav is missing"):
        recorded_build(recorded, n_workers=0)
    with pytest.raises(ValueError, match="noise: synthetic noise given, folder in the folder"):
        build(
            recorded / "database",
            replace(RECIPE, noise_types=1, noise_files=3),
            speech_source(recorded / "speech"),
            n_workers=0,
        )


def test_an_error_in_a_worker_process_arrives_with_the_name_of_the_file(recorded, monkeypatch):
    def plan_and_remove(*arguments):
        plan = draw_plan(*arguments)
        for segment in plan.segments:
            (recorded / "speech" / segment.file).unlink(missing_ok=True)
        return plan

    monkeypatch.setattr("database.build.draw_plan", plan_and_remove)
    with pytest.raises(OSError, match=r"\w+.\d\.wav"):
        recorded_build(recorded, n_workers=2)
    assert {path.name for path in (recorded / "database").iterdir()} == {"plan.json"}


def test_a_dead_worker_is_an_error_and_no_endless_wait(tmp_path):
    environment = dict(os.environ)
    with pytest.raises(ChildProcessError, match="a worker process died at its start"):
        list(shards_of_processes(partial(os._exit, 1), range(3), lambda _: None, tmp_path, (), n_workers=2))
    assert dict(os.environ) == environment


def test_a_worker_that_dies_between_two_shards_is_replaced(undisturbed, tmp_path, monkeypatch):
    append, killed = database.build.append_manifest, []

    def append_and_kill(*arguments):
        append(*arguments)
        if not killed:  # the only worker, which waits for its next shard
            (worker,) = (child for child in active_children() if child.name.startswith("SpawnProcess"))
            worker.kill()
            killed.append(worker)
            time.sleep(1)  # until its executor has seen it

    monkeypatch.setattr("database.build.append_manifest", append_and_kill)
    built = build(tmp_path / "built", RECIPE, n_workers=1, progress=False)
    assert killed and digests(built) == digests(undisturbed)


def test_a_script_without_a_main_guard_is_told_so_and_does_not_wait_for_ever(tmp_path):
    script = tmp_path / "unguarded.py"
    script.write_text(
        "from database.build import build\n"
        "from database.recipe import Recipe\n"
        "build('database', Recipe(n_clips=12, noise_types=2, noise_files=6), n_workers=2)\n",
        encoding="utf-8",
    )
    environment = os.environ | {"PYTHONPATH": str(Path(database.__file__).parents[1])}
    ended = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 1
    assert 'put the call under `if __name__ == "__main__":`' in ended.stderr
    assert "a worker process died" in ended.stderr


def test_another_version_is_told(folder):
    path = folder / "plan.json"
    text = path.read_text(encoding="utf-8")
    version = json.loads(text)["plan"]["versions"]["numpy"]
    from_before = Plan.from_dict(json.loads(text)["plan"])
    from_before.versions.update({"numpy": "1.0", PACKAGE: "0.0.1"})
    database.store.write_plan(folder, from_before.to_dict())
    with pytest.warns(UserWarning, match=f"{PACKAGE} 0.0.1 → {own_version()}, .*numpy 1.0 → {version}"):
        build(folder, RECIPE, n_workers=0, progress=False)


def test_the_mixtures_have_the_levels_that_the_columns_say(undisturbed):
    speech, noise = speech_source(), noise_source()
    read = {
        **{recording.file: partial(speech.read, recording, 8000) for recording in speech.recordings},
        **{recording.file: partial(noise.read, recording, 8000) for recording in noise.recordings},
    }
    head = kemar().resampled(8000)

    def heard(name, start, azimuth):
        first = round(start * 8000)
        clip = read[str(name)]()[first : first + 1600]
        return np.stack([np.convolve(clip, ear)[:1600] for ear in head.response(azimuth).T], axis=1).ravel()

    with Database(undisturbed) as stored:
        for index in range(0, 216, 9):
            fact = {name: values[index] for name, values in stored.columns.items()}
            mixture = stored.read_audio(index).astype(float).ravel()
            parts = np.stack(
                [
                    heard(fact["speech_file"], fact["speech_start"], fact["azimuth"]),
                    heard(fact["noise_file_1"], fact["noise_start_1"], fact["noise_azimuth_1"]),
                    heard(fact["noise_file_2"], fact["noise_start_2"], fact["noise_azimuth_2"]),
                ],
                axis=1,
            )
            gains, *_ = np.linalg.lstsq(parts, mixture)
            assert np.abs(parts @ gains - mixture).max() < 1e-5 * np.abs(mixture).max()
            scaled = parts * gains
            target, first, second = np.mean(scaled**2, axis=0)
            both = np.mean(scaled[:, 1:].sum(axis=1) ** 2)
            snrs_db = 10 * np.log10([target / first, target / second, target / both])
            assert snrs_db == pytest.approx([fact[f"snr_db{n}"] for n in ("_1", "_2", "")], abs=0.01)
            assert 20 * np.log10(np.abs(mixture).max()) == pytest.approx(fact["peak_db"], abs=0.01)
            assert -21 <= fact["peak_db"] <= -1


def test_the_cues_are_those_of_the_mixtures(undisturbed, tmp_path):
    with Database(undisturbed) as stored:
        plan = Plan.from_dict(stored.plan)
        renderer = Renderer(plan, speech_source(), noise_source(), [kemar()], tmp_path)
        for number in (200, 0, 71, 72):  # in another order, and by another renderer
            mixture, facts = renderer.mixture(draw_scene(plan, number))
            cues = RECIPE.format.cues(mixture.signal).astype(np.float16)
            np.testing.assert_array_equal(stored.read_cues([number])[0], cues)
            np.testing.assert_array_equal(stored.read_audio(number), mixture.signal.astype(np.float32))
            assert {name: stored.columns[name][number] for name in facts} == facts


def test_rooms_are_heard_and_drawn_from_the_seed(tmp_path):
    speech, noise = speech_source(), noise_source()
    plan = draw_plan(replace(RECIPE, n_rooms=1), speech, noise, [kemar()])
    dry = replace(plan, rooms=())
    one, other, anechoic = (
        Renderer(drawn, speech, noise, [kemar()], tmp_path / str(number))
        for number, drawn in enumerate((plan, plan, dry))
    )
    scene, later = draw_scene(plan, 5), draw_scene(plan, 100)
    assert scene.room == later.room == 0
    mixture, facts = one.mixture(scene)
    assert facts["room"] == 0
    other.mixture(later)
    np.testing.assert_array_equal(mixture.signal, other.mixture(scene)[0].signal)
    assert not np.allclose(mixture.signal, anechoic.mixture(draw_scene(dry, 5))[0].signal, atol=0.01)


def test_real_recordings_make_a_database(shared, tmp_path):
    speech = speech_source(shared / "data" / "LibriSpeech")
    noise = noise_source(shared / "data" / "ESC-50")
    recipe = replace(RECIPE, format=CueFormat.default(16000, 8), noise_types=3, noise_files=4)
    folder = build(tmp_path / "real", recipe, speech, noise, n_workers=0, progress=False)
    with Database(folder) as stored:
        splits, speakers = stored.columns["split"], stored.columns["speaker"]
        assert {str(speakers[splits == split][0]) for split in ("train", "validation", "test")} == set(
            speakers
        )
        assert set(np.unique(stored.columns["noise_type"])) <= {noise.label for noise in noise.recordings}
        left = (stored.columns["azimuth"] > 45) & (stored.columns["azimuth"] < 135)
        ild = stored.read_cues(range(len(stored)))[:, 1].astype(float).mean(axis=(1, 2))
        assert ild[left].mean() > 3 > ild[~left].mean()
