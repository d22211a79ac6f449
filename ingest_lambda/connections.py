"""One client connection of the embedded server: deadlines and a bound on what is not body.

The server reads a request for as long as a client cares to send it, header lines without end
included. Nothing here knows events; a request that comes whole and in time is passed on unchanged.
"""

from __future__ import annotations

import asyncio
import socket
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ingest_lambda.problems import Problem, head_too_large, too_slow, unreadable

if TYPE_CHECKING:
    from telemetry_platform.settings import Settings

# How long the rest of a body is read and dropped after its answer: closing at once would reset the
# connection before the client has read why it was refused.
_LINGER_SECONDS = 5.0


class _Stage(Enum):
    """How much of the latest request has come."""

    IDLE = "nothing"
    HEAD = "part of its head"
    BODY = "its head"
    WHOLE = "everything"


class Connection(HttpToolsProtocol):
    """A connection that ends when its client takes too long or sends too much beside the body.

    Attributes:
        max_head_bytes: Most bytes of a request line with its headers; also of trailers and of what
            chunks add, beyond one byte for each byte of the body.
        head_seconds: Within which a request line and headers must come, from their first byte, or
            from the start of the connection.
        body_seconds: Within which a body must come, from the end of the headers. Also how long a
            client may leave an answer unread.
    """

    max_head_bytes: ClassVar[int]
    head_seconds: ClassVar[float]
    body_seconds: ClassVar[float]

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self._stage = _Stage.IDLE
        self._fault: Problem | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._timed: _Stage | None = None
        self._around = 0
        self._content = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Start waiting for the first request."""
        super().connection_made(transport)
        self._expect_more(_Stage.IDLE)
        if hasattr(socket, "TCP_USER_TIMEOUT") and self.client is not None:
            client = transport.get_extra_info("socket")
            patience = int(self.body_seconds * 1000)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, and see to it that what is not whole becomes so in time."""
        self._around += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        stage = self._stage
        if stage is _Stage.WHOLE:
            if not self.cycle.response_complete:
                self._stop_clock()
                return
            # Stray bytes between requests have stopped the server's own clock.
            stage = _Stage.IDLE
        elif self._around > self.max_head_bytes + self._content:
            self._refuse(head_too_large(self.max_head_bytes))
            return
        if stage is not self._timed:
            self._expect_more(stage)

    def on_message_begin(self) -> None:
        """Start counting the bytes of a request."""
        self._stage = _Stage.HEAD
        self._timed = None
        self._around = self._content = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Pass the request on, unless its head is too large."""
        lines = sum(len(name) + len(value) for name, value in self.headers)
        if len(self.url) + lines > self.max_head_bytes:
            self._fault = head_too_large(self.max_head_bytes)
            # The parser stops at an error of its callbacks and has the server refuse the request.
            raise self._fault
        self._stage = _Stage.BODY
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Tell the body from what is around it."""
        self._around -= len(body)
        self._content += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request came to its end."""
        self._stage = _Stage.WHOLE
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Do not wait long for the rest of a request that has its answer."""
        super().on_response_complete()
        if self._stage is _Stage.BODY and not self.transport.is_closing():
            self._start_clock(_LINGER_SECONDS)

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser could not read."""
        self._refuse(self._fault or unreadable("this is not a request of HTTP/1.1"))

    def _expect_more(self, stage: _Stage) -> None:
        self._timed = stage
        is_body = stage is _Stage.BODY
        self._start_clock(self.body_seconds if is_body else self.head_seconds)

    def _start_clock(self, seconds: float) -> None:
        self._stop_clock()
        self._deadline = self.loop.call_later(seconds, self._too_late)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        if self._stage in (_Stage.HEAD, _Stage.BODY):
            self._refuse(too_slow())
        elif not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, problem: Problem) -> None:
        """Answer the request that is being read, if that is possible, and end the connection."""
        if self.transport.is_closing():
            return
        cycle = self.cycle
        at_work = cycle is not None and not cycle.response_complete
        in_body = self._stage is _Stage.BODY
        if at_work and not in_body:
            # An earlier request is owed its answer; the connection ends with it.
            cycle.keep_alive = False
            self.flow.pause_reading()
            return
        answered = in_body and cycle is not None and cycle.response_started
        if not answered and not self.pipeline:
            self.transport.write(_response(problem))
        self.transport.close()


def connection_class(settings: Settings) -> type[Connection]:
    """Return the class of connections with the limits of `settings`."""
    limits = {
        "max_head_bytes": settings.max_head_bytes,
        "head_seconds": settings.head_seconds,
        "body_seconds": settings.body_seconds,
    }
    return type("Connection", (Connection,), limits)


def _response(problem: Problem) -> bytes:
    body = orjson.dumps(problem.document())
    headers = problem.headers() | {"content-length": str(len(body)), "connection": "close"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    status = HTTPStatus(problem.status)
    return f"HTTP/1.1 {status.value} {status.phrase}\r\n{lines}\r\n".encode() + body
