"""How much memory processes take."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

_EVERY_SECONDS = 0.01


def proportional_bytes(roots: Iterable[int]) -> int:
    """Return the bytes of some processes and their children; shared pages count by share.

    That is PSS on Linux; elsewhere USS, which leaves shared pages out.
    """
    total = 0
    for pid in roots:
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            try:
                facts = process.memory_full_info()
            except psutil.NoSuchProcess:
                continue
            total += getattr(facts, "pss", facts.uss)
    return total


class PeakMemory:
    """Watches this process while a block runs.

    Attributes:
        bytes: The most resident memory that was seen, what was there before the block included.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._done = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._watch.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._watch.join()

    def _look(self) -> None:
        process = psutil.Process()
        while True:
            self.bytes = max(self.bytes, process.memory_info().rss)
            if self._done.wait(_EVERY_SECONDS):
                return
