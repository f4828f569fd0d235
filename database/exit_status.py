"""How a command ends: the exit statuses of all command lines, and one line on standard error.

- `DONE`, `DAMAGE`, `BAD_INPUT`, `REJECTS`, `MACHINE`, `INTERRUPTED`, `TERMINATED`: the statuses
- `DamageError`: a file that is there is not as it was written
- `is_machines_fault`: whether an error is the machine's rather than the input's
- `failed`: the line, and the status
- `interrupted`: the same after SIGINT or SIGTERM
- `output_written`: what was printed is written, or it is an error like any other; closed streams do no harm
- `plain_warnings`: a warning is one line as well, without the place in the code
"""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from database.interrupts import Terminated

DONE, DAMAGE, BAD_INPUT, REJECTS, MACHINE = range(5)
GOES_ON = "the same command goes on from there"  # advice for who interrupted it
INTERRUPTED, TERMINATED = 130, 143  # as a shell gives a command that SIGINT or SIGTERM ended

_MACHINES = (MemoryError, ChildProcessError, BlockingIOError, ConnectionError, TimeoutError)
_MACHINE_ERRORS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS),  # the disk
    *(errno.EACCES, errno.EPERM),  # permissions
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM),  # too much open, too little memory
}


class DamageError(ValueError):
    """A file or folder that is there is damaged, or not finished; its cause, if any, showed it."""


def is_machines_fault(error: BaseException | None) -> bool:
    """Whether an error is the machine's: disk, permissions, memory, network, another builder, dead workers.

    Parameters
    ----------
    error : BaseException or None

    Examples
    --------
    >>> is_machines_fault(OSError(errno.ENOSPC, "disk full")), is_machines_fault(FileNotFoundError("no.wav"))
    (True, False)
    """
    return isinstance(error, _MACHINES) or getattr(error, "errno", None) in _MACHINE_ERRORS


@contextmanager
def output_written() -> Iterator[None]:
    """What is printed in here is written to standard output at the end; OSError if it cannot be.

    Where whoever called has closed it, or standard error, what is printed there is lost, and nothing else.
    """
    for name in ("stdout", "stderr"):
        # Or the next file that is opened would be given its number, and get what is meant for it.
        if getattr(sys, name) is None:
            setattr(sys, name, _nowhere())
    try:
        yield
    finally:
        try:
            print(end="", flush=True)  # noqa: T201 - for command lines, which print
        except OSError:
            with suppress(OSError):
                sys.stdout.close()  # or the interpreter tries again as it ends, and says so in its own way
            raise


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Warnings in here are one line each on standard error, as errors are."""
    with warnings.catch_warnings():
        warnings.showwarning = _say_warning
        yield


def _say_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    _say("warning:", str(message))


def _say(kind: str, message: str) -> None:
    """One line on standard error. Where nothing can be written there, the exit status has to say it all."""
    try:
        print(kind, *message.split(), file=sys.stderr)  # noqa: T201 - for command lines, which print
    except OSError:
        with suppress(OSError):
            sys.stderr.close()  # as above
        sys.stderr = _nowhere()


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def failed(error: BaseException | str, status: int | None = None) -> int:
    """Say in one line on standard error why a command failed, and return its exit status.

    Parameters
    ----------
    error : BaseException or str
    status : int, optional
        `MACHINE`, `DAMAGE` or `BAD_INPUT`, whichever the error speaks for, if left out.

    Returns
    -------
    int
    """
    if status is None:
        status = _status(error)
    _say("error:", f"not enough memory: {error}" if isinstance(error, MemoryError) else str(error))
    return status


def interrupted(error: KeyboardInterrupt, advice: str = "") -> int:
    """Say in one line on standard error which signal ended a command, and return its exit status.

    Parameters
    ----------
    error : KeyboardInterrupt
        What the signal raised.
    advice : str
        What to do next.

    Returns
    -------
    int
        `TERMINATED` after SIGTERM, `INTERRUPTED` otherwise.
    """
    terminated = isinstance(error, Terminated)
    words = ("terminated" if terminated else "interrupted", *filter(None, [advice]))
    return failed("; ".join(words), TERMINATED if terminated else INTERRUPTED)


def _status(error: BaseException | str) -> int:
    if isinstance(error, str):
        return BAD_INPUT
    if is_machines_fault(error) or is_machines_fault(error.__cause__):
        return MACHINE
    return DAMAGE if isinstance(error, DamageError) else BAD_INPUT
