"""Signals end programs in order, whenever they come."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from telemetry_platform.signals import EndFlag, ending_on_signals

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_sets_the_flag_and_handlers_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with ending_on_signals() as ended:
        assert not ended.is_set()
        signal.raise_signal(number)
        assert ended.is_set()
        assert ended.wait(0)
    assert signal.getsignal(number) is before


def test_a_signal_ends_a_wait() -> None:
    with ending_on_signals() as ended:
        main = threading.get_ident()
        timer = threading.Timer(0.05, lambda: signal.pthread_kill(main, signal.SIGTERM))
        timer.start()
        assert ended.wait(60)
        timer.join()


def test_without_a_signal_the_wait_is_over_in_its_time() -> None:
    began = time.monotonic()
    assert not EndFlag().wait(0.01)
    assert time.monotonic() - began < 60


def test_a_storm_of_signals_never_blocks() -> None:
    """Signals meet the wait at every point of it."""
    with ending_on_signals():
        flag = EndFlag()
        before = signal.signal(signal.SIGALRM, lambda *_: flag.set())
        signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
        try:
            for _ in range(2_000):
                flag.wait(0.001)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
