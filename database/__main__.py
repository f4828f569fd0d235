"""The command line of the databases: `python -m database build | info | verify | download`.

Exit statuses: 0 done, 1 damage found, 2 bad input or arguments, 3 done with rejects, 4 the machine's fault
(disk, permissions, memory, network, another builder, dead workers), 130 interrupted (SIGINT), 143 terminated
(SIGTERM).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from database.arguments import command_parser
from database.exit_status import GOES_ON, failed, interrupted, output_written, plain_warnings
from database.interrupts import signals_held, sigterm_raised


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
    try:
        with sigterm_raised(), output_written(), plain_warnings():
            arguments = command_parser().parse_args(argv)
            with signals_held():  # an interrupt within an import may come out as another error
                # Heavy: imported once the arguments are understood.
                from database import commands

            return getattr(commands, arguments.command)(arguments[arguments.command])
    except KeyboardInterrupt as error:
        return interrupted(error, GOES_ON)
    except (ValueError, OSError, MemoryError) as error:
        return failed(error)


if __name__ == "__main__":
    sys.exit(main())
