"""One HTTP request and its answer in ASGI's own terms.

The routes that take events pass through here for every post, and a web framework's request and
response objects cost several times what the work itself does.
"""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from urllib.parse import parse_qs

import orjson
from starlette.types import Receive, Scope, Send

from ingest_lambda.problems import Problem, too_large

_JSON = [(b"content-type", b"application/json")]
# Who sends, and how the body is read: a proxy may have judged another copy than the one read here.
_ONCE = (
    b"authorization",
    b"content-encoding",
    b"content-type",
    b"idempotency-key",
    b"x-api-key",
)


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""


class Call:
    """A request, as far as it was read.

    Raises:
        Problem: 400 when a header that decides about the request came twice.
    """

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._scope = scope
        self._receive = receive
        headers = scope["headers"]
        # Of a header that came twice the first one counts.
        self._headers: dict[bytes, bytes] = dict(reversed(headers))
        if len(self._headers) != len(headers):
            _refuse_ambiguous([name for name, _ in headers])

    def header(self, name: bytes) -> str | None:
        """Return the value of a header, whose name is in small letters."""
        value = self._headers.get(name)
        return None if value is None else value.decode("latin-1")

    def query(self, name: str) -> str:
        """Return the last value of a parameter of the query, empty when there is none."""
        return _parameters(self._scope["query_string"]).get(name, [""])[-1]

    @property
    def method(self) -> str:
        """Return the method, in capital letters."""
        return self._scope["method"]

    @property
    def path(self) -> str:
        """Return the path, decoded."""
        return self._scope["path"]

    @property
    def client(self) -> str | None:
        """Address of the peer."""
        client = self._scope.get("client")
        return client[0] if client else None

    async def body(self, limit: int) -> bytes:
        """Return the body.

        Raises:
            Problem: 413 when it has more than `limit` bytes.
            ClientGone: It did not come to its end.
        """
        declared = self.header(b"content-length") or "0"
        if declared.isdecimal() and int(declared) > limit:
            raise _too_large(limit)
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            part = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise _too_large(limit)
            parts.append(part)
            if not message.get("more_body"):
                return parts[0] if len(parts) == 1 else b"".join(parts)


async def reply(
    send: Send,
    status: HTTPStatus,
    body: bytes,
    headers: list[tuple[bytes, bytes]] = _JSON,
) -> None:
    """Send an answer, by default as JSON."""
    length = (b"content-length", b"%d" % len(body))
    start = {"type": "http.response.start", "status": int(status), "headers": [*headers, length]}
    await send(start)
    await send({"type": "http.response.body", "body": body})


async def reply_problem(send: Send, problem: Problem) -> None:
    """Send problem details."""
    headers = [(name.encode(), value.encode()) for name, value in problem.headers().items()]
    await reply(send, problem.status, orjson.dumps(problem.document()), headers)


def _refuse_ambiguous(names: list[bytes]) -> None:
    for name in _ONCE:
        if names.count(name) > 1:
            raise Problem(HTTPStatus.BAD_REQUEST, "ambiguous-header", f"send {name.decode()} once")


@lru_cache(maxsize=256)
def _parameters(query: bytes) -> dict[str, list[str]]:
    return parse_qs(query.decode("latin-1"))


def _too_large(limit: int) -> Problem:
    return too_large(f"a post may have {limit} bytes")
