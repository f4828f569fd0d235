"""A damaged database: the scenarios of `benchmarks.faults.damage` with a few tries each."""

import shutil
from dataclasses import replace

import pytest

from benchmarks.faults import damage
from benchmarks.faults.damage import RECIPE
from database.build import build
from database.store import verify


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return build(tmp_path_factory.mktemp("damage") / "sound", RECIPE, n_workers=0, progress=False)


@pytest.fixture
def copy(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "copy")


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("scenario", [scenario for scenario, _ in damage.SCENARIOS], ids=lambda s: s.__name__)
def test_damage_is_named_never_read_and_repaired(scenario, tmp_path):
    outcome = scenario(tmp_path, 3)
    assert outcome.kept == outcome.tried == 3, outcome.notes


def test_each_repair_is_told(copy, capsys):
    (copy / "shards" / "00001.h5").unlink()
    (copy / "plan.json").unlink()
    build(copy, RECIPE, n_workers=0, progress=False)
    assert capsys.readouterr().out.splitlines() == [
        f"{copy}: repairing plan.json: missing or damaged, drawn again",
        f"{copy}: repairing shards/00001.h5: missing, though the manifest names it",
    ]
    assert verify(copy) == []


def test_a_damaged_list_of_rejects_is_drawn_again_as_it_says(copy):
    rejects = copy / "rejects.jsonl"
    rejects.write_bytes(b'{"what": "noi')
    with pytest.raises(ValueError, match=r"line 1 is damaged .*; remove the file and plan\.json"):
        build(copy, RECIPE, n_workers=0, progress=False)
    rejects.unlink()
    (copy / "plan.json").unlink()
    build(copy, RECIPE, n_workers=0, progress=False)
    assert verify(copy) == []


@pytest.mark.parametrize("recipe", [replace(RECIPE, seed=1), replace(RECIPE, duration=0.2)])
def test_a_damaged_plan_is_not_replaced_by_that_of_another_recipe(copy, recipe):
    (copy / "plan.json").write_bytes(b"{}")
    before = content(copy)
    with pytest.raises(ValueError, match="shards were built by another plan than this recipe"):
        build(copy, recipe, n_workers=0, progress=False)
    assert content(copy) == before


def test_shards_without_plan_and_manifest_are_refused_and_kept(copy):
    (copy / "plan.json").unlink()
    (copy / "manifest.jsonl").unlink()
    before = content(copy)
    with pytest.raises(ValueError, match="not empty and holds no database"):
        build(copy, RECIPE, n_workers=0, progress=False)
    assert content(copy) == before


@pytest.mark.parametrize("n_written", [0, 5, 500])
def test_what_a_build_leaves_that_was_killed_at_its_start_is_no_obstacle(sound, tmp_path, n_written):
    folder = tmp_path / "killed"
    (folder / "shards").mkdir(parents=True)
    (folder / "plan.json.0123.partial").write_bytes(b"{")
    (folder / "plan.json").write_bytes((sound / "plan.json").read_bytes()[:n_written])
    (folder / "rejects.jsonl").write_bytes(b'{"what": "noise", "na'[:n_written])
    (folder / "manifest.jsonl").write_bytes((sound / "manifest.jsonl").read_bytes()[: min(n_written, 100)])
    (folder / "shards" / "00000.h5.4567.partial").write_bytes(b"half")
    build(folder, RECIPE, n_workers=0, progress=False)
    names = {path.relative_to(folder) for path in content(folder)}
    assert names == {path.relative_to(sound) for path in content(sound)}
