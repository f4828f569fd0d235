"""The database on disk: what is written is read, equal content is equal bytes, and damage is never read."""

import json
import multiprocessing
import os
import pickle
import shutil
import time

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from binaural_feature import CueFormat
from database.exit_status import DamageError
from database.store import (
    Database,
    Reject,
    append_manifest,
    open_shards,
    plan_digest,
    read_manifest,
    read_plan,
    read_rejects,
    remove_leftovers,
    repair,
    scan_manifest,
    shard_name,
    verify,
    write_plan,
    write_rejects,
    write_shard,
    write_view,
)
from database.store.shard_reading import Shard

FORMAT = CueFormat.default(n_bands=4)
ATTRIBUTES = FORMAT.to_dict() | {"duration": 0.05}
CLIPS = (5, 7, 1, 4)  # of each shard
N_CLIPS = sum(CLIPS)
SPLITS = ["train", "validation", "test"]


def content(number, n_clips, audio=True):
    """Everything in one shard, as `write_shard` takes it."""
    rng = np.random.default_rng(number)
    first = sum(CLIPS[:number])
    columns = {
        "azimuth": 5.0 * np.arange(first, first + n_clips),
        "split": [SPLITS[scene % 3] for scene in range(first, first + n_clips)],
        "speaker": np.array([f"Zoë {'x' * number} {scene}" for scene in range(n_clips)]),
        "room": np.full(n_clips, -1),
        "scene": np.arange(first, first + n_clips),
    }
    cues = rng.standard_normal((n_clips, 4, 4, 5)).astype(np.float16)
    sound = rng.standard_normal((n_clips, 80, 2)).astype(np.float32) if audio else None
    return {"cues": cues, "columns": columns, "attributes": ATTRIBUTES, "audio": sound}


def append(folder, row):
    append_manifest(folder, row, plan_digest(read_plan(folder)))


