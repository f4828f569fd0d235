"""SIGINT and SIGTERM: raised, or held back until the work is laid down."""

import signal
import threading

import pytest

from database.interrupts import Terminated, signals_held, sigterm_raised


@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]
)
def test_a_signal_that_was_held_comes_after_the_clean_up(number, kind):
    steps = []
    with pytest.raises(kind), sigterm_raised():
        try:
            with signals_held() as signals:
                signal.raise_signal(number)
                steps.append([*signals])
        finally:
            steps.append("cleaned up")
    assert steps == [[number], "cleaned up"]


def test_a_signal_outweighs_the_error_that_it_led_to():
    with pytest.raises(Terminated), sigterm_raised(), signals_held():
        signal.raise_signal(signal.SIGTERM)
        raise OSError("cut short")


def test_held_within_held_is_delivered_once_and_last():
    with pytest.raises(KeyboardInterrupt), signals_held() as outer:
        with signals_held():
            signal.raise_signal(signal.SIGINT)
        assert [*outer] == [signal.SIGINT]


def test_a_signal_that_the_process_ignores_stays_ignored():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with sigterm_raised(), signals_held() as signals:
            signal.raise_signal(signal.SIGTERM)
            assert not signals
    finally:
        signal.signal(signal.SIGTERM, before)


def test_handlers_are_put_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with sigterm_raised(), signals_held():
        pass
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_other_threads_get_no_signals_and_no_error():
    seen = []

    def work():
        with sigterm_raised(), signals_held() as signals:
            seen.append([*signals])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [[]]
