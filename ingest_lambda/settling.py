"""Waiting for commits on an event loop: one wake-up a commit, however many posts wait for it.

`asyncio.wrap_future` wakes the loop once for every waiting post, from the thread that commits.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future


class Settling:
    """The posts that wait, by the commit they wait for. Each loop waits for itself."""

    def __init__(self) -> None:
        self._waiting: dict[
            tuple[asyncio.AbstractEventLoop, Future[int | None]], list[asyncio.Future[None]]
        ] = {}

    async def over(self, commit: Future[int | None]) -> None:
        """Wait until `commit` is over. Being cancelled meanwhile touches neither it nor others.

        Raises:
            Exception: What the commit failed with.
        """
        if not commit.done():
            await self._waiter(commit)
        commit.result()

    def _waiter(self, commit: Future[int | None]) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        key = (loop, commit)
        if key in self._waiting:
            self._waiting[key].append(waiter)
            return waiter
        self._waiting[key] = [waiter]

        def wake(_: Future[int | None]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._release, key)

        commit.add_done_callback(wake)
        return waiter

    def _release(self, key: tuple[asyncio.AbstractEventLoop, Future[int | None]]) -> None:
        for waiter in self._waiting.pop(key):
            if not waiter.done():
                waiter.set_result(None)
