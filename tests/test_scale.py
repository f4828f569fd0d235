"""Databases of very many shards: how often files are opened, and that all is found and read as with few."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.random_database import write_random_database
from binaural_feature import CueFormat
from database.recipe import Recipe
from database.store import (
    Database,
    append_manifest,
    open_shards,
    plan_digest,
    read_manifest,
    repair,
    shard_name,
    verify,
    write_plan,
    write_shard,
    write_view,
)
from localization import dataset as datasets
from localization.dataset import CueDataset, EpochSampler, load_batches

ROOT = Path(__file__).parents[1]
N_SHARDS, PER_SHARD = 400, 2
N_CLIPS = N_SHARDS * PER_SHARD
FORMAT = CueFormat.default(n_bands=1)
PLAN = {"n_shards": N_SHARDS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A database of tiny shards; each clip's cues are its number, and so are its facts."""
    folder = tmp_path_factory.mktemp("many")
    write_plan(folder, PLAN)
    clips = np.arange(N_CLIPS)
    columns = {"azimuth": 5.0 * (clips % 72), "split": np.repeat(["train", "test"], N_CLIPS // 2)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)  # not what is tested here
        for number in range(N_SHARDS):
            these = slice(number * PER_SHARD, (number + 1) * PER_SHARD)
            cues = np.broadcast_to(clips[these, None, None, None], (PER_SHARD, 4, 1, 2))
            facts = {name: values[these] for name, values in columns.items()}
            row = write_shard(folder, number, cues, facts, FORMAT.to_dict() | {"duration": 0.02})
            append_manifest(folder, row, plan_digest(PLAN))
    write_view(folder)
    return folder


@pytest.fixture
def opened(monkeypatch):
    """How often each shard was opened."""
    counts: Counter[str] = Counter()

    class Counted(open_shards.Shard):
        def __init__(self, folder, row, trusted=False):
            counts[row["name"]] += 1
            super().__init__(folder, row, trusted)

    monkeypatch.setattr(open_shards, "Shard", Counted)
    return counts


def few_open(monkeypatch, n):
    monkeypatch.setattr(open_shards, "MANY_OPEN", n)
    monkeypatch.setattr(datasets, "SHARDS_AT_ONCE", n)


def most_in_use(shards):
    """The most shards of which some clips were visited and some were not, at any place of an order."""
    first = [np.flatnonzero(shards == shard)[0] for shard in np.unique(shards)]
    last = [np.flatnonzero(shards == shard)[-1] for shard in np.unique(shards)]
    changes = np.bincount(first, minlength=len(shards) + 1) - np.bincount(last, minlength=len(shards) + 1)
    return np.cumsum(changes).max()


def test_columns_of_many_shards_open_the_first_alone(folder, opened):
    with Database(folder) as database:
        assert database.columns["azimuth"].tolist() == (5.0 * (np.arange(N_CLIPS) % 72)).tolist()
        assert database.matching("split", "test").tolist() == list(range(N_CLIPS // 2, N_CLIPS))
    assert opened == {shard_name(0): 1}


def test_no_more_files_are_open_than_the_system_allows(folder, monkeypatch):
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (50, 50))
    with Database(folder) as database:
        cues = database.read_cues(np.arange(N_CLIPS)[::-1])
        assert cues[:, 0, 0, 0].tolist() == list(range(N_CLIPS))[::-1]
        assert len(database._shards._open) == 25


def test_an_epoch_opens_hardly_a_shard_twice(folder, opened, monkeypatch):
    few_open(monkeypatch, 32)
    dataset = CueDataset(Database(folder), "train")
    loader = load_batches(dataset, 10, seed=0, n_workers=0)
    numbers = torch.cat([cues[:, 0, 0, 0] for cues, _ in loader])
    assert sorted(numbers.tolist()) == list(range(N_CLIPS // 2))
    # A few twice: the first for its attributes, and some whose group ends within a batch.
    assert N_SHARDS // 2 <= sum(opened.values()) < 1.05 * N_SHARDS // 2


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere /proc does not tell a process's memory")
def test_memory_does_not_grow_with_the_shards_that_were_read(tmp_path):
    folder = write_random_database(tmp_path / "data", Recipe(n_clips=100, shares=(1.0, 0.0, 0.0)))
    script = (
        "from pathlib import Path\n"
        "from database.store import Database\n"
        "from localization.dataset import CueDataset\n"
        "memory = lambda: 4096 * int(Path('/proc/self/statm').read_text().split()[1])\n"
        f"dataset = CueDataset(Database({str(folder)!r}), 'train')\n"
        "dataset.__getitems__(range(256))\n"
        "before = memory()\n"
        "dataset.mapped(lambda cues: cues[:, 0, 0, :1].numpy().copy())\n"
        "print(memory() - before)\n"
    )
    command = [sys.executable, "-c", script]
    grown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert int(grown) < 60e6  # of 10 shards of 37 MB in single precision


def test_a_split_of_an_epoch_is_visited_once_and_group_by_group(folder, monkeypatch):
    few_open(monkeypatch, 32)
    database = Database(folder)
    dataset = CueDataset(database, "test")
    shards = database.shard_numbers(dataset.indices)
    sampler = EpochSampler(len(dataset), seed=5, epoch=2, shards=shards)
    order = list(sampler)
    assert sorted(order) == list(range(len(dataset)))
    assert order == list(EpochSampler(len(dataset), 5, 2, shards))
    sampler.set_epoch(3)
    assert order != list(sampler)
    assert most_in_use(shards[order]) <= 32
    assert most_in_use(shards[list(EpochSampler(len(dataset), 5, 2))]) > 80


def test_damage_is_found_and_repaired_among_many(folder):
    path, view = folder / shard_name(300), folder / "database.h5"
    original = path.read_bytes(), view.read_bytes(), (folder / "manifest.jsonl").read_bytes()
    damaged = bytearray(original[0])
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    assert [damage.split(": ")[0] for damage in verify(folder)] == [shard_name(300)]
    sound, repaired = repair(folder, plan_digest(PLAN))
    assert sound == set(range(N_SHARDS)) - {300}
    assert [damage.split(": ")[0] for damage in repaired] == [shard_name(300)]
    assert len(read_manifest(folder)) == N_SHARDS - 1
    path.write_bytes(original[0])
    (folder / "manifest.jsonl").write_bytes(original[2])
    assert view.read_bytes() == original[1]
    assert verify(folder) == []
