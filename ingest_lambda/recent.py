"""Which event ids this process accepted lately, so that an answer can say `duplicate`.

Bounded memory, not the truth: silver removes whatever repeats beyond it. An id that is still
being committed is known too, with the future that tells when it is durable.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from threading import RLock


def event_key(source: str, event_id: str) -> bytes:
    """Return the compact key of an event. `event_id` is a UUID, as every landed id is."""
    return source.encode() + bytes.fromhex(event_id.replace("-", ""))


class RecentIds:
    """The last ids, at least `capacity / 2` and at most `capacity` of them. Thread-safe.

    Attributes:
        lock: Hold it from the look-up to `claim`, so that two posts never both claim one id.
    """

    def __init__(self, capacity: int) -> None:
        self.lock = RLock()
        self._half = max(1, capacity // 2)
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()
        self._pending: dict[bytes, Future[int]] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def is_durable(self, key: bytes) -> bool:
        """Whether the event is known to be in the table."""
        return key in self._young or key in self._old

    def pending(self, key: bytes) -> Future[int] | None:
        """Return the commit that an event of this key waits for, if any."""
        return self._pending.get(key)

    def claim(self, keys: list[bytes], done: Future[int]) -> None:
        """Note that the events travel in the commit `done`, and remember them once it is over."""
        with self.lock:
            for key in keys:
                self._pending[key] = done
        done.add_done_callback(lambda finished: self._settle(keys, finished))

    def remember(self, keys: Iterable[bytes]) -> None:
        """Note events that are durable."""
        with self.lock:
            self._young.update(keys)
            if len(self._young) >= self._half:
                self._old, self._young = self._young, set()

    def _settle(self, keys: list[bytes], done: Future[int]) -> None:
        with self.lock:
            for key in keys:
                self._pending.pop(key, None)
            if done.exception() is None:
                self.remember(keys)
