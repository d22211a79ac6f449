"""Which event ids this process accepted lately, so that an answer can say `duplicate`.

Bounded memory, not the truth: silver removes whatever repeats beyond it. An id that is still
being committed is known too, with the future that tells when it is durable.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from threading import RLock


def event_keys(source: str, event_ids: Iterable[str]) -> list[bytes]:
    """Return the compact keys of a source's events. Every landed event id is a UUID."""
    name = source.encode()
    unhex = bytes.fromhex
    return [name + unhex(event_id.replace("-", "")) for event_id in event_ids]


class RecentIds:
    """The last ids, at least `capacity / 2` and at most `capacity` of them. Thread-safe.

    Attributes:
        lock: Hold it from `fresh` to `claim`, so that two posts never both claim one id.
    """

    def __init__(self, capacity: int) -> None:
        self.lock = RLock()
        self._half = max(1, capacity // 2)
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()
        self._pending: dict[bytes, Future[int | None]] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def fresh(self, keys: list[bytes]) -> tuple[list[bool], set[Future[int | None]]]:
        """Tell which keys are new, the first of several equal ones counting as new.

        Returns:
            One truth value per key, and the commits that hold the first copy of known ones.
        """
        different = set(keys)
        if len(different) == len(keys) and self._unknown(different):
            return [True] * len(keys), set()
        own: set[bytes] = set()
        waits: set[Future[int | None]] = set()
        fresh: list[bool] = []
        for key in keys:
            wait = self._pending.get(key)
            if wait is not None:
                waits.add(wait)
            new = wait is None and not (key in own or key in self._young or key in self._old)
            if new:
                own.add(key)
            fresh.append(new)
        return fresh, waits

    def _unknown(self, keys: set[bytes]) -> bool:
        return (
            self._pending.keys().isdisjoint(keys)
            and keys.isdisjoint(self._young)
            and keys.isdisjoint(self._old)
        )

    def claim(self, keys: list[bytes], done: Future[int | None]) -> None:
        """Note that the events travel in the commit `done`, and remember them once it is over."""
        with self.lock:
            self._pending.update(dict.fromkeys(keys, done))
        done.add_done_callback(lambda finished: self._settle(keys, finished))

    def remember(self, keys: Iterable[bytes]) -> None:
        """Note events that are durable."""
        with self.lock:
            self._young.update(keys)
            if len(self._young) >= self._half:
                self._old, self._young = self._young, set()

    def _settle(self, keys: list[bytes], done: Future[int | None]) -> None:
        with self.lock:
            for key in keys:
                self._pending.pop(key, None)
            if done.exception() is None:
                self.remember(keys)
