"""Answers kept for a while under the client's `Idempotency-Key`.

A replay in the same process gets the same answer with the same receipt. In another process it
still adds nothing, because event ids depend on the events alone.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ingest_lambda.answers import Answer
from ingest_lambda.problems import key_reused

_MAX_BYTES = 32 * 1024 * 1024
_ENTRY_BYTES = 500


@dataclass
class _Entry:
    digest: bytes
    task: asyncio.Future[Answer]
    size: int = _ENTRY_BYTES


class Replays:
    """Remembers answers by scope and key, the least recently used are forgotten first.

    Used from the event loop alone.
    """

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._entries: OrderedDict[tuple[str, ...], _Entry] = OrderedDict()
        self._max_bytes = max_bytes
        self._bytes = 0

    async def once(
        self, scope: tuple[str, ...], digest: bytes, work: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        """Return the answer of the first request with this scope, doing `work` only for it.

        Args:
            scope: API key, source and Idempotency-Key.
            digest: Hash of the body.
            work: Makes the answer. Its failure is not remembered.

        Raises:
            Problem: 409 when the key came before with another body; what `work` raises.
        """
        found = self._entries.get(scope)
        if found is not None:
            if found.digest != digest:
                raise key_reused()
            self._entries.move_to_end(scope)
            return await asyncio.shield(found.task)
        entry = _Entry(digest, asyncio.ensure_future(work()))
        self._entries[scope] = entry
        self._bytes += entry.size
        entry.task.add_done_callback(lambda _: self._finished(scope, entry))
        return await asyncio.shield(entry.task)

    def _finished(self, scope: tuple[str, ...], entry: _Entry) -> None:
        if entry.task.cancelled() or entry.task.exception() is not None:
            self._entries.pop(scope, None)
            self._bytes -= entry.size
            return
        entry.size += len(entry.task.result().body)
        self._bytes += entry.size - _ENTRY_BYTES
        self._evict()

    def _evict(self) -> None:
        for scope, entry in list(self._entries.items()):
            if self._bytes <= self._max_bytes:
                return
            if entry.task.done():
                del self._entries[scope]
                self._bytes -= entry.size
