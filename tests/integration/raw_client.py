"""A client that speaks to the edge over a bare socket, byte by byte when it wants."""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

import httpx

if TYPE_CHECKING:
    from collections.abc import Generator

GRACE_SECONDS = 120.0
EVENT = b'{"session":{"id":"hostile","timestamp":"2026-01-05T10:00:00"}}'
LENGTH = b"Content-Length: %d" % len(EVENT)
CLOSE = b"Connection: close"
CHUNKED = b"Transfer-Encoding: chunked"


class Door(NamedTuple):
    """Where the edge listens, and a key that is good there."""

    host: str
    port: int
    key: bytes

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def head(self, *headers: bytes, line: bytes = b"POST /ingest HTTP/1.1") -> bytes:
        return b"\r\n".join([line, b"Host: edge", b"x-api-key: " + self.key, *headers, b"", b""])

    def post(self, *headers: bytes) -> bytes:
        return self.head(*headers, LENGTH) + EVENT


@contextmanager
def connection(door: Door) -> Generator[socket.socket]:
    with socket.create_connection((door.host, door.port), timeout=GRACE_SECONDS) as client:
        yield client


def statuses(client: socket.socket) -> list[HTTPStatus]:
    """Read until the edge closes the connection; return the statuses of its answers."""
    received = bytearray()
    # It resets the connection when it closes while bytes of ours are on their way.
    with suppress(ConnectionResetError):
        while part := client.recv(65_536):
            received += part
    return statuses_in(received)


def statuses_in(received: bytes | bytearray) -> list[HTTPStatus]:
    return [HTTPStatus(int(part[:3])) for part in received.split(b"HTTP/1.1 ")[1:]]


def ask(door: Door, raw: bytes) -> list[HTTPStatus]:
    with connection(door) as client:
        # The edge may answer and close before it has everything.
        with suppress(ConnectionError):
            client.sendall(raw)
        return statuses(client)


def is_served(door: Door) -> bool:
    answer = httpx.post(
        f"{door.url}/ingest",
        content=EVENT,
        headers={"x-api-key": door.key.decode()},
        timeout=GRACE_SECONDS,
        trust_env=False,
    )
    return answer.status_code == HTTPStatus.OK


def trickle(client: socket.socket, first: bytes, drop: bytes) -> list[HTTPStatus]:
    """Send a drop every twentieth of a second until the edge has had enough."""
    received = bytearray()
    with suppress(ConnectionError):
        client.sendall(first)
        started = time.monotonic()
        while not has_closed(client, received):
            assert time.monotonic() - started < GRACE_SECONDS, "the edge waited on"
            client.sendall(drop)
    return statuses_in(received)


def has_closed(client: socket.socket, received: bytearray) -> bool:
    """Read for a twentieth of a second; return whether the edge ended the connection."""
    client.settimeout(0.05)
    try:
        part = client.recv(65_536)
    except TimeoutError:
        return False
    finally:
        client.settimeout(GRACE_SECONDS)
    received += part
    return not part
