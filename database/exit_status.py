"""How a command ends: the exit statuses of all command lines, and one line on standard error.

- `DONE`, `DAMAGE`, `BAD_INPUT`, `REJECTS`, `MACHINE`, `INTERRUPTED`: the statuses
- `is_machines_fault`: whether an error is the machine's rather than the input's
- `failed`: the line, and the status
"""

from __future__ import annotations

import errno
import sys

DONE, DAMAGE, BAD_INPUT, REJECTS, MACHINE, INTERRUPTED = 0, 1, 2, 3, 4, 130

_MACHINE_ERRORS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS),  # the disk
    *(errno.EACCES, errno.EPERM),  # permissions
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM),  # too much open, too little memory
}


def is_machines_fault(error: BaseException | None) -> bool:
    """Whether an error is the machine's fault: disk, permissions, memory, a dead process.

    Parameters
    ----------
    error : BaseException or None

    Examples
    --------
    >>> is_machines_fault(OSError(errno.ENOSPC, "disk full")), is_machines_fault(FileNotFoundError("no.wav"))
    (True, False)
    """
    of_machine = isinstance(error, ChildProcessError | MemoryError)
    return of_machine or getattr(error, "errno", None) in _MACHINE_ERRORS


def failed(error: BaseException | str, status: int | None = None) -> int:
    """Say in one line on standard error why a command failed, and return its exit status.

    Parameters
    ----------
    error : BaseException or str
    status : int, optional
        `MACHINE` or `BAD_INPUT`, whichever the error speaks for, if left out.

    Returns
    -------
    int
    """
    if status is None:
        status = MACHINE if isinstance(error, BaseException) and is_machines_fault(error) else BAD_INPUT
    text = f"not enough memory: {error}" if isinstance(error, MemoryError) else str(error)
    print("error:", *text.split(), file=sys.stderr)  # noqa: T201 - for command lines, which print
    return status
