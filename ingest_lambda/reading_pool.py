"""The edge's side of the processes that read large posts for it (`reading_process`).

A process that ends takes nothing along: what it was reading was not acknowledged, and those posts
are answered with 503. Until another one is up, the edge reads by itself.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import socket
import subprocess
import sys
import time
from collections import deque
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

from ingest_lambda.problems import not_durable
from ingest_lambda.reading_messages import LENGTH, READY, Rules, Task
from telemetry_platform.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ingest_lambda.post_reader import ReadPost
    from telemetry_contracts.contract import Contract
    from telemetry_contracts.tokens import KeyRing

_log = logging.getLogger(__name__)
_SECONDS_BETWEEN_STARTS = 5.0
_MODULE = "ingest_lambda.reading_process"


class ReadingFailed(RuntimeError):
    """A post could not be read for a reason that is not the post's; its process logged it."""


class ReadingPool:
    """Processes that read posts, for the event loop on which the pool is opened and closed.

    Other loops, such as that of the MQTT bridge, find none of them ready.
    """

    def __init__(self, processes: int, keyring: KeyRing) -> None:
        self._processes = [_Process(keyring) for _ in range(processes)]
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self) -> None:
        """Start the processes; they are of use as soon as they say so."""
        self._loop = asyncio.get_running_loop()
        for each in self._processes:
            await each.start()

    @property
    def ready(self) -> int:
        """How many of the processes take posts from the event loop that asks."""
        if asyncio.get_running_loop() is not self._loop:
            return 0
        return sum(each.channel.ready for each in self._processes)

    async def replace_lost(self) -> None:
        """Start anew what has ended, unless it was started a moment ago."""
        if asyncio.get_running_loop() is not self._loop:
            return
        for each in self._processes:
            if each.channel.lost:
                await each.restart()

    async def read(self, contracts: Mapping[str, Contract], task: Task) -> ReadPost:
        """Read a post in the process that has least to do. Ask only while one is `ready`.

        Args:
            contracts: What it is read by. The same object as long as nothing changed.
            task: The post.

        Raises:
            Problem: 400, 413 or 415 as `read_body` and `PostReader.read` raise it; 503 when the
                process ended meanwhile.
            ReadingFailed: Reading it failed.
        """
        channels = [each.channel for each in self._processes if each.channel.ready]
        answer = await min(channels, key=attrgetter("under_way")).ask(contracts, task)
        if answer is None:
            raise ReadingFailed
        if isinstance(answer, Problem):
            raise answer
        return answer

    def close(self) -> None:
        """End the processes."""
        for each in self._processes:
            each.close()


class _Process:
    """One process and the channel to it."""

    def __init__(self, keyring: KeyRing) -> None:
        self.channel = _Channel(keyring)
        self._child: subprocess.Popen[bytes] | None = None
        self._keyring = keyring
        self._started = 0.0

    async def start(self) -> None:
        """Start the process and listen to it."""
        self._started = time.monotonic()
        self.channel = channel = _Channel(self._keyring)
        ours, theirs = socket.socketpair()
        with theirs:
            number = theirs.fileno()
            command = [sys.executable, "-m", _MODULE, str(number)]
            self._child = subprocess.Popen(command, pass_fds=[number], stdin=subprocess.DEVNULL)
        await asyncio.get_running_loop().create_unix_connection(lambda: channel, sock=ours)

    async def restart(self) -> None:
        """Start the process again, if it was not started a moment ago."""
        if time.monotonic() >= self._started + _SECONDS_BETWEEN_STARTS:
            self.close()
            await self.start()

    def close(self) -> None:
        """End the process; what it reads now is read for nobody."""
        self.channel.close()
        if self._child is not None:
            # It writes nothing, so nothing is half done.
            self._child.kill()
            self._child.wait()


class _Channel(asyncio.Protocol):
    """The connection to one process, for as long as both live.

    Attributes:
        ready: Whether posts are taken.
        lost: Whether the other side is gone.
    """

    def __init__(self, keyring: KeyRing) -> None:
        self.ready = self.lost = False
        self._transport: asyncio.Transport | None = None
        self._keyring = keyring
        self._waiting: deque[asyncio.Future[ReadPost | Problem | None]] = deque()
        self._received = bytearray()
        self._contracts: Mapping[str, Contract] | None = None

    @property
    def under_way(self) -> int:
        """How many posts have no answer yet."""
        return len(self._waiting)

    def ask(
        self, contracts: Mapping[str, Contract], task: Task
    ) -> asyncio.Future[ReadPost | Problem | None]:
        """Return what becomes of a post."""
        if contracts is not self._contracts:
            self._send(Rules(dict(contracts), self._keyring))
            self._contracts = contracts
        self._send(task)
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        return answer

    def _send(self, message: Rules | Task) -> None:
        data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        if self._transport is not None:
            self._transport.writelines([LENGTH.pack(len(data)), data])

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.abort()
        self._transport = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the connection."""
        # uvloop's transports do not derive from asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Pass on what is whole."""
        self._received += data
        start = 0
        while len(self._received) >= (begin := start + LENGTH.size):
            end = begin + LENGTH.unpack_from(self._received, start)[0]
            if len(self._received) < end:
                break
            self._answered(pickle.loads(memoryview(self._received)[begin:end]))  # noqa: S301 - ours
            start = end
        del self._received[:start]

    def _answered(self, message: Any) -> None:  # noqa: ANN401 - as it comes from the pickle
        if message == READY:
            self.ready = True
            return
        answer = self._waiting.popleft()
        # Who asked may be gone by now.
        if not answer.done():
            answer.set_result(message)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up what was under way."""
        self.ready, self.lost = False, True
        if self._transport is not None:
            _log.error("reading process ended", extra={"posts": len(self._waiting)})
        for answer in self._waiting:
            if not answer.done():
                answer.set_exception(not_durable("reading the post failed", retry_after=1))
