"""A function in a process of its own, for what reads foreign files with libraries that these can break.

HDF5 is written for files that are what they seem. A damaged one can end the process that reads it, keep it in
an endless loop, or make it ask for gigabytes; no check of ours comes before HDF5's own reading. In a process
of its own that is an error like any other.

- `isolated`: call a function there
- `limit_memory`: bound the memory of the calling process
"""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

SECONDS = 60.0  # that a call may take
MAX_BYTES = 3 * 2**29  # of memory that a call may take

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def isolated(
    function: Callable[Arguments, Result], *arguments: Arguments.args, **options: Arguments.kwargs
) -> Result:
    """Call a function in a process of its own, which may take a minute and (on Linux) 1.5 GiB of memory.

    Parameters
    ----------
    function : callable
        Of a module; it takes and returns what can be pickled.
    *arguments, **options
        For the function; the first argument is the path of what it reads.

    Returns
    -------
    object
        What the function returns.

    Raises
    ------
    ValueError, OSError
        What the function raises.
    OSError
        If it takes too long or too much memory, or ends its process.

    Examples
    --------
    >>> isolated(os.path.basename, "heads/kemar.sofa")
    'kemar.sofa'
    """
    path = arguments[0]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "OPENBLAS_NUM_THREADS": "1",  # each thread would count against the memory
    }
    try:
        done = subprocess.run(
            [sys.executable, "-c", "from database.isolation import _answer; _answer()"],
            input=pickle.dumps((function, arguments, options)),
            capture_output=True,
            timeout=SECONDS,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{path}: damaged, not read after {SECONDS:g} s") from error
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise OSError(f"{path}: damaged, reading it ended a process with status {done.returncode} ({last})")
    result = pickle.loads(done.stdout)
    if isinstance(result, MemoryError):
        raise OSError(f"{path}: reading it takes more than {MAX_BYTES} bytes of memory") from result
    if isinstance(result, Exception):
        raise result
    return result


def limit_memory(max_bytes: int) -> None:
    """Bound the memory of the calling process, after which it gets a `MemoryError`; on Linux only."""
    if sys.platform == "linux":
        import resource  # not on every system

        resource.setrlimit(resource.RLIMIT_AS, (max_bytes, max_bytes))


def _answer() -> None:
    """What the other process does."""
    function, arguments, options = pickle.load(sys.stdin.buffer)
    limit_memory(MAX_BYTES)
    try:
        answer = function(*arguments, **options)
    except (ValueError, OSError, MemoryError) as error:
        answer = error
    pickle.dump(answer, sys.stdout.buffer)
