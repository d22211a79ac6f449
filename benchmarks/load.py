"""The load generator: a process of its own that posts ready-made bodies over raw connections.

``python -m benchmarks.load`` reads a ``Load`` as JSON from stdin and writes an ``Outcome`` as JSON
to stdout. It is bounded in posts and in time and talks to loopback only.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import sys
import time
import uuid
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import orjson
import uvloop

from benchmarks.bodies import mobile_posts

if TYPE_CHECKING:
    from collections.abc import Iterator

_COUNTS = {
    name: re.compile(rb'"%b":(\d+)' % name.encode())
    for name in ("accepted", "duplicate", "rejected")
}
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_JSON_HEADERS = ("content-type: application/json",)
_LINES_HEADERS = ("content-type: application/x-ndjson", "content-encoding: zstd")
_HEAD_END = b"\r\n\r\n"
_MEGABYTE = 1_000_000
_LARGEST_LOAD = 2_000 * _MEGABYTE


@dataclass(frozen=True, slots=True)
class Load:
    """What to send: ``posts`` of ``events`` events each over ``connections`` keep-alive ones.

    Attributes:
        seconds: Ends the run early; what was sent by then is counted.
        invalid_percent: How many of a hundred events are such as an edge refuses.
        lines: Whether to send NDJSON compressed with zstd instead of JSON.
        rate: Posts a second over all connections; as fast as answers come without it.
        lazy: Whether to make each body when it is sent, as a load must that lasts for hours. It
            slows a load that is as fast as answers come.
    """

    url: str
    path: str
    posts: int
    events: int
    connections: int
    api_key: str = ""
    seconds: float = 60.0
    invalid_percent: int = 0
    lines: bool = False
    rate: float | None = None
    lazy: bool = False


@dataclass(slots=True)
class Outcome:
    """What came back. Latencies are milliseconds from the first byte sent to the last received."""

    posts: int = 0
    events: int = 0
    seconds: float = 0.0
    accepted: int = 0
    duplicate: int = 0
    rejected: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    broken_connections: int = 0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    p99_ms: float = 0.0
    longest_ms: float = 0.0


class _Run:
    """The posts that are left, and what is known of those that were answered."""

    def __init__(self, requests: Iterator[bytes], seconds: float, rate: float | None) -> None:
        self._requests = requests
        self.latencies: list[float] = []
        self.statuses: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.broken = 0
        self.deadline = time.perf_counter() + seconds
        self._pause = 1 / rate if rate else 0.0
        self._slot = time.perf_counter()

    def next(self) -> bytes | None:
        if time.perf_counter() > self.deadline:
            return None
        return next(self._requests, None)

    def wait(self) -> float:
        """Return the seconds until the next post may leave."""
        now = time.perf_counter()
        self._slot = max(self._slot + self._pause, now) if self._pause else now
        return self._slot - now

    def answered(self, seconds: float, status: bytes, body: bytes) -> None:
        self.latencies.append(seconds)
        self.statuses[status.decode()] += 1
        for name, pattern in _COUNTS.items():
            found = pattern.search(body, 0, 1_000)
            if found:
                self.counts[name] += int(found[1])


class _Connection(asyncio.Protocol):
    """One keep-alive connection: sends a request, waits for its answer, sends the next."""

    def __init__(self, run: _Run, done: asyncio.Future[None]) -> None:
        self._run = run
        self._done = done
        self._buffer = bytearray()
        self._started = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not derive from asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head_end = self._buffer.find(_HEAD_END)
        if head_end < 0:
            return
        length = _LENGTH.search(self._buffer, 0, head_end)
        end = head_end + len(_HEAD_END) + (int(length[1]) if length else 0)
        if len(self._buffer) < end:
            return
        body = bytes(self._buffer[head_end + len(_HEAD_END) : end])
        self._run.answered(time.perf_counter() - self._started, bytes(self._buffer[9:12]), body)
        del self._buffer[:end]
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._run.broken += 1
            self._done.set_result(None)

    def _send(self) -> None:
        request = self._run.next()
        if request is None:
            self._done.set_result(None)
            self._transport.close()
            return
        asyncio.get_running_loop().call_later(self._run.wait(), self._write, request)

    def _write(self, request: bytes) -> None:
        self._started = time.perf_counter()
        self._transport.write(request)


def _request(load: Load, host: str, body: bytes) -> bytes:
    lines = [
        f"POST {load.path} HTTP/1.1",
        f"host: {host}",
        *(_LINES_HEADERS if load.lines else _JSON_HEADERS),
        f"content-length: {len(body)}",
    ]
    if load.api_key:
        lines.append(f"x-api-key: {load.api_key}")
    return "\r\n".join(lines).encode() + _HEAD_END + body


async def run(load: Load) -> Outcome:
    """Send the load and return what came back.

    Raises:
        ValueError: The address is not on loopback, or the load does not fit into memory.
    """
    address = urlsplit(load.url)
    host, port = address.hostname or "", address.port or 80
    if not ipaddress.ip_address(host).is_loopback:
        message = "the load generator sends to loopback only"
        raise ValueError(message)
    if not load.lazy and load.posts * load.events * 500 > _LARGEST_LOAD:
        message = f"more than {_LARGEST_LOAD // _MEGABYTE} MB of bodies"
        raise ValueError(message)
    timestamp = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
    bodies = mobile_posts(
        load.posts,
        load.events,
        uuid.uuid4(),
        timestamp,
        invalid_percent=load.invalid_percent,
        lines=load.lines,
    )
    made = (_request(load, f"{host}:{port}", body) for body in bodies)
    state = _Run(made if load.lazy else iter(list(made)), load.seconds, load.rate)
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    done = [loop.create_future() for _ in range(load.connections)]
    for future in done:
        await loop.create_connection(lambda end=future: _Connection(state, end), host, port)
    await asyncio.wait(done, timeout=load.seconds + 30)
    return _outcome(state, load, time.perf_counter() - began)


def _outcome(state: _Run, load: Load, seconds: float) -> Outcome:
    ordered = sorted(each * 1_000 for each in state.latencies) or [0.0]

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    answered = len(state.latencies)
    return Outcome(
        posts=answered,
        events=answered * load.events,
        seconds=seconds,
        accepted=state.counts["accepted"],
        duplicate=state.counts["duplicate"],
        rejected=state.counts["rejected"],
        statuses=dict(state.statuses),
        broken_connections=state.broken,
        p50_ms=at(0.5),
        p95_ms=at(0.95),
        p99_ms=at(0.99),
        longest_ms=ordered[-1],
    )


def main() -> None:
    """Read a load from stdin, run it, write the outcome to stdout."""
    wanted: dict[str, Any] = orjson.loads(sys.stdin.buffer.read())
    outcome = uvloop.run(run(Load(**wanted)))
    sys.stdout.buffer.write(orjson.dumps(asdict(outcome)))


if __name__ == "__main__":
    main()
