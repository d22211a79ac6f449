"""A TCP proxy before a real object store that can misbehave as stores and networks do."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from enum import StrEnum
from threading import Event, Thread
from typing import Self
from urllib.parse import urlsplit

_HEAD_END = b"\r\n\r\n"
_CONTINUE = b"HTTP/1.1 100"
_SLOW_SECONDS = 0.7
_TURNS_SECONDS = 0.05


class Fault(StrEnum):
    """What the proxy does to a request.

    Attributes:
        NONE: Passes it on.
        ERROR_500: Answers 500 itself; the store never sees the request.
        ERROR_503: Answers 503 with S3's SlowDown.
        SLOW: Waits before the answer.
        HALF: Passes it on, and cuts the answer in the middle: the work is done, nobody is told.
        DROP: Closes the connection after the request, which the store never sees.
    """

    NONE = "none"
    ERROR_500 = "500"
    ERROR_503 = "503"
    SLOW = "slow"
    HALF = "half"
    DROP = "drop"


_ANSWERS = {
    Fault.ERROR_500: b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n"
    b"connection: close\r\n\r\n",
    Fault.ERROR_503: b"HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
}


class StoreProxy:
    """Serves on a free loopback port until the block ends.

    Attributes:
        faults: What may happen to a request, drawn anew for each; `NONE` alone is a healthy store.
        met: How often each fault was met.
        every_writer_wins: Whether each create-if-absent is told that it won, as a store does that
            does not know the header; it reaches no store.
    """

    def __init__(self, endpoint: str, seed: int) -> None:
        parts = urlsplit(endpoint)
        self._upstream = (parts.hostname or "", parts.port or 80)
        # A reproducible draw, not a secret.
        self._chance = random.Random(seed)  # noqa: S311
        self._loop = asyncio.new_event_loop()
        self._started = Event()
        self._thread = Thread(target=self._serve, daemon=True)
        self._handling: set[asyncio.Task[None] | None] = set()
        self.faults: tuple[Fault, ...] = (Fault.NONE,)
        self.met = dict.fromkeys(Fault, 0)
        self.every_writer_wins = False
        self.endpoint = ""

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._handle, "127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._started.set()
        self._loop.run_forever()
        server.close()
        # A connection just accepted gets its task in the loop's next turns, and a task that was
        # cancelled before its first step would leave its connection open.
        self._loop.run_until_complete(asyncio.sleep(_TURNS_SECONDS))
        while tasks := asyncio.all_tasks(self._loop):
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self._loop.run_until_complete(asyncio.sleep(_TURNS_SECONDS))

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Once its client has gone, nothing else holds the task while it waits for the store.
        task = asyncio.current_task()
        self._handling.add(task)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._exchange(reader, writer):
                pass
        writer.close()
        self._handling.discard(task)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; return whether the connection may go on."""
        request = await _message(reader, writer)
        fault = self._chance.choice(self.faults)
        self.met[fault] += 1
        if fault is Fault.DROP:
            return False
        if fault in _ANSWERS:
            writer.write(_ANSWERS[fault])
            await writer.drain()
            return False
        if self.every_writer_wins and b"\r\nif-none-match:" in request.lower():
            writer.write(b'HTTP/1.1 200 OK\r\netag: "0"\r\ncontent-length: 0\r\n\r\n')
            await writer.drain()
            return True
        from_store, to_store = await asyncio.open_connection(*self._upstream)
        try:
            to_store.write(request)
            answer = await _message(from_store, is_head=request.startswith(b"HEAD"))
            while answer.startswith(_CONTINUE):
                answer = await _message(from_store)
        finally:
            to_store.close()
        if fault is Fault.SLOW:
            await asyncio.sleep(_SLOW_SECONDS)
        if fault is Fault.HALF:
            writer.write(answer[: len(answer) // 2])
            await writer.drain()
            return False
        writer.write(answer)
        await writer.drain()
        return True


async def _message(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter | None = None,
    *,
    is_head: bool = False,
) -> bytes:
    """Read one HTTP message with its body; `writer` invites a client that waits to be."""
    head = await reader.readuntil(_HEAD_END)
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
    if is_head or head.startswith((b"HTTP/1.1 204", b"HTTP/1.1 304", _CONTINUE)):
        return head
    if writer is not None and b"expect" in fields:
        writer.write(_CONTINUE + b" Continue" + _HEAD_END)
    if fields.get(b"transfer-encoding", b"").strip() == b"chunked":
        return head + await _chunks(reader)
    return head + await reader.readexactly(int(fields.get(b"content-length", b"0")))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    """Read a body that comes in chunks, as it comes; it has no trailers."""
    body = b""
    while not body.endswith(b"\r\n0\r\n\r\n") and body != b"0\r\n\r\n":
        size = await reader.readuntil(b"\r\n")
        body += size + await reader.readexactly(int(size.partition(b";")[0], 16) + 2)
    return body
