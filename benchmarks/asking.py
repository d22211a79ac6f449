"""Many clients that ask the access API at once, each again as soon as it has its answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import uvloop

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length: "


class RefusedError(RuntimeError):
    """The API did not answer a question with 200."""


@dataclass(frozen=True)
class Answered:
    """What many requests took: seconds each in order of size, and in all."""

    seconds: list[float]
    wall: float

    def at(self, share: float) -> float:
        """Return the milliseconds within which that share was answered."""
        place = min(len(self.seconds) - 1, int(share * len(self.seconds)))
        return 1_000 * self.seconds[place]

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.seconds) / self.wall


def ask(url: str, key: str, path: Callable[[int], str], requests: int, clients: int) -> Answered:
    """Send GET requests from many keep-alive connections.

    Args:
        url: Address of the API, on loopback.
        key: An API key.
        path: Path and query of request number n.
        requests: How many.
        clients: Connections, each with one request under way.

    Raises:
        RefusedError: An answer was not 200.
    """
    return uvloop.run(_ask(url, key, path, requests, clients))


async def _ask(
    url: str, key: str, path: Callable[[int], str], requests: int, clients: int
) -> Answered:
    address = urlsplit(url)
    numbers = iter(range(requests))
    seconds: list[float] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        for number in numbers:
            head = f"GET {path(number)} HTTP/1.1\r\nhost: {address.netloc}\r\nx-api-key: {key}\r\n"
            began = time.perf_counter()
            writer.write(f"{head}\r\n".encode())
            answer = await reader.readuntil(_HEAD_END)
            length = answer.lower().partition(_LENGTH)[2].partition(b"\r\n")[0]
            body = await reader.readexactly(int(length))
            seconds.append(time.perf_counter() - began)
            if b" 200 " not in answer[:16]:
                raise RefusedError(f"{path(number)}: {answer[:16]!r} {body[:200]!r}")
        writer.close()

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    return Answered(sorted(seconds), time.perf_counter() - began)
