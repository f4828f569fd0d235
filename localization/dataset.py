"""The HDF5 database as PyTorch datasets.

Conventions: a batch is a pair of tensors, cues float32 (n_clips, n_cues, n_bands, n_frames) in the order itd,
ild, ic, energy, and classes int64 (n_clips,). The database stores float16; it becomes float32 here, before
anything is computed.

- `CueDataset`: one split of a database, read a batch at a time
- `EpochSampler`: the order of an epoch, decided by seed and epoch alone
- `load_batches`: a loader that reads ahead while the model computes
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from database.store import Database
from localization.angles import azimuth_class

Batch = tuple[Tensor, Tensor]


class CueDataset(Dataset[Batch]):
    """Cue maps and azimuth classes of one split of a database.

    Parameters
    ----------
    database : Database
        An open database; it reopens its files in each worker process by itself.
    split : str, optional
        "train", "validation" or "test"; all clips if left out.

    Attributes
    ----------
    database : Database
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

    def __init__(self, database: Database, split: str | None = None) -> None:
        splits = np.asarray(database.columns["split"]).astype(str)
        if split is not None and split not in splits:
            found = ", ".join(sorted(set(splits))) or "no clip at all"
            raise ValueError(f"{database.folder}: has no clip of the split {split!r}, found: {found}")
        self.database = database
        self.indices = np.flatnonzero(splits == split) if split is not None else np.arange(len(database))
        self.classes = azimuth_class(database.columns["azimuth"][self.indices])

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Batch:
        cues, classes = self.__getitems__([index])
        return cues[0], classes[0]

    def __getitems__(self, indices: Sequence[int] | NDArray[np.intp]) -> Batch:
        """A whole batch at once: one call into HDF5 rather than one for each clip."""
        chosen = np.asarray(indices)
        cues = torch.from_numpy(self.database.read_cues(self.indices[chosen])).float()
        return cues, torch.from_numpy(self.classes[chosen])


class EpochSampler(Sampler[int]):
    """The order in which an epoch visits the clips: a permutation drawn from (seed, epoch), or as they stand.

    Nothing else enters, so an epoch can be repeated without those before it. Where several processes train
    together, each takes its share, all of one length.

    Parameters
    ----------
    n_clips : int
        How many clips there are.
    seed : int, optional
        Of the permutations; as they stand if left out.
    epoch : int
        Which comes first.

    Examples
    --------
    >>> sampler = EpochSampler(5, seed=0)
    >>> first = list(sampler)
    >>> sampler.set_epoch(1)
    >>> sorted(first) == sorted(sampler), first == list(sampler)
    (True, False)
    """

    def __init__(self, n_clips: int, seed: int | None = None, epoch: int = 0) -> None:
        self.n_clips = n_clips
        self.seed = seed
        self.epoch = epoch

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.n_clips // _n_processes())

    def __iter__(self) -> Iterator[int]:
        order = np.arange(self.n_clips)
        if self.seed is not None:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(self.n_clips)
        rank = torch.distributed.get_rank() if _n_processes() > 1 else 0
        # Those at the front come again at the end where the clips do not divide evenly.
        shares = np.resize(order, len(self) * _n_processes())
        return iter(shares[rank :: _n_processes()].tolist())


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
        sampler=EpochSampler(len(dataset), seed, epoch),
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
