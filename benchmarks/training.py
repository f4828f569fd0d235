"""Clips a second that the loader delivers, beside what the default model consumes; memory of its processes.

    python -m benchmarks.training --database noisy_hrtf --json training.json

An epoch of the training split is read in the order of training, for different numbers of processes that read
ahead: warm, out of the system's memory, and cold, after it was told to forget the files (Linux; how fast a
cold epoch is then depends on the disk alone). The model's steps are those of training, forward, backward and
AdamW, on a batch that is there already, with as many threads as torch takes. At last both meet: real
training, and the share of its time in which it waited for the next batch.
"""

from __future__ import annotations

import argparse
import csv
import io
import multiprocessing
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, redirect_stdout
from math import nan
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from benchmarks import Target, at_least_one, median_seconds, print_table, print_targets, write_results
from benchmarks.random_database import write_random_database
from database.recipe import Recipe
from database.store import Database
from localization.dataset import Batch, CueDataset, EpochSampler, load_batches
from localization.losses import build_loss
from localization.models import CNNConfig, build_model
from localization.training import TrainingConfig, train

RECIPE = Recipe(n_clips=50)
N_STEPS = 15
DEFAULT_WORKERS = 1  # of training
LEAST_OF_MODEL, MOST_WAITING = 1.0, 5.0


def loader_figures(dataset: CueDataset, batch_size: int, n_workers: int, n_rounds: int) -> dict[str, Any]:
    """Clips a second that the loader alone delivers, cold and warm, and the memory of a process."""
    loader = load_batches(dataset, batch_size, seed=0, n_workers=n_workers)
    n_clips = len(loader) * batch_size
    epoch_seconds(loader, 0)  # starts the processes, opens the files
    cold, warm = [], []
    for k in range(n_rounds):
        forget(dataset.database.folder)
        cold.append(n_clips / epoch_seconds(loader, 2 * k + 1))
        warm.append(n_clips / epoch_seconds(loader, 2 * k + 2))
    mib = max((own_mib(child.pid) for child in multiprocessing.active_children()), default=None)
    return {"workers": n_workers, "cold": median(cold), "warm": median(warm), "worker_mib": mib}


def epoch_seconds(loader: DataLoader[Batch], epoch: int) -> float:
    """Seconds in which a loader delivers all batches of an epoch."""
    assert isinstance(loader.sampler, EpochSampler)
    loader.sampler.set_epoch(epoch)
    start = perf_counter()
    for _ in loader:
        pass
    return perf_counter() - start


def forget(folder: str | os.PathLike[str]) -> None:
    """Tell the system to drop a database's shards from its memory, where it can be told."""
    if hasattr(os, "posix_fadvise"):
        for shard in Path(folder).rglob("*.h5"):
            with shard.open("rb") as file:
                os.fsync(file.fileno())  # only what is on the disk can be dropped
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def own_mib(pid: int | None) -> float:
    """Memory that a process has for itself, without what it shares with others; NaN but on Linux."""
    facts = Path(f"/proc/{pid}/smaps_rollup")
    if not facts.exists():
        return nan
    return sum(map(int, re.findall(r"^Private_\w+:\s*(\d+) kB", facts.read_text(), re.MULTILINE))) / 1024


def training_step(batch: Batch, model: nn.Module) -> Callable[[], None]:
    """What training does with a batch, as often as it is called."""
    cues, classes = batch
    config = TrainingConfig()
    loss = build_loss(config.loss)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate)

    def step() -> None:
        optimizer.zero_grad()
        loss(model(cues), classes).backward()
        optimizer.step()

    return step


def training_figures(database: Path, batch_size: int, n_workers: int, n_epochs: int) -> dict[str, Any]:
    """Seconds of an epoch of real training, and the percentage in which it waited for batches."""
    # In the precision of the steps that it is compared with.
    config = TrainingConfig(epochs=n_epochs + 1, batch_size=batch_size, precision="32-true")
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        run = train(database, folder, config, accelerator="cpu", n_workers=n_workers, progress=False)
        with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))[1:]  # the first one starts the processes
    return {
        "workers": n_workers,
        "epoch_seconds": median(float(row["seconds"]) for row in rows),
        "waiting_percent": 100 * median(float(row["waiting"]) for row in rows),
    }


