"""The HTTP routes that take events: bodies and replays in, receipts or problems out.

Who may post is `auth`'s matter.
"""

from __future__ import annotations

import logging
import time
from hashlib import blake2b
from http import HTTPStatus
from typing import NamedTuple

from starlette.types import Receive, Scope, Send

from ingest_lambda.answers import Answer
from ingest_lambda.auth import Gate
from ingest_lambda.bodies import Sent
from ingest_lambda.calls import Call, ClientGone, reply, reply_problem
from ingest_lambda.edge import Edge
from ingest_lambda.idempotency import Replays
from ingest_lambda.problems import Problem, internal, unknown_source, unreadable
from ingest_lambda.senders import Sender

_log = logging.getLogger(__name__)
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
    """The ASGI application of one door: answers posts."""

    def __init__(self, door: Door, edge: Edge, replays: Replays, gate: Gate) -> None:
        settings = edge.settings
        self._door = door
        self._edge = edge
        self._replays = replays
        self._gate = gate
        self._max_body = settings.max_body_bytes
        self._open = door.open_on_loopback and settings.stream_open_on_loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one post."""
        started = time.perf_counter()
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        try:
            result = await self._receive(Call(scope, receive))
            status = result.status(self._door.success)
            await reply(send, status, result.body)
        except Problem as problem:
            status = problem.status
            await reply_problem(send, problem)
        except ClientGone:
            # Nobody is left to answer.
            status = HTTPStatus.BAD_REQUEST
        except Exception as error:  # noqa: BLE001  (the boundary of a request)
            _log.error("unexpected", exc_info=error)
            await reply_problem(send, internal())
        finally:
            self._edge.metrics.posted(self._door.name, status, time.perf_counter() - started)

    async def _receive(self, call: Call) -> Answer:
        source = self._source(call)
        sender = await self._gate.admit(call, source, open_on_loopback=self._open)
        body = await call.body(self._max_body)
        if not body:
            raise unreadable("the body is empty")
        replay_key = self._replay_key(call)
        if replay_key is None:
            return await self._answer(call, sender, source, body)
        digest = blake2b(body, digest_size=16).digest()
        return await self._replays.once(
            (sender.id, source, replay_key),
            digest,
            lambda: self._answer(call, sender, source, body),
        )

    @staticmethod
    def _replay_key(call: Call) -> str | None:
        key = call.header(b"idempotency-key")
        if key is not None and len(key) > _MAX_IDEMPOTENCY_KEY:
            raise unreadable(f"an Idempotency-Key has {_MAX_IDEMPOTENCY_KEY} characters at most")
        return key

    async def _answer(self, call: Call, sender: Sender, source: str, body: bytes) -> Answer:
        content_type = call.header(b"content-type") or ""
        coding = call.header(b"content-encoding") or ""
        answer = await self._edge.receive(source, Sent(body, content_type, coding))
        self._gate.charge(sender, answer.accepted + answer.duplicate + answer.rejected)
        return answer

    def _source(self, call: Call) -> str:
        source = self._door.source or call.query("source")
        if source not in self._edge.registry:
            raise unknown_source(self._edge.registry.sources)
        return source
