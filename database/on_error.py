"""What becomes of a file that cannot be used: it ends the build, or it is left out and noted.

- `OnError`: which of the two, and what was left out until now
- `STOP`: the first
"""

from dataclasses import dataclass, field

from database.exit_status import is_machines_fault
from database.store import Reject


@dataclass(frozen=True)
class OnError:
    """What becomes of a file that cannot be used.

    Parameters
    ----------
    skip : bool
        Whether it is left out and noted, and another one taken in its place. Otherwise its error is raised,
        and so it is in any case where the machine is at fault (disk, permissions, memory): what is left out
        must be the same whenever it is asked for.

    Attributes
    ----------
    rejects : list of Reject
        What was left out.

    Examples
    --------
    >>> on_error = OnError(skip=True)
    >>> on_error("noise", "rain/3.wav", ValueError("rain/3.wav is silent"))
    >>> on_error.rejects
    [Reject(what='noise', name='rain/3.wav', why='rain/3.wav is silent')]
    """

    skip: bool = False
    rejects: list[Reject] = field(default_factory=list, init=False)

    def __call__(self, what: str, name: str, error: ValueError | OSError) -> None:
        """Raise the error, or note it: once for each file, however often it is tried."""
        if not self.skip or is_machines_fault(error):
            raise error
        reject = Reject(what, name, str(error))
        if reject not in self.rejects:
            self.rejects.append(reject)

    def left_out(self, what: str) -> str:
        """What an error adds that says that there are too few files: how many of them were left out."""
        rejects = [reject for reject in self.rejects if reject.what == what]
        return f"; {len(rejects)} were left out, the first since {rejects[0].why}" if rejects else ""


STOP = OnError()