def build(folder, clips=CLIPS, **options):
    """A finished database, its shards in an order that is not theirs."""
    write_plan(folder, {"seed": 0, "n_shards": len(clips)})
    for number in [*range(1, len(clips)), 0]:
        append(folder, write_shard(folder, number, **content(number, clips[number], **options)))
    write_view(folder)
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A database that no test changes."""
    return build(tmp_path_factory.mktemp("store") / "noisy hrtf ü")


@pytest.fixture
def copy(finished, tmp_path):
    """A database to damage."""
    return shutil.copytree(finished, tmp_path / "copy")


@pytest.fixture(scope="module")
def expected():
    """What the clips of the database are, by plain concatenation."""
    shards = [content(number, n_clips) for number, n_clips in enumerate(CLIPS)]
    columns = {
        name: np.concatenate([shard["columns"][name] for shard in shards]) for name in shards[0]["columns"]
    }
    return {
        "cues": np.concatenate([shard["cues"] for shard in shards]),
        "audio": np.concatenate([shard["audio"] for shard in shards]),
        "columns": columns,
    }


def tree(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


# What is written is read


def test_database_is_what_was_written(finished, expected):
    with Database(finished) as database:
        assert len(database) == N_CLIPS
        assert database.format == FORMAT
        assert database.shape == (4, FORMAT.n_bands, 5)
        assert database.duration == 0.05
        assert database.plan == {"seed": 0, "n_shards": len(CLIPS)}
        assert database.attributes["cue_names"] == ["itd", "ild", "ic", "energy"]
        assert database.attributes["cue_units"] == ["s", "dB", "1", "dB"]
        assert database.attributes["frame_rate"] == FORMAT.frame_rate
        assert list(database.columns) == list(expected["columns"])
        for name, values in expected["columns"].items():
            np.testing.assert_array_equal(database.columns[name], values)
            assert database.columns[name].dtype.kind == values.dtype.kind
        for clip in range(N_CLIPS):
            np.testing.assert_array_equal(database.read_audio(clip), expected["audio"][clip])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, N_CLIPS - 1), max_size=40))
def test_cues_come_in_the_order_asked(finished, expected, indices):
    with Database(finished) as database:
        cues = database.read_cues(np.array(indices, dtype=int))
    assert cues.dtype == np.float16
    assert cues.shape == (len(indices), 4, 4, 5)
    np.testing.assert_array_equal(cues, expected["cues"][np.array(indices, dtype=int)])


def test_few_open_files_are_enough(finished, expected, monkeypatch):
    monkeypatch.setattr(open_shards, "MANY_OPEN", 2)
    order = np.random.default_rng(0).permutation(N_CLIPS)
    with Database(finished) as database:
        for clip in order:
            np.testing.assert_array_equal(database.read_cues([clip])[0], expected["cues"][clip])
        assert len(database._shards._open) == 2


def test_closed_database_opens_again(finished, expected):
    database = Database(finished)
    database.close()
    np.testing.assert_array_equal(database.read_cues([3]), expected["cues"][[3]])


def test_two_databases_and_the_view_are_open_at_once(finished, expected):
    with (
        Database(finished) as first,
        Database(finished) as second,
        h5py.File(finished / "database.h5") as view,
    ):
        for cues in (first.read_cues([6]), second.read_cues([6]), view["cues"][6:7]):
            np.testing.assert_array_equal(cues, expected["cues"][[6]])


def _read_in_another_process(database, indices, results):
    results.put(database.read_cues(indices))


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_other_processes_read_too(finished, expected, method):
    if method == "forkserver":
        pytest.skip("differs from spawn in nothing that matters here")
    context = multiprocessing.get_context(method)
    results = context.Queue()
    with Database(finished) as database:
        database.read_cues(np.arange(N_CLIPS))  # all files are open when the process starts
        process = context.Process(target=_read_in_another_process, args=(database, [16, 0, 9], results))
        process.start()
        np.testing.assert_array_equal(results.get(timeout=60), expected["cues"][[16, 0, 9]])
        process.join()
        np.testing.assert_array_equal(database.read_cues([8]), expected["cues"][[8]])


def test_pickled_database_holds_no_files(finished, expected):
    with Database(finished) as database:
        again = pickle.loads(pickle.dumps(database))
    np.testing.assert_array_equal(again.read_cues([2, 1]), expected["cues"][[2, 1]])
    np.testing.assert_array_equal(again.columns["scene"], expected["columns"]["scene"])


def test_view_is_the_whole_database_wherever_it_is_moved(copy, expected, tmp_path):
    moved = copy.rename(tmp_path / "moved")
    with h5py.File(moved / "database.h5") as view:
        np.testing.assert_array_equal(view["cues"][:], expected["cues"])
        np.testing.assert_array_equal(view["audio"][:], expected["audio"])
        np.testing.assert_array_equal(view["scene"][:], expected["columns"]["scene"])
        assert view["speaker"].asstr()[:].tolist() == expected["columns"]["speaker"].tolist()
        assert view.attrs["duration"] == 0.05


def equal_columns(folder, expected):
    """Whether the columns are those that were written, and of how many shards they were read."""
    with Database(folder) as database:
        for name, values in expected["columns"].items():
            np.testing.assert_array_equal(database.columns[name], values)
        return len(database._shards._open)


def test_columns_are_read_from_the_view_alone(copy, expected):
    for name in [shard_name(number) for number in range(1, len(CLIPS))]:
        (copy / name).write_bytes(b"no longer a shard")
    assert equal_columns(copy, expected) == 1  # the first, for its attributes


def test_database_needs_no_view(copy, expected):
    (copy / "database.h5").unlink()
    assert equal_columns(copy, expected) == len(CLIPS)


def test_columns_come_from_the_shards_where_the_view_is_that_of_others(copy, expected):
    columns = content(0, 5)["columns"] | {"azimuth": np.full(5, 355.0)}
    append(copy, write_shard(copy, 0, **(content(0, 5) | {"columns": columns})))
    with Database(copy) as database:
        assert (
            database.columns["azimuth"].tolist() == [355.0] * 5 + expected["columns"]["azimuth"][5:].tolist()
        )
    assert verify(copy) == ["database.h5: not that of these shards; the same build again writes it"]


@pytest.mark.parametrize(("name", "value"), [("split", "test"), ("speaker", "Zoë x 3"), ("azimuth", 35.0)])
def test_clips_of_which_a_fact_holds(copy, expected, name, value):
    matching = np.flatnonzero(expected["columns"][name] == value)
    assert len(matching)
    np.testing.assert_array_equal(Database(copy).matching(name, value), matching)
    (copy / "database.h5").unlink()
    np.testing.assert_array_equal(Database(copy).matching(name, value), matching)


def test_clips_know_their_shards(finished):
    assert Database(finished).shard_numbers([0, 4, 5, 11, 12, 13, 16]).tolist() == [0, 0, 1, 1, 2, 3, 3]


def test_audio_that_was_not_kept_is_refused(tmp_path):
    with Database(build(tmp_path / "mute", audio=False)) as database:
        assert not database.has_audio
        with pytest.raises(ValueError, match="built without audio"):
            database.read_audio(0)


@pytest.mark.parametrize("indices", [[N_CLIPS], [-1], [0.0], 3, [[0]], [True, False]])
def test_bad_indices_are_refused(finished, indices):
    with Database(finished) as database, pytest.raises(ValueError, match="indices: "):
        database.read_cues(indices)


def test_unknown_column_is_a_key_error(finished):
    with Database(finished) as database, pytest.raises(KeyError, match="elevation"):
        database.columns["elevation"]


# The same content is the same bytes


def test_equal_databases_are_equal_bytes(finished, tmp_path):
    time.sleep(1.1)  # HDF5 counts whole seconds, where it counts them
    again = build(tmp_path / "again")
    assert tree(again) == tree(finished)
    with Database(again) as first, Database(finished) as second:
        assert first.digest == second.digest


def test_the_bytes_do_not_depend_on_how_long_objects_live(finished, tmp_path, monkeypatch):
    """As where a profiler or a debugger looks at the running functions, and keeps what they hold."""
    create, kept = h5py.Group.create_dataset, []

    def create_and_keep(*arguments, **options):
        kept.append(create(*arguments, **options))
        return kept[-1]

    monkeypatch.setattr(h5py.Group, "create_dataset", create_and_keep)
    assert tree(build(tmp_path / "again")) == tree(finished)


def test_digest_tells_databases_apart(finished, copy):
    append(copy, write_shard(copy, 0, **(content(0, 5) | {"cues": np.zeros((5, 4, 4, 5))})))
    with Database(copy) as changed, Database(finished) as original:
        assert changed.digest != original.digest


# What cannot be stored is refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cues": np.full((5, 4, 4, 5), 65510.0)}, "00000.h5: expected cues within ±65504, .* found 65510"),
        ({"cues": np.full((5, 4, 4, 5), -1e9)}, "the range of float16"),
        ({"cues": np.full((5, 4, 4, 5), np.nan)}, "the range of float16, found nan"),
        (
            {"cues": np.zeros((5, 3, 4, 5))},
            r"expected cues \(n_clips, 4, n_bands, n_frames\), got shape \(5, 3, 4, 5\)",
        ),
        ({"cues": np.zeros((0, 4, 4, 5))}, "expected cues"),
        ({"cues": np.zeros((6, 4, 4, 5))}, "5 of audio, but 6 of cues"),
        ({"audio": np.zeros((5, 2, 80))}, r"expected audio \(n_clips, n_samples, 2\)"),
        ({"audio": np.full((5, 80, 2), np.inf)}, "audio holds NaN or infinity"),
        ({"columns": {"azimuth": np.zeros(4)}}, "4 of azimuth, but 5 of cues"),
        ({"columns": {"azimuth": np.zeros((5, 1))}}, "column azimuth: expected"),
        ({"columns": {"azimuth": [None] * 5}}, "column azimuth: expected"),
        ({"columns": {"cues": np.zeros(5)}}, "no column may be called cues"),
        ({"attributes": FORMAT.to_dict()}, "found no duration"),
        ({"attributes": {"duration": 1.0}}, "found no fs, cfs, "),
        ({"attributes": ATTRIBUTES | {"note": None}}, "attribute note: expected numbers or texts"),
    ],
)
def test_shard_that_cannot_be_stored_is_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        write_shard(tmp_path, 0, **(content(0, 5) | changes))
    assert not tree(tmp_path)


@pytest.mark.parametrize(
    "plan", [{}, {"n_shards": -1}, {"n_shards": "4"}, {"n_shards": 1, "snr": float("nan")}]
)
def test_plan_that_is_none_is_refused(tmp_path, plan):
    with pytest.raises(ValueError, match="plan: expected"):
        write_plan(tmp_path, plan)


@pytest.mark.parametrize("fault", ["fsync", "replace"])
def test_failed_write_leaves_nothing_and_says_what_it_needs(finished, copy, monkeypatch, fault):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full) if fault == "fsync" else monkeypatch.setattr(
        type(copy), "replace", full
    )
    with pytest.raises(
        OSError, match=r"No space left on device\): \d+ bytes needed, \d+ bytes free: .*00000.h5"
    ):
        write_shard(copy, 0, **(content(0, 5) | {"cues": np.ones((5, 4, 4, 5))}))
    assert tree(copy) == tree(finished)


# Killed and resumed


def test_torn_line_is_passed_over_and_replaced(copy):
    path = copy / "manifest.jsonl"
    whole = path.read_bytes()
    rows = read_manifest(copy)
    for length in range(len(whole) - len(whole.splitlines()[-1]), len(whole)):
        path.write_bytes(whole[:length])
        assert read_manifest(copy) == rows[1:]  # shard 0 was written last
    append(copy, rows[0])
    assert path.read_bytes() == whole


def test_last_line_of_a_shard_holds(copy):
    row = write_shard(copy, 1, **(content(1, 7) | {"cues": np.ones((7, 4, 4, 5))}))
    append(copy, row)
    assert read_manifest(copy)[1] == row | {"plan": plan_digest(read_plan(copy))}
    with Database(copy) as database:
        assert (database.read_cues(np.arange(5, 12)) == 1).all()


def test_a_sound_view_is_left_alone(copy):
    written = (copy / "database.h5").stat().st_mtime_ns
    write_view(copy)
    assert (copy / "database.h5").stat().st_mtime_ns == written


def test_repair_finds_nothing_in_a_sound_database(finished, copy):
    assert repair(copy, plan_digest(read_plan(copy))) == ({0, 1, 2, 3}, [])
    assert tree(copy) == tree(finished)


def test_repair_removes_what_is_not_sound_and_nothing_else(finished, copy):
    (copy / shard_name(1)).write_bytes(flipped((copy / shard_name(1)).read_bytes(), 3000, 1))
    manifest = copy / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes().replace(b'"clips": 4', b'"clips": 9'))  # of shard 3, on line 3
    (copy / "database.h5").write_bytes(b"")
    (copy / "shards" / "00000.h5.0123.partial").write_bytes(b"half")
    sound, repaired = repair(copy, plan_digest(read_plan(copy)))
    assert sound == {0, 2}
    assert repaired == [
        "manifest.jsonl: line 3 is damaged",
        "shards/00001.h5: damaged, its sha256 differs from the manifest's",
        "shards/00003.h5: not in the manifest",
        "database.h5: damaged, its sha256 differs",
    ]
    assert tree(copy).keys() == {"plan.json", "manifest.jsonl", shard_name(0), shard_name(2)}
    for number in (3, 1):
        append(copy, write_shard(copy, number, **content(number, CLIPS[number])))
    write_view(copy)
    manifest.unlink()  # its lines stand in another order
    assert tree(copy).items() <= tree(finished).items() and len(tree(copy)) == len(tree(finished)) - 1


@pytest.mark.parametrize("tail", [b"torn", b"x" * 5000])
def test_repair_cuts_off_what_follows_the_manifest(finished, copy, tail):
    with (copy / "manifest.jsonl").open("ab") as manifest:
        manifest.write(tail)
    assert verify(copy) == ["manifest.jsonl: line 5 is torn"]
    sound, repaired = repair(copy, plan_digest(read_plan(copy)))
    assert (sound, repaired) == ({0, 1, 2, 3}, ["manifest.jsonl: line 5 is torn"])
    assert verify(copy) == []


def test_shards_of_another_plan_are_refused_and_kept(copy):
    write_plan(copy, {"seed": 1, "n_shards": len(CLIPS)})
    before = tree(copy)
    with pytest.raises(ValueError, match=r"00000.h5: built by another plan, says manifest.jsonl"):
        repair(copy, plan_digest(read_plan(copy)))
    assert tree(copy) == before
    with pytest.raises(ValueError, match=r"another plan than this one built shards/00000.h5, "):
        Database(copy)
    assert "shards/00000.h5: built by another plan" in verify(copy)


def test_rejects_are_there_where_something_was_left_out(tmp_path):
    rejects = [Reject("speech", "Zoë/1.wav", "silent"), Reject("shard", shard_name(3), "killed 3 workers")]
    assert read_rejects(tmp_path) == []
    write_rejects(tmp_path, rejects)
    assert read_rejects(tmp_path) == rejects
    (tmp_path / "rejects.jsonl").write_bytes(b'{"what": "speech"}\n')
    with pytest.raises(DamageError, match=r"rejects.jsonl: line 1 is damaged .*; remove the file"):
        read_rejects(tmp_path)
    assert any(damage.startswith("rejects.jsonl: line 1 is damaged") for damage in verify(tmp_path))
    write_rejects(tmp_path, [])
    assert not (tmp_path / "rejects.jsonl").exists()


def test_leftovers_of_a_killed_writer_are_told_and_removed(finished, copy):
    (copy / "shards" / "00001.h5.0123.partial").write_bytes(b"half")
    assert verify(copy) == ["shards/00001.h5.0123.partial: left behind by a killed build"]
    assert remove_leftovers(copy) == ["shards/00001.h5.0123.partial"]
    assert tree(copy) == tree(finished)


def test_unfinished_database_is_refused_with_what_is_missing(tmp_path):
    write_plan(tmp_path, {"n_shards": 3})
    for number in (0, 2):
        append(tmp_path, write_shard(tmp_path, number, **content(number, 5)))
    with pytest.raises(ValueError, match=r"not finished, 1 of 3 shards are to be built \(shards/00001.h5\)"):
        Database(tmp_path)
    assert "shards/00001.h5: not in the manifest, so never finished" in verify(tmp_path)


def test_folder_that_is_no_database_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"plan.json: no such file, so .* is not a database"):
        Database(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        verify(tmp_path / "nowhere")


# Damage


def flipped(original, position, mask):
    damaged = bytearray(original)
    damaged[position] ^= mask
    return bytes(damaged)


def everything(folder, row):
    with Shard(folder, row) as shard:
        n_clips = row["clips"]
        columns = [shard.stored_column(name).tolist() for name in shard.column_names]
        audio = [shard.audio(clip).tobytes() for clip in range(n_clips)]
        return shard.attributes, shard.cues(0, n_clips).tobytes(), audio, columns


def test_sound_database_has_no_damages(finished):
    assert verify(finished) == []


def test_each_of_200_flipped_bytes_is_found_and_none_is_read(copy):
    rng = np.random.default_rng(0)
    rows = read_manifest(copy)
    sound = {row["name"]: everything(copy, row) for row in rows}
    for _ in range(200):
        row = rows[rng.integers(len(rows))]
        path = copy / row["name"]
        original = path.read_bytes()
        path.write_bytes(flipped(original, rng.integers(len(original)), rng.integers(1, 256)))
        assert [damage.split(": ")[0] for damage in verify(copy)] == [row["name"]]
        try:
            read = everything(copy, row)
        except (OSError, ValueError) as error:
            assert row["name"] in str(error).replace(os.sep, "/")
        else:
            assert read == sound[row["name"]]  # the byte belongs to nothing
        path.write_bytes(original)


def test_flipped_cues_are_an_error_with_the_file(copy, expected):
    path = copy / shard_name(1)
    original = path.read_bytes()
    position = original.index(expected["cues"][6].tobytes())
    path.write_bytes(flipped(original, position + 9, 1))
    with Database(copy) as database:
        np.testing.assert_array_equal(database.read_cues([5, 7]), expected["cues"][[5, 7]])
        with pytest.raises(DamageError, match=r"00001\.h5: damaged"):
            database.read_cues([5, 6])


def test_every_flipped_byte_of_plan_and_manifest_is_found(copy):
    for name in ("plan.json", "manifest.jsonl"):
        path = copy / name
        original = path.read_bytes()
        for position in range(len(original)):
            path.write_bytes(flipped(original, position, 1 << position % 8))
            assert any(damage.startswith(name) for damage in verify_records(copy)), position
            with pytest.raises(DamageError, match=r"plan.json|manifest.jsonl|not finished"):
                Database(copy)
        path.write_bytes(original)


def verify_records(folder):
    """What `verify` says of plan and manifest, without reading the shards."""
    damages = scan_manifest(folder, torn=True)[1]
    try:
        read_plan(folder)
    except ValueError as error:
        damages.append(str(error).removeprefix(f"{folder}{os.sep}"))
    return damages


@pytest.mark.parametrize(
    ("fault", "damage"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "damaged, .* bytes, but the manifest says"),
        (
            lambda path: path.write_bytes(path.read_bytes() + b"\0"),
            "damaged, .* bytes, but the manifest says",
        ),
        (lambda path: path.write_bytes(b""), "damaged, 0 bytes, but the manifest says"),
        (lambda path: path.unlink(), "missing"),
    ],
)
def test_truncated_and_missing_shards_are_named(copy, fault, damage):
    fault(copy / shard_name(1))
    (found,) = verify(copy)
    assert found.startswith(shard_name(1))
    with pytest.raises(DamageError, match=damage) as caught, Database(copy) as database:
        database.read_cues([6])
    assert "00001.h5" in str(caught.value)


def test_damaged_line_is_named_and_refused(copy):
    path = copy / "manifest.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"clips": 7', b'"clips": 9'))
    assert "manifest.jsonl: line 1 is damaged" in verify(copy)
    with pytest.raises(ValueError, match=r"manifest.jsonl: line 1 is damaged"):
        Database(copy)


def test_shard_that_no_plan_knows_is_named(copy):
    shutil.copy(copy / shard_name(0), copy / shard_name(9))
    assert verify(copy) == ["shards/00009.h5: not part of the database"]
    append(copy, write_shard(copy, 9, **content(0, 5)))
    assert verify(copy)[0] == "shards/00009.h5: not in the plan"
    with pytest.raises(ValueError, match=r"names shards/00009.h5, which the plan does not"):
        Database(copy)


def test_shards_of_different_kinds_are_refused(copy):
    other = content(2, 1) | {"attributes": ATTRIBUTES | {"model_type": "halfwave"}}
    append(copy, write_shard(copy, 2, **other))
    with Database(copy) as database, pytest.raises(ValueError, match=r"00002.h5: of another kind"):
        database.read_cues([12])
    assert "shards/00002.h5: of another kind than the shards before it" in verify(copy)
    with pytest.raises(ValueError, match=r"00002.h5: of another kind"):
        write_view(copy)


def test_damaged_view_is_named(copy):
    path = copy / "database.h5"
    original = path.read_bytes()
    path.write_bytes(original[: len(original) // 2])
    assert [damage.split(": ")[0] for damage in verify(copy)] == ["database.h5"]
    path.unlink()
    assert verify(copy) == ["database.h5: missing; the same build again writes it"]
    write_view(copy)
    assert path.read_bytes() == original


def test_no_column_is_read_from_a_damaged_view(copy, expected):
    path = copy / "database.h5"
    original = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        path.write_bytes(flipped(original, rng.integers(len(original)), rng.integers(1, 256)))
        assert [damage.split(": ")[0] for damage in verify(copy)] == ["database.h5"]
        equal_columns(copy, expected)


@pytest.mark.parametrize(
    "make",
    [
        lambda file: file.__setitem__("azimuth", h5py.ExternalLink("secret.h5", "/azimuth")),
        lambda file: file.create_dataset("azimuth", (17,), "f8", external=[("/etc/passwd", 0, 136)]),
        lambda file: file.create_virtual_dataset("azimuth", h5py.VirtualLayout((17,), "f8")),
        lambda file: file.create_dataset("azimuth", (16,), "f8", chunks=(16,)),
        lambda file: file.create_group("azimuth"),
        lambda file: None,
    ],
    ids=["external link", "external storage", "virtual", "shape", "group", "empty"],
)
def test_hostile_view_is_passed_over(copy, expected, make):
    path = copy / "database.h5"
    head = path.read_bytes()[:512]
    with h5py.File(path, "w", userblock_size=512) as file:
        make(file)
    path.write_bytes(head + path.read_bytes()[512:])
    with Database(copy) as database:
        np.testing.assert_array_equal(database.columns["azimuth"], expected["columns"]["azimuth"])
        assert len(database._shards._open) == len(CLIPS)


def hostile(folder, make):
    """A shard with its true size in the manifest, but made by somebody else."""
    path = folder / shard_name(0)
    with h5py.File(path, "w") as file:
        make(file)
    row = {"name": shard_name(0), "clips": 5, "bytes": path.stat().st_size, "sha256": "0" * 64}
    append(folder, row)


@pytest.mark.parametrize(
    "make",
    [
        lambda file: file.__setitem__("cues", h5py.ExternalLink("../../secret.h5", "/cues")),
        lambda file: file.create_dataset("cues", (5, 4, 4, 5), "f2", external=[("/etc/passwd", 0, 4000)]),
        lambda file: file.create_dataset("cues", (5, 4, 4000, 5000), "f2", chunks=(1, 4, 32, 100)),
        lambda file: file.create_group("cues"),
        lambda file: file.create_dataset("cues", (5,), "f8"),
        lambda file: None,
    ],
    ids=["external link", "external storage", "gigabytes", "group", "shape", "empty"],
)
def test_hostile_shard_is_refused(copy, make):
    hostile(copy, make)
    with pytest.raises((OSError, ValueError), match=r"00000\.h5"):
        Database(copy)
    assert any(damage.startswith("shards/00000.h5: ") for damage in verify(copy))


def test_another_version_of_the_format_is_refused(copy):
    append(
        copy, write_shard(copy, 0, **(content(0, 5) | {"attributes": ATTRIBUTES | {"format_version": 99}}))
    )
    with pytest.raises(DamageError, match="version 99 of the format, expected 1"):
        Database(copy)


def test_records_are_plain_json(finished):
    lines = (finished / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["clips"] for line in lines] == [7, 1, 4, 5]
    assert json.loads((finished / "plan.json").read_text(encoding="utf-8"))["plan"] == read_plan(finished)
