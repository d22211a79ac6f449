"""Corrections of events: handed to the edge, which alone writes, with the caller's own key.

Without postponed annotations: the framework reads the parameters' types.
"""

from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

import httpx
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Security
from starlette.responses import Response

from access_api.problems import edge_away, too_large
from access_api.routes import bearer, key_header, reader_of

router = APIRouter(prefix="/v1")

_SECONDS = 30.0
_SENT = (
    "authorization",
    "content-encoding",
    "content-type",
    "idempotency-key",
    "x-api-key",
)
_ANSWERED = ("content-type", "retry-after", "www-authenticate")
_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_TEXTS = {
    400: "The body or a parameter is unreadable.",
    401: "No valid API key or access token.",
    403: "The key may not send this source.",
    409: "The Idempotency-Key came before with another body.",
    413: "Too many bytes.",
    415: "A media type or content coding that is not read.",
    429: "More than the key's rate allows, or too many requests without a valid key.",
    503: "Not durable now, or the edge is away; send it again after Retry-After seconds.",
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "The correction is durable, or was before. The answer is the edge's.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    },
    **{status: {"description": text, "content": _PROBLEM} for status, text in _TEXTS.items()},
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}

EventId = Annotated[UUID, Path(alias="id", description="The event_id of the event's answer.")]
Source = Annotated[str, Query(description="The contract that describes the event.", max_length=100)]
Once = Annotated[
    str | None,
    Header(alias="Idempotency-Key", max_length=255, description="Tells corrections apart."),
]
_KEYS = [Security(key_header), Security(bearer)]


def edge_client(ingest_url: str) -> httpx.AsyncClient:
    """Return a client of the edge."""
    return httpx.AsyncClient(base_url=ingest_url, timeout=_SECONDS, trust_env=False)


def _edge(request: Request) -> httpx.AsyncClient:
    return request.app.state.edge


Edge = Annotated[httpx.AsyncClient, Depends(_edge)]


@router.put(
    "/events/{id}",
    summary="Replace an event",
    status_code=HTTPStatus.ACCEPTED,
    responses=_RESPONSES | {422: {"description": "The event cannot be read.", "content": _PROBLEM}},
    response_class=Response,
    dependencies=_KEYS,
    openapi_extra=_BODY,
)
async def replace_event(
    request: Request, edge: Edge, event_id: EventId, source: Source, _once: Once = None
) -> Response:
    """The body is the event as it should have been. The key needs the role `write`."""
    return await _forward(request, edge, event_id, source)


@router.delete(
    "/events/{id}",
    summary="Delete an event",
    status_code=HTTPStatus.ACCEPTED,
    responses=_RESPONSES,
    response_class=Response,
    dependencies=_KEYS,
)
async def delete_event(
    request: Request, edge: Edge, event_id: EventId, source: Source, _once: Once = None
) -> Response:
    """It leaves the marts; the lake keeps its history. The key needs the role `write`."""
    return await _forward(request, edge, event_id, source)


async def _forward(
    request: Request, edge: httpx.AsyncClient, event_id: UUID, source: str
) -> Response:
    headers = {name: request.headers[name] for name in _SENT if name in request.headers}
    body = await _body(request, request.app.state.settings.max_body_bytes)
    try:
        answer = await edge.request(
            request.method,
            f"/v1/events/{event_id}",
            params={"source": source},
            content=body,
            headers=headers,
        )
    except httpx.HTTPError:
        raise edge_away() from None
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        # The edge sees all of these come from one address: whose they are is known here alone.
        reader_of(request).gate.refused(request)
    told = {name: answer.headers[name] for name in _ANSWERED if name in answer.headers}
    return Response(answer.content, answer.status_code, told)


async def _body(request: Request, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise too_large(limit)
        parts.append(part)
    return b"".join(parts)
