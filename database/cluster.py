"""The shards of a build over a Dask cluster: other machines, or processes of this one.

The workers have this package, and see the database's folder and the recordings under the same paths. They get
as many shards at a time as they have threads, best one each. If a worker dies, Dask has others try its shards
again, four times in all. A shard given up in this way is tried once more with nothing else at work, so that
none is left out for what another one does.

- `check_address`: refuses what is no scheduler's
- `shards_of_cluster`: build shards on a cluster
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import closing, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from socket import gethostname
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, get_worker, wait, warn
from distributed.comm import parse_address, parse_host_port

from database.machine import changes, versions
from database.store import Reject, shard_name
from database.tasks import Row, Shards, Stopped, Task, read_task, write_task
from database.worker_process import ENVIRONMENT, signals_blocked, workers_environment

_TaskFile = tuple[Path, str, tuple[tuple[str, str], ...]]  # its sha256, and the builder's versions

POLL = 0.5  # s between two looks at the cluster
PATIENCE = 60.0  # s for which a cluster may be without any worker
CONNECT = 10.0  # s within which a scheduler answers
STOP = 10.0  # s within which workers give up their shards


def check_address(address: str) -> None:
    """Raise a ValueError if this cannot be the address of a scheduler.

    Examples
    --------
    >>> check_address("node1")
    Traceback (most recent call last):
    ValueError: scheduler is 'node1': expected an address like tcp://node1:8786
    """
    try:
        parse_host_port(parse_address(address)[1])
    except ValueError as error:
        raise ValueError(f"scheduler is {address!r}: expected an address like tcp://node1:8786") from error


def shards_of_cluster(
    make_task: Callable[[], Task],
    numbers: Sequence[int],
    advance: Callable[[int], Any],
    scratch: Path,
    signals: Sequence[int],
    *,
    cluster: str | int,
) -> Shards:
    """Build shards on a Dask cluster, and hand back each as it is finished, in any order.

    Parameters
    ----------
    make_task, numbers, advance, scratch, signals
        As those of `shards_of_processes`.
    cluster : str or int
        Address of the scheduler, or how many processes to start here.

    Yields
    ------
    dict or Reject
        A shard's row for the manifest; or, if worker after worker died over it, that it is left out.

    Raises
    ------
    ConnectionError
        If the scheduler cannot be reached, or has no worker for a minute.
    OSError
        If a worker does not see what the builder wrote, or has not the same packages.
    """
    task = (*write_task(scratch, make_task), tuple(versions().items()))
    suspects = []
    with _client(cluster) as client:
        with closing(_results(client, task, numbers, signals)) as results:
            for number, row in results:
                if row is None:
                    suspects.append(number)
                else:
                    advance(row["clips"])
                    yield row
        with closing(_results(client, task, suspects, signals, most=1)) as results:
            for number, row in results:
                advance(row["clips"] if row else 0)
                yield row or Reject("shard", shard_name(number), "the workers of the cluster died over it")


@contextmanager
def _client(cluster: str | int) -> Iterator[Client]:
    """A connection to a cluster, started here for a number of processes."""
    if isinstance(cluster, str):
        try:
            client = Client(cluster, timeout=CONNECT, set_as_default=False)
        except OSError as error:
            raise ConnectionError(f"no Dask scheduler answers at {cluster}: {error}") from error
        with client:
            yield client
        return
    environment = {"distributed.nanny.pre-spawn-environ": ENVIRONMENT}
    with workers_environment(), dask.config.set(environment):  # until the end: Dask changes it at each start
        with signals_blocked():
            here = LocalCluster(
                n_workers=cluster,
                threads_per_worker=1,
                memory_limit=0,
                host="127.0.0.1",
                dashboard_address=None,
                # Without a dashboard it still serves HTTP, and would warn where its usual port is taken.
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                silence_logs=logging.CRITICAL,
            )
        with here, Client(here, set_as_default=False) as client:
            yield client


def _results(
    client: Client,
    task: _TaskFile,
    numbers: Sequence[int],
    signals: Sequence[int],
    most: int | None = None,
) -> Generator[tuple[int, Row | None], None, None]:
    """Shards as they are finished, at `most` so many at a time, without a row where workers died over one."""
    todo, futures = deque(numbers), dict[Future, int]()
    try:
        while (todo or futures) and not signals:
            n_threads = _n_threads(client, signals)
            n_free = min(n_threads, most or n_threads) - len(futures)
            for number in [todo.popleft() for _ in range(min(n_free, len(todo)))]:
                key = f"shard-{number}-{uuid4().hex}"
                futures[client.submit(_build_shard, number, key, task, key=key)] = number
            with suppress(TimeoutError, CancelledError), client.as_current():
                wait(list(futures), POLL, "FIRST_COMPLETED")
            for future in [future for future in futures if future.done()]:
                yield futures.pop(future), _row(future)
    finally:
        _give_up(client, futures)


def _row(future: Future) -> Row | None:
    """What came of a shard; none if workers died over it."""
    try:
        return future.result()
    except KilledWorker:
        return None
    except CancelledError as error:
        raise ConnectionError("the Dask scheduler is gone") from error
    except (ImportError, RuntimeError) as error:
        raise OSError(
            f"the Dask cluster failed; has it the same packages as this machine? {error}"
        ) from error


def _n_threads(client: Client, signals: Sequence[int]) -> int:
    """How many threads the workers have; the first of them is waited for."""
    latest = monotonic() + PATIENCE
    while not signals:
        try:
            n_threads = sum(client.nthreads().values())
        except OSError as error:
            raise ConnectionError(f"the Dask scheduler does not answer any more: {error}") from error
        if n_threads:
            return n_threads
        if monotonic() > latest:
            raise ConnectionError(f"the Dask cluster is without any worker for {PATIENCE:g} s")
        sleep(POLL)
    return 0


def _give_up(client: Client, futures: Iterable[Future]) -> None:
    """Have the workers stop what they are at, and wait until they have."""
    keys = {future.key for future in futures}
    if keys:
        with suppress(OSError):  # the scheduler is gone, and so the workers stop by themselves
            client.cancel(list(futures), force=True)
            client.run(_stopped, keys, on_error="ignore")


_at_hand: set[str] = set()  # the keys of what this process is at


def _build_shard(number: int, key: str, task_file: _TaskFile) -> Row:
    """What a worker does."""
    tasks = get_worker().state.tasks

    def give_up_if_cancelled() -> None:
        if key not in tasks or tasks[key].state != "executing":
            raise Stopped

    _at_hand.add(key)
    try:
        return _task(*task_file)(number, give_up_if_cancelled)
    finally:
        _at_hand.discard(key)


@lru_cache(maxsize=1)
def _task(path: Path, sha256: str, builders_versions: tuple[tuple[str, str], ...]) -> Task:
    changed = changes(dict(builders_versions))
    if changed:
        warn(f"{gethostname()} has {changed}")
    return read_task(path, sha256)


async def _stopped(keys: set[str]) -> None:
    """Return when this worker is at none of these any more, or does not stop."""
    latest = monotonic() + STOP
    while _at_hand & keys and monotonic() < latest:
        await asyncio.sleep(0.05)
