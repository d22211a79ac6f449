"""The ASGI application: routes, documentation, health, and the boundary where errors end."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import orjson
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from ingest_lambda.auth import Gate
from ingest_lambda.corrections import METHODS, PATH, CorrectionRoute
from ingest_lambda.edge import Edge
from ingest_lambda.idempotency import Replays
from ingest_lambda.openapi import openapi_document
from ingest_lambda.problems import Problem, internal
from ingest_lambda.routes import DOORS, EventRoute
from telemetry_contracts.registry import Registry

_log = logging.getLogger(__name__)
_DOCS_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Telemetry edge</title>
<link rel="stylesheet" href="docs/assets/swagger-ui.css"></head>
<body><div id="page"></div><script src="docs/assets/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({url: "openapi.json", dom_id: "#page", deepLinking: true})</script>
</body></html>
"""


class EdgeApp:
    """The application that serves an edge, which the caller opened and closes."""

    def __init__(self, edge: Edge) -> None:
        replays = Replays()
        gate = Gate(edge.settings, edge.keys, edge.metrics)
        self._doors = {door.name: EventRoute(door, edge, replays, gate) for door in DOORS}
        self._pages = _pages(edge, self._doors, CorrectionRoute(edge, replays, gate))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        # Posts of events go straight to their door; routing them would cost more than reading one.
        is_post = scope["type"] == "http" and scope["method"] == "POST"
        door = self._doors.get(scope["path"]) if is_post else None
        await (door or self._pages)(scope, receive, send)


def _pages(edge: Edge, doors: dict[str, EventRoute], corrections: CorrectionRoute) -> Starlette:
    document = _Document(edge)

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        reasons = edge.unready()
        status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
        contracts = edge.contracts
        state = {
            "ready": not reasons,
            "reasons": reasons,
            "spooling": edge.spooling,
            "contracts": {source: each.version for source, each in contracts.registry.items()},
            "contracts_refused": contracts.refused,
        }
        return _json(state, status)

    async def metrics(_: Request) -> Response:
        return Response(edge.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    async def openapi(_: Request) -> Response:
        return Response(document.text(), media_type="application/json")

    async def docs(_: Request) -> Response:
        return HTMLResponse(_DOCS_PAGE)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        async with edge.reading.apart():
            yield

    return Starlette(
        lifespan=lifespan,
        routes=[
            *(Route(path, door, methods=["POST"]) for path, door in doors.items()),
            Route(PATH, corrections, methods=METHODS),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            Route("/openapi.json", openapi),
            Route("/docs", docs),
            Mount("/docs/assets", StaticFiles(directory=_documentation_assets())),
        ],
        exception_handlers={
            HTTPException: _http_problem,
            Exception: _unexpected,
        },
    )


class _Document:
    """The OpenAPI document of the contracts in force, written when they change."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._written: tuple[Registry, bytes] | None = None

    def text(self) -> bytes:
        registry = self._edge.registry
        if self._written is None or self._written[0] is not registry:
            self._written = registry, orjson.dumps(openapi_document(registry, _version()))
        return self._written[1]


def _version() -> str:
    """Return our version; an image has the packages without their metadata."""
    try:
        return version("telemetry-lakehouse")
    except PackageNotFoundError:
        return "unknown"


def _documentation_assets() -> Path:
    """Return the folder of Swagger UI's files, so that /docs needs no other host."""
    spec = find_spec("fastapi_offline")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("fastapi-offline is not installed")
    return Path(spec.submodule_search_locations[0]) / "static"


def _json(content: object, status: HTTPStatus) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


def _problem(problem: Problem) -> Response:
    return Response(orjson.dumps(problem.document()), problem.status, problem.headers())


async def _http_problem(_: Request, error: Exception) -> Response:
    status = HTTPStatus(error.status_code if isinstance(error, HTTPException) else 500)
    answer = _problem(Problem(status, "http", status.description or status.phrase))
    if isinstance(error, HTTPException) and error.headers:
        answer.headers.update(error.headers)
    return answer


async def _unexpected(_: Request, error: Exception) -> Response:
    _log.error("unexpected", exc_info=error)
    return _problem(internal())
