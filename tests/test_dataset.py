"""The database as PyTorch datasets: what is read, and in which order."""

import pickle

import numpy as np
import pytest
import torch
from cue_database import FORMAT, N_FRAMES, write_database
from hypothesis import given
from hypothesis import strategies as st

from database.store import Database
from localization.dataset import CueDataset, EpochSampler, load_batches


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    with Database(write_database(tmp_path_factory.mktemp("database"))) as opened:
        yield opened


def test_a_split_holds_its_clips_and_no_other(database):
    for split in ("train", "validation", "test"):
        assert len(CueDataset(database, split)) == 72
        assert set(database.columns["split"][CueDataset(database, split).indices]) == {split}


def test_a_batch_is_what_the_database_holds_in_the_order_asked(database):
    dataset = CueDataset(database, "test")
    cues, classes = dataset.__getitems__([5, 71, 0])
    stored = database.read_cues(dataset.indices[[5, 71, 0]])
    assert cues.shape == (3, 4, FORMAT.n_bands, N_FRAMES)
    np.testing.assert_array_equal(cues.numpy(), stored.astype(np.float32))
    assert classes.tolist() == [5, 71, 0]
    one_cues, one_class = dataset[71]
    assert torch.equal(one_cues, cues[1]) and one_class == 71


@pytest.mark.parametrize("n_clips", [1, 5, 71, 72, 100])
def test_what_is_mapped_does_not_depend_on_how_many_clips_are_read_at_a_time(database, n_clips):
    dataset = CueDataset(database, "test")
    found = dataset.mapped(lambda cues: cues[:, 1].amax(dim=2).double().numpy(), n_clips)
    whole, _ = dataset.__getitems__(range(72))
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, whole[:, 1].amax(dim=2).numpy())


def test_cues_become_single_precision_before_anything_is_computed(database):
    cues, classes = CueDataset(database, "train").__getitems__([0])
    assert cues.dtype == torch.float32 and classes.dtype == torch.int64


def test_a_split_that_is_not_there_is_refused_with_those_that_are(database):
    with pytest.raises(ValueError, match=r"no clip of the split 'valid'.*test, train, validation"):
        CueDataset(database, "valid")


def test_a_dataset_reaches_another_process(database):
    dataset = CueDataset(database, "train")
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy.__getitems__([3])[0], dataset.__getitems__([3])[0])


@given(n_clips=st.integers(1, 300), seed=st.integers(0, 2**31), epoch=st.integers(0, 1000))
def test_an_epoch_visits_every_clip_once_and_depends_on_seed_and_epoch_alone(n_clips, seed, epoch):
    sampler = EpochSampler(n_clips, seed)
    list(sampler)
    sampler.set_epoch(epoch)
    order = list(sampler)
    assert sorted(order) == list(range(n_clips))
    assert order == list(EpochSampler(n_clips, seed, epoch)) == list(sampler)


@given(n_shards=st.integers(1, 300), seed=st.integers(0, 100))
def test_clips_of_few_shards_come_in_any_order_and_those_of_many_group_by_group(n_shards, seed):
    shards = np.arange(3 * n_shards) // 3
    order = list(EpochSampler(3 * n_shards, seed, shards=shards))
    if n_shards <= 256:
        assert order == list(EpochSampler(3 * n_shards, seed))
    else:
        assert sorted(order) == list(range(3 * n_shards))
        first, second = (set(shards[half]) for half in np.split(np.array(order), [3 * -(-n_shards // 2)]))
        assert not first & second and len(first) - len(second) in (0, 1)


def test_epochs_and_seeds_differ():
    orders = [tuple(EpochSampler(100, seed, epoch)) for seed in (0, 1) for epoch in (0, 1)]
    assert len(set(orders)) == 4


def test_without_a_seed_clips_come_as_they_stand():
    assert list(EpochSampler(7)) == list(range(7))


@pytest.mark.parametrize("n_processes", [1, 2, 3, 4])
def test_processes_that_train_together_share_an_epoch(monkeypatch, n_processes):
    monkeypatch.setattr("localization.dataset._n_processes", lambda: n_processes)
    shares = []
    for rank in range(n_processes):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        shares.append(list(EpochSampler(10, seed=3)))
        assert len(shares[-1]) == len(EpochSampler(10, seed=3))
    assert {len(share) for share in shares} == {-(-10 // n_processes)}
    assert set().union(*shares) == set(range(10))


@pytest.mark.parametrize("n_workers", [0, 1])
def test_a_loader_gives_whole_batches_of_a_shuffled_epoch(database, n_workers):
    dataset = CueDataset(database, "train")
    loader = load_batches(dataset, 20, seed=1, n_workers=n_workers)
    epochs = [torch.cat([classes for _, classes in loader]) for _ in range(2)]
    assert [len(classes) for _, classes in loader] == [20, 20, 20]
    expected = dataset.classes[list(EpochSampler(72, seed=1))[:60]]
    assert torch.equal(epochs[0], epochs[1]) and epochs[0].tolist() == expected.tolist()


def test_a_loader_without_a_seed_gives_every_clip_in_order(database):
    batches = list(load_batches(CueDataset(database, "test"), 50, n_workers=0))
    assert torch.cat([classes for _, classes in batches]).tolist() == list(range(72))


def test_a_loader_leaves_the_global_random_state_alone(database):
    loader = load_batches(CueDataset(database, "train"), 8, seed=0, n_workers=0)
    before = torch.random.get_rng_state()
    list(loader)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("batch_size", [0, 73])
def test_a_batch_that_cannot_be_filled_is_refused(database, batch_size):
    with pytest.raises(ValueError, match=f"batch_size must lie between 1 and the 72 .* found {batch_size}"):
        load_batches(CueDataset(database, "train"), batch_size, seed=0)


def test_thinned_classes_are_geometrically_rare(database):
    dataset = CueDataset(database, "train")
    dataset.indices, dataset.classes = np.arange(7200), np.repeat(np.arange(72), 100)
    thinned = dataset.thinned(20, np.random.default_rng(0))
    counts = np.bincount(thinned.classes)
    expected = [round(100 * 20 ** (-k / 71)) for k in range(72)]
    assert sorted(counts, reverse=True) == expected and (expected[0], expected[-1]) == (100, 5)
    assert counts.tolist() != expected  # the classes are in a random order
    assert (np.diff(thinned.indices) > 0).all()
    np.testing.assert_array_equal(thinned.classes, dataset.classes[thinned.indices])
    again, other = (dataset.thinned(20, np.random.default_rng(seed)) for seed in (0, 1))
    np.testing.assert_array_equal(again.indices, thinned.indices)
    assert np.bincount(other.classes).tolist() != counts.tolist()


def test_a_thinned_dataset_reads_its_clips_and_loses_no_class(database):
    whole = CueDataset(database, "train")
    thinned = whole.thinned(1000, np.random.default_rng(0))
    assert sorted(thinned.classes) == list(range(72))  # there is one clip of each
    cues, classes = thinned.__getitems__([3])
    place = int(np.flatnonzero(whole.indices == thinned.indices[3])[0])
    assert torch.equal(cues, whole.__getitems__([place])[0]) and classes == whole.classes[place]
    assert len(whole) == 72


def test_shards_are_dealt_anew_in_every_epoch():
    firsts = [frozenset(list(EpochSampler(600, 0, epoch, np.arange(600)))[:200]) for epoch in range(3)]
    assert len(set(firsts)) == 3
