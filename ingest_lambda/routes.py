"""The HTTP routes that take events: keys, bodies and replays in, receipts or problems out."""

from __future__ import annotations

import time
from hashlib import blake2b
from http import HTTPStatus
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from ingest_lambda.answers import Answer
from ingest_lambda.bodies import read_body
from ingest_lambda.edge import Edge
from ingest_lambda.idempotency import Replays
from ingest_lambda.problems import (
    Problem,
    no_key,
    not_in_scope,
    too_large,
    unknown_source,
    unreadable,
)

_LOOPBACK = frozenset({"127.0.0.1", "::1"})
_LOOPBACK_SENDER = "loopback"
_FORWARDED = ("forwarded", "x-forwarded-for")
_MAX_IDEMPOTENCY_KEY = 255


class Door(NamedTuple):
    """One route that takes events.

    Attributes:
        name: Its path, as metrics name it.
        source: The only source it takes; None when the query says which.
        success: Status that its clients count as delivered.
        open_on_loopback: Whether a client on this machine may come without a key, where the
            settings allow it.
    """

    name: str
    source: str | None
    success: HTTPStatus
    open_on_loopback: bool = False


DOORS = (
    Door("/v1/events", None, HTTPStatus.ACCEPTED),
    Door("/ingest", "mobile", HTTPStatus.OK),
    Door("/stream", "wearable", HTTPStatus.OK, open_on_loopback=True),
)


class EventRoute:
    """Handles the posts of one door."""

    def __init__(self, door: Door, edge: Edge, replays: Replays) -> None:
        settings = edge.settings
        self._door = door
        self._edge = edge
        self._replays = replays
        self._max_body = settings.max_body_bytes
        self._max_text = settings.max_decompressed_bytes
        self._open = door.open_on_loopback and settings.stream_open_on_loopback

    async def post(self, request: Request) -> Response:
        """Answer one post."""
        started = time.perf_counter()
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        try:
            result = await self._receive(request)
            status = result.status(self._door.success)
            return Response(result.body, status, media_type="application/json")
        except Problem as problem:
            status = problem.status
            raise
        finally:
            self._edge.metrics.posted(self._door.name, status, time.perf_counter() - started)

    async def _receive(self, request: Request) -> Answer:
        source = self._source(request)
        sender = self._sender(request, source)
        body = await self._body(request)
        headers = request.headers

        async def work() -> Answer:
            read = read_body(
                body,
                headers.get("content-type", ""),
                headers.get("content-encoding", ""),
                self._max_text,
            )
            return await self._edge.receive(source, read)

        replay_key = headers.get("idempotency-key")
        if replay_key is None:
            return await work()
        if len(replay_key) > _MAX_IDEMPOTENCY_KEY:
            raise unreadable(f"an Idempotency-Key has {_MAX_IDEMPOTENCY_KEY} characters at most")
        digest = blake2b(body, digest_size=16).digest()
        return await self._replays.once((sender, source, replay_key), digest, work)

    def _source(self, request: Request) -> str:
        source = self._door.source or request.query_params.get("source", "")
        if source not in self._edge.registry:
            raise unknown_source(self._edge.registry.sources)
        return source

    def _sender(self, request: Request, source: str) -> str:
        """Return the id of the API key that the request came with."""
        text = _presented_key(request)
        if text is None:
            if self._open and _from_this_machine(request):
                return _LOOPBACK_SENDER
            self._edge.metrics.auth_failed()
            raise no_key()
        key = self._edge.keys.verify(text)
        if key is None:
            self._edge.metrics.auth_failed()
            raise no_key()
        if not key.may_send(source):
            self._edge.metrics.auth_failed()
            raise not_in_scope(source)
        return key.id

    async def _body(self, request: Request) -> bytes:
        declared = request.headers.get("content-length", "0")
        if declared.isdecimal() and int(declared) > self._max_body:
            raise self._too_large()
        parts: list[bytes] = []
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > self._max_body:
                raise self._too_large()
            parts.append(part)
        if not size:
            raise unreadable("the body is empty")
        return b"".join(parts)

    def _too_large(self) -> Problem:
        return too_large(f"a post may have {self._max_body} bytes")


def _presented_key(request: Request) -> str | None:
    key = request.headers.get("x-api-key")
    if key is not None:
        return key
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _from_this_machine(request: Request) -> bool:
    """Whether the client is on this machine and no proxy speaks for another one."""
    if any(name in request.headers for name in _FORWARDED):
        return False
    return request.client is not None and request.client.host in _LOOPBACK