def print_results(
    loaders: Sequence[dict[str, Any]], model: float, trainings: Sequence[dict[str, Any]]
) -> None:
    """Print what was measured."""
    print_table(
        ("loader, processes", "cold, clips/s", "warm, clips/s", "warm, × model", "MiB a process"),
        [
            (
                f"{row['workers']}",
                f"{row['cold']:.0f}",
                f"{row['warm']:.0f}",
                f"{row['warm'] / model:.1f}",
                "–" if row["worker_mib"] is None else f"{row['worker_mib']:.0f}",
            )
            for row in loaders
        ],
    )
    print(f"the model alone: {model:.0f} clips/s with {torch.get_num_threads()} threads\n")
    print_table(
        ("training, processes", "s an epoch", "waiting, %"),
        [
            (f"{row['workers']}", f"{row['epoch_seconds']:.2f}", f"{row['waiting_percent']:.1f}")
            for row in trainings
        ],
    )


def targets(
    loaders: Sequence[dict[str, Any]], model: float, trainings: Sequence[dict[str, Any]]
) -> list[Target]:
    """What is wanted of the loader as training uses it."""
    (loader,) = (row for row in loaders if row["workers"] == DEFAULT_WORKERS)
    (training,) = (row for row in trainings if row["workers"] == DEFAULT_WORKERS)
    return [
        Target("one process that reads cold files, over the model", loader["cold"] / model, LEAST_OF_MODEL),
        Target("one process that reads warm files, over the model", loader["warm"] / model, LEAST_OF_MODEL),
        Target("waiting for it in training, %", training["waiting_percent"], most=MOST_WAITING),
    ]


def main(arguments: Sequence[str] | None = None, recipe: Recipe = RECIPE) -> None:
    """Measure the loader, the model and their training, print, write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training", description=__doc__.partition("\n")[0]
    )
    add = parser.add_argument
    add("--database", type=Path, metavar="DIR", help="one of random cues, of 3,600 clips, if left out")
    add(
        "--batch-size",
        type=at_least_one,
        default=TrainingConfig.batch_size,
        help="clips in a step (%(default)s)",
    )
    add(
        "--workers",
        type=int,
        nargs="+",
        default=[0, 1, 2],
        help=f"processes that read ahead; {DEFAULT_WORKERS} among them (%(default)s)",
    )
    add("--rounds", type=at_least_one, default=3, help="of which the median is taken (%(default)s)")
    add("--json", type=Path, metavar="FILE", help="where to write what was measured")
    options = parser.parse_args(arguments)
    if DEFAULT_WORKERS not in options.workers or min(options.workers) < 0:
        parser.error(
            f"--workers: expected numbers from 0, {DEFAULT_WORKERS} among them, found {options.workers}"
        )
    with ExitStack() as stack:
        folder = options.database
        if folder is None:
            scratch = stack.enter_context(tempfile.TemporaryDirectory())
            folder = write_random_database(Path(scratch, "database"), recipe)
        try:
            database = Database(folder)
            dataset = CueDataset(database, "train")
        except (ValueError, OSError) as error:
            parser.error(str(error))
        if options.batch_size > len(dataset):
            parser.error(f"--batch-size: {options.batch_size}, but {folder} has {len(dataset)} for training")
        with database:
            loaders = [
                loader_figures(dataset, options.batch_size, n_workers, options.rounds)
                for n_workers in tqdm(options.workers, unit=" loaders", leave=False)
            ]
            batch = dataset.__getitems__(range(options.batch_size))
            step = training_step(batch, build_model(CNNConfig(database.format.n_bands)))
            model = options.batch_size / median_seconds({"model": step}, N_STEPS)["model"]
        trainings = [
            training_figures(folder, options.batch_size, n_workers, options.rounds)
            for n_workers in tqdm(options.workers, unit=" trainings", leave=False)
        ]
    wanted = targets(loaders, model, trainings)
    print_results(loaders, model, trainings)
    print_targets(wanted)
    measured = {"loaders": loaders, "model_clips_a_second": model, "trainings": trainings}
    torch_says = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    write_results(options.json, {**torch_says, **measured}, wanted)


if __name__ == "__main__":
    main()
