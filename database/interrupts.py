"""The two signals that ask a command to end: SIGINT, from the keyboard, and SIGTERM, from another process.

Both arrive as an exception where the program happens to be, and every clean-up for the one serves the other.
Where an exception could be lost or leave something half done, they are held back until the work is laid down.

- `Terminated`: what SIGTERM raises
- `sigterm_raised`: SIGTERM raises, in a whole command
- `signals_held`: neither raises, in a stretch of it
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Terminated(KeyboardInterrupt):
    """SIGTERM came: another process, or the system as it shuts down, asks this one to end."""


@contextmanager
def sigterm_raised() -> Iterator[None]:
    """SIGTERM raises `Terminated` in here, as SIGINT raises KeyboardInterrupt.

    Examples
    --------
    >>> with sigterm_raised():
    ...     try:
    ...         signal.raise_signal(signal.SIGTERM)
    ...     except Terminated:
    ...         print("tidied up")
    tidied up
    """
    with _handled(_raise_terminated, signal.SIGTERM):
        yield


def _raise_terminated(number: int, frame: FrameType | None) -> None:
    raise Terminated


@contextmanager
def signals_held() -> Iterator[Sequence[int]]:
    """SIGINT and SIGTERM are noted in here, and delivered at the end.

    An exception raised wherever a signal comes may be lost, in a destructor for instance, or stop a clean-up
    half way; so who works in here looks at what came, and ends early.

    Yields
    ------
    sequence of int
        The signals that came until now.

    Examples
    --------
    >>> with sigterm_raised():
    ...     try:
    ...         with signals_held() as signals:
    ...             signal.raise_signal(signal.SIGTERM)
    ...             print("laid down" if signals else "goes on")
    ...     except Terminated:
    ...         print("tidied up")
    laid down
    tidied up
    """
    came: list[int] = []
    try:
        with _handled(lambda number, _: came.append(number), signal.SIGINT, signal.SIGTERM):
            yield came
    finally:
        if came:
            signal.raise_signal(came[0])


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], Any], *numbers: signal.Signals) -> Iterator[None]:
    """Signals have this handler in here, unless the process was started to ignore them."""
    if threading.current_thread() is not threading.main_thread():
        yield  # no signal arrives in another thread
        return
    before = {number: signal.getsignal(number) for number in numbers}
    before = {number: handled for number, handled in before.items() if handled != signal.SIG_IGN}
    try:
        for number in before:
            signal.signal(number, handler)
        yield
    finally:
        for number, handled in before.items():
            signal.signal(number, handled)
