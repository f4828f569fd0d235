"""The command line of the databases: `python -m database build | info | verify | download`.

Exit statuses: 0 done, 1 damage found, 2 bad input or arguments, 3 done with rejects, 4 the machine's fault
(disk, permissions, memory, a dead process), 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from database.arguments import command_parser
from database.exit_status import DAMAGE, DONE, INTERRUPTED, MACHINE, failed, is_machines_fault


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
        return failed("interrupted; the same command goes on from there", INTERRUPTED)
    except commands.DamageError as error:
        return failed(error, MACHINE if is_machines_fault(error.__cause__) else DAMAGE)
    except (ValueError, OSError, MemoryError) as error:
        return failed(error)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
