"""A thread that looks at something again and again, and ends when it is told to."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from threading import Event, Thread

_log = logging.getLogger(__name__)


class Polling(ABC):
    """Looks, waits, and looks again. `start` it once; `stop` it before what it looks at closes."""

    def __init__(self, name: str, pace_seconds: float) -> None:
        """Prepare the thread.

        Args:
            name: Of the thread, for logs.
            pace_seconds: Time from the end of a look to the next one.
        """
        self._name = name
        self._pace = pace_seconds
        self._stop = Event()
        self._thread = Thread(target=self._run, name=name, daemon=True)

    @abstractmethod
    def look(self) -> object:
        """Look once."""

    @property
    def ending(self) -> bool:
        """Whether it was told to stop."""
        return self._stop.is_set()

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the look under way and end."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self.ending:
            try:
                self.look()
            except Exception as error:  # noqa: BLE001  (this thread's boundary; it looks again)
                _log.error("look failed", extra={"looking": self._name}, exc_info=error)
            self._stop.wait(self._pace)
