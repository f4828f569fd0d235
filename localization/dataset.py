"""The HDF5 database as PyTorch datasets.

Conventions: a batch is a pair of tensors, cues float32 (n_clips, n_cues, n_bands, n_frames) in the order itd,
ild, ic, energy, and classes int64 (n_clips,). The database stores float16; it becomes float32 here, before
anything is computed.

- `CueDataset`: one split of a database, read a batch at a time
- `EpochSampler`: the order of an epoch, decided by seed and epoch alone
- `load_batches`: a loader that reads ahead while the model computes
- `format_differences`: where two cue formats part, in words
- `check_format`: refuse a database of another one
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from tqdm import tqdm

from binaural_feature import CueFormat
from database.store import Database
from localization.angles import azimuth_class

Batch = tuple[Tensor, Tensor]

SHARDS_AT_ONCE = 256  # shards among which an epoch jumps to and fro; as many are kept open


class CueDataset(Dataset[Batch]):
    """Cue maps and azimuth classes of one split of a database.

    Parameters
    ----------
    database : Database
        An open database; it reopens its files in each worker process by itself.
    split : str
        "train", "validation" or "test".

    Attributes
    ----------
    database : Database
    split : str
    indices : ndarray of int (n_clips,)
        Where in the database the clips stand.
    classes : ndarray of int (n_clips,)
        True azimuth classes.

    Raises
    ------
    ValueError
        If the database has no clip of that split.

    Examples
    --------
    >>> from database.store import Database
    >>> dataset = CueDataset(Database("noisy_hrtf"), "train")    # doctest: +SKIP
    >>> cues, classes = dataset.__getitems__([0, 71])            # doctest: +SKIP
    >>> cues.shape, classes                                      # doctest: +SKIP
    (torch.Size([2, 4, 32, 100]), tensor([ 0, 71]))
    """

    def __init__(self, database: Database, split: str) -> None:
        self.database = database
        self.split = split
        self.indices = database.matching("split", split)
        if not len(self.indices):
            found = ", ".join(database.distinct("split", np.arange(len(database)))) or "no clip at all"
            raise ValueError(f"{database.folder}: has no clip of the split {split!r}, found: {found}")
        self.classes = azimuth_class(database.columns["azimuth"][self.indices])

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Batch:
        cues, classes = self.__getitems__([index])
        return cues[0], classes[0]

    def __getitems__(self, indices: Sequence[int] | NDArray[np.intp]) -> Batch:
        """A whole batch at once: one call into HDF5 rather than one for each clip."""
        chosen = np.asarray(indices)
        # By numpy: what torch would take for it lies between small pieces that an open shard keeps, and was
        # seen not to go back: 35 MB a shard.
        cues = self.database.read_cues(self.indices[chosen]).astype(np.float32)
        return torch.from_numpy(cues), torch.from_numpy(self.classes[chosen])

    def mapped(self, function: Callable[[Tensor], NDArray[Any]], n_clips: int = 256) -> NDArray[Any]:
        """What a function makes of the cue maps, read some clips at a time; a terminal shows how far it is.

        Parameters
        ----------
        function : callable
            From cue maps, float32 (n, n_cues, n_bands, n_frames), to an array (n, ...).
        n_clips : int
            Clips at a time.

        Returns
        -------
        ndarray (len(self), ...)
            In the dataset's order.
        """
        values: NDArray[Any] | None = None
        with tqdm(total=len(self), desc=self.split, unit=" scenes", leave=False, disable=None) as bar:
            for start in range(0, len(self), n_clips):
                batch = range(start, min(start + n_clips, len(self)))
                found = function(self.__getitems__(batch)[0])
                if values is None:
                    # Small arrays, each kept where it was made, between large ones, would hold theirs too.
                    values = np.empty((len(self), *found.shape[1:]), found.dtype)
                values[batch.start : batch.stop] = found
                bar.update(len(batch))
        assert values is not None
        return values

    def sources(self) -> dict[str, list[str]]:
        """Names of the speakers, noise recordings and heads that the clips are made of.

        Noise files that were cut from one recording are one.
        """
        names = {
            name: self.database.distinct(name, self.indices)
            for name in ("speaker", "noise_file_1", "noise_file_2", "head")
        }
        origins = {noise["file"]: noise["origin"] for noise in self.database.plan.get("noises", [])}
        noises = {origins.get(file, file) for file in (*names["noise_file_1"], *names["noise_file_2"])}
        return {"speakers": names["speaker"], "noise recordings": sorted(noises), "heads": names["head"]}

    def thinned(self, ratio: float, rng: np.random.Generator) -> "CueDataset":
        """A part of this dataset in which some classes are rare.

        Parameters
        ----------
        ratio : float
            Of the most frequent class to the rarest, at least 1: in a random order of the n classes, the k-th
            (from 0 on) keeps a share of ratio ** (-k / (n - 1)) of its clips, and one at least.
        rng : Generator
            Draws the order of the classes, and the clips that are kept.

        Returns
        -------
        CueDataset
            Of the same open database, its clips in the same order.
        """
        order = rng.permutation(np.unique(self.classes))
        shares = ratio ** -np.linspace(0, 1, len(order))
        kept = []
        for k, share in zip(order, shares, strict=True):
            clips = np.flatnonzero(self.classes == k)
            kept.append(rng.choice(clips, max(1, round(share * len(clips))), replace=False))
        thinned, chosen = copy.copy(self), np.sort(np.concatenate(kept))
        thinned.indices, thinned.classes = self.indices[chosen], self.classes[chosen]
        return thinned


class EpochSampler(Sampler[int]):
    """The order in which an epoch visits the clips: drawn from (seed, epoch), or as they stand.

    Nothing else enters, so an epoch can be repeated without those before it. Where several processes train
    together, each takes its share, all of one length.

    All orders are equally probable where the clips lie in at most 256 shards, which are 184,320 clips in a
    database built by default. Where they lie in more, an epoch visits one group of shards after the other, so
    that the files in use can stay open and in the system's memory. The shards are dealt at random into groups
    of equal size, 128 to 256 each, anew in every epoch; within a group all orders of its clips are equally
    probable.

    What that changes: the clips of a batch come from one group and not from the whole. If a share p of the
    clips of speech has something in common, a speaker for instance, its share in a group of n clips of speech
    has the standard deviation sqrt(p (1 - p) / n). With 10 clips of speech in a shard, as by default, this is
    at most 1.4 % with 128 shards and 1 % with 256; from one batch of 128 to the next it is 4.4 % in any
    order. The azimuths do not deviate, since each shard holds all 72 equally often.

    Parameters
    ----------
    n_clips : int
        How many clips there are.
    seed : int, optional
        Of the orders; as they stand if left out.
    epoch : int
        Which comes first.
    shards : ndarray of int (n_clips,), optional
        In which shard each clip lies; all in one if left out.

    Examples
    --------
    >>> sampler = EpochSampler(5, seed=0)
    >>> first = list(sampler)
    >>> sampler.set_epoch(1)
    >>> sorted(first) == sorted(sampler), first == list(sampler)
    (True, False)
    """

    def __init__(
        self,
        n_clips: int,
        seed: int | None = None,
        epoch: int = 0,
        shards: NDArray[np.integer] | None = None,
    ) -> None:
        self.n_clips = n_clips
        self.seed = seed
        self.epoch = epoch
        self.shards = shards

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.n_clips // _n_processes())

    def __iter__(self) -> Iterator[int]:
        rank = torch.distributed.get_rank() if _n_processes() > 1 else 0
        # Those at the front come again at the end where the clips do not divide evenly.
        shares = np.resize(self._order(), len(self) * _n_processes())
        return iter(shares[rank :: _n_processes()].data)  # a list would take five times the memory

    def _order(self) -> NDArray[np.int64]:
        if self.seed is None:
            return np.arange(self.n_clips)
        rng = np.random.default_rng((self.seed, self.epoch))
        order = rng.permutation(self.n_clips)
        n_shards = 1 if self.shards is None else int(self.shards.max()) + 1
        if self.shards is None or n_shards <= SHARDS_AT_ONCE:
            return order
        n_groups = -(-n_shards // SHARDS_AT_ONCE)
        group_of_shard = rng.permutation(n_shards) * n_groups // n_shards
        return order[np.argsort(group_of_shard[self.shards[order]], kind="stable")]


def load_batches(
    dataset: CueDataset, batch_size: int, *, seed: int | None = None, epoch: int = 0, n_workers: int = 1
) -> DataLoader[Batch]:
    """Loader of a dataset's batches that reads ahead while the model computes.

    Parameters
    ----------
    dataset : CueDataset
        What to read.
    batch_size : int
        Clips in a batch.
    seed : int, optional
        Shuffle, anew in every epoch, and leave out a last batch that is not full; in order if left out.
    epoch : int
        Which comes first: the workers begin to read before training tells the sampler its epoch.
    n_workers : int
        Processes that read ahead; 0 reads in this one.

    Returns
    -------
    DataLoader
        Of (cues, classes).

    Raises
    ------
    ValueError
        If `batch_size` is not positive, or, when shuffling, above the number of clips.
    """
    if batch_size < 1 or (seed is not None and batch_size > len(dataset)):
        raise ValueError(
            f"batch_size must lie between 1 and the {len(dataset)} clips there are, found {batch_size}"
        )
    return DataLoader(
        dataset,
        batch_size,
        sampler=EpochSampler(len(dataset), seed, epoch, dataset.database.shard_numbers(dataset.indices)),
        drop_last=seed is not None,
        collate_fn=_as_it_is,
        num_workers=n_workers,
        persistent_workers=n_workers > 0,
        prefetch_factor=4 if n_workers > 0 else None,
        # A generator of its own: a loader without one draws from torch's global state.
        generator=torch.Generator(),
    )


def _as_it_is(batch: Any) -> Any:
    """A batch is read as one, so there is nothing to collate. (A lambda would not reach a worker process.)"""
    return batch


def _n_processes() -> int:
    """How many processes train together."""
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def format_differences(found: CueFormat, expected: CueFormat) -> list[str]:
    """Where two cue formats part, one text for each field.

    Parameters
    ----------
    found, expected : CueFormat

    Returns
    -------
    list of str
        Empty where they agree. Centre frequencies agree within a millionth: libraries differ in the last bit.

    Examples
    --------
    >>> format_differences(CueFormat.default(fs=8000), CueFormat.default(fs=8000, filter_type="APGF"))
    ["filter_type: found 'GF_spectrogram', expected 'APGF'"]
    """
    ours, theirs = found.to_dict(), expected.to_dict()
    cfs, expected_cfs = ours.pop("cfs"), theirs.pop("cfs")
    texts = [
        f"{name}: found {ours[name]!r}, expected {theirs[name]!r}"
        for name in ours
        if ours[name] != theirs[name]
    ]
    if len(cfs) != len(expected_cfs) or not np.allclose(cfs, expected_cfs, rtol=1e-6, atol=0):
        texts.append(f"cfs: found {_bands(cfs)}, expected {_bands(expected_cfs)}")
    return texts


def check_format(database: Database, expected: CueFormat, taker: str) -> None:
    """Refuse a database whose cues mean something else than those that a localizer takes.

    Parameters
    ----------
    database : Database
    expected : CueFormat
        Of the localizer.
    taker : str
        What it is called in the message.

    Raises
    ------
    ValueError
        If they differ; the message lists the differences.
    """
    differences = format_differences(database.format, expected)
    if differences:
        raise ValueError(
            f"{database.folder}: its cues are not of the format that {taker} takes: " + "; ".join(differences)
        )


def _bands(cfs: list[float]) -> str:
    return f"{len(cfs)} bands from {cfs[0]:.6g} to {cfs[-1]:.6g} Hz"
