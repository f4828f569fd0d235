"""Who builds the shards: processes of this machine, a Dask cluster, or this process itself.

An engine is a generator function of a task, of the shards to build, and of what to tell and to ask meanwhile;
it yields each shard as it is finished. A shard is the same whoever builds it.

- `choose_engine`: the engine that was asked for
- `shards_of_this_process`: the simplest one
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from database.interrupts import signals_held
from database.tasks import Engine, Shards, Stopped, Task
from database.workers import shards_of_processes


def choose_engine(n_workers: int | None, scheduler: str | None, local_cluster: int | None) -> Engine:
    """What builds the shards, by the arguments of `build`; ValueError if they do not go together."""
    given = {"n_workers": n_workers, "scheduler": scheduler, "local_cluster": local_cluster}
    given = {name: value for name, value in given.items() if value is not None}
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)} are given: expected one of them, or none")
    if n_workers is not None and n_workers < 0:
        raise ValueError(f"n_workers is {n_workers}: expected 1 or more, or 0 to build in this process")
    if local_cluster is not None and local_cluster < 1:
        raise ValueError(f"local_cluster is {local_cluster}: expected 1 process or more")
    cluster = local_cluster if scheduler is None else scheduler
    if cluster is not None:
        try:
            with signals_held():  # an interrupt within an import may come out as another error
                # An extra, and a second to import.
                from database.cluster import check_address, shards_of_cluster
        except ImportError as error:
            raise ValueError(
                f'a Dask cluster needs an extra: pip install -e ".[distributed]" ({error})'
            ) from error
        if isinstance(cluster, str):
            check_address(cluster)
        return partial(shards_of_cluster, cluster=cluster)
    return shards_of_this_process if n_workers == 0 else partial(shards_of_processes, n_workers=n_workers)


def shards_of_this_process(
    make_task: Callable[[], Task],
    numbers: Sequence[int],
    advance: Callable[[int], Any],
    scratch: Path,
    signals: Sequence[int],
) -> Shards:
    """Build shards in this process, one after the other.

    Parameters
    ----------
    make_task : callable
        Makes what builds a shard.
    numbers : sequence of int
        The shards to build.
    advance : callable
        Called with the number of scenes finished since the last call; negative where some are lost.
    scratch : Path
        Folder for what the workers share; not used here.
    signals : sequence of int
        Signals that came: with the first, all is stopped.

    Yields
    ------
    dict or Reject
        A shard's row for the manifest; or, of a shard that cannot be built, why it is left out.
    """
    task = make_task()

    def scene_finished() -> None:
        advance(1)
        if signals:
            raise Stopped

    with suppress(Stopped):
        for number in numbers:
            yield task(number, scene_finished)
