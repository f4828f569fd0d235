"""The command line of the databases: `python -m database build | info | verify | download`.

Exit statuses: 0 done, 1 damage found, 2 bad input or arguments, 3 done with rejects, 4 the machine's fault
(disk, permissions, memory, a dead process), 130 interrupted.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence

from database.arguments import command_parser

DONE, DAMAGE, BAD_INPUT, MACHINE, INTERRUPTED = 0, 1, 2, 4, 130

MACHINE_ERRORS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS),  # the disk
    *(errno.EACCES, errno.EPERM),  # permissions
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM),  # too much open, too little memory
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process if left out.

    Returns
    -------
    int
        The exit status; an error is one line on standard error.

    Raises
    ------
    SystemExit
        With status 2 for arguments that are not understood, with 0 for `--help`.
    """
    arguments = command_parser().parse_args(argv)
    # Heavy: imported once the arguments are understood.
    from database import commands

    try:
        getattr(commands, arguments.command)(arguments[arguments.command])
    except KeyboardInterrupt:
        return _failed(INTERRUPTED, "interrupted; the same command goes on from there")
    except commands.DamageError as error:
        return _failed(MACHINE if _is_machines_fault(error.__cause__) else DAMAGE, error)
    except (ValueError, OSError) as error:
        return _failed(MACHINE if _is_machines_fault(error) else BAD_INPUT, error)
    except MemoryError as error:
        return _failed(MACHINE, f"not enough memory: {error}")
    return DONE


def _is_machines_fault(error: BaseException | None) -> bool:
    return isinstance(error, ChildProcessError) or getattr(error, "errno", None) in MACHINE_ERRORS


def _failed(status: int, message: object) -> int:
    print(f"error: {message}", file=sys.stderr)  # noqa: T201 - a command line prints
    return status


if __name__ == "__main__":
    sys.exit(main())
