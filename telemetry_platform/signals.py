"""SIGINT and SIGTERM as something to wait for, so that a program ends in its own order."""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager
from queue import Empty, SimpleQueue


class EndFlag:
    """Set once, by a signal handler too.

    `threading.Event` is no use here: a handler runs in the main thread, which may hold the event's
    lock at that moment, and `set` would wait for it forever. `SimpleQueue.put` is reentrant.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._woken: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """Set the flag and wake one waiter."""
        self._is_set = True
        self._woken.put(None)

    def is_set(self) -> bool:
        """Whether the flag was set."""
        return self._is_set

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the flag, for so long at most; return whether it is set."""
        if not self._is_set:
            try:
                self._woken.get(timeout=seconds)
            except Empty:
                return self._is_set
        return True


@contextmanager
def ending_on_signals() -> Generator[EndFlag]:
    """Turn SIGINT and SIGTERM into a flag until the block ends."""
    ended = EndFlag()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: ended.set()) for number in numbers}
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
