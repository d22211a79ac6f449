"""The application: routes, health, documentation, and the boundary where errors end."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import orjson
import psycopg
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from psycopg_pool import PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response

from access_api.corrections import edge_client
from access_api.corrections import router as corrections
from access_api.openapi import openapi_document
from access_api.pages.lake_samples import LakeSamples
from access_api.pages.rendering import render_problem, wants_page
from access_api.pages.routes import add_pages
from access_api.pages.visitors import SignInNeeded, to_sign_in
from access_api.problems import (
    bad_parameter,
    database_away,
    internal,
    not_built,
    too_slow,
)
from access_api.reading import Reader
from access_api.routes import router
from access_api.tracing import Follower
from telemetry_platform.problems import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.requests import Request

    from telemetry_platform.settings import Settings

_log = logging.getLogger(__name__)
_DESCRIPTION = """
The marts over HTTP. Send an API key with the role `read` as `x-api-key`
(`telemetry keys create NAME --role read`). Answers come as JSON pages, CSV, Parquet or Arrow, as
`Accept` says.
"""
_NAME_LENGTH = 60


def access_app(settings: Settings) -> FastAPI:
    """Return the application. Its connections are opened when it starts to serve.

    Raises:
        NotConfigured: There is no address of the database.
        ContractError: A built-in contract is wrong.
    """
    app = FastAPIOffline(
        title="Telemetry access API",
        version=_version(),
        description=_DESCRIPTION,
        redoc_url=None,
        static_url="/docs/assets",
        lifespan=_lifespan,
    )
    app.state.settings = settings
    app.state.reader = Reader(settings)
    app.state.follower = Follower(settings, app.state.reader.contracts)
    app.state.lake_samples = LakeSamples(settings)
    app.include_router(router)
    app.include_router(corrections)
    add_pages(app)
    _add_health(app)
    app.openapi = lambda: _openapi(app)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(SignInNeeded, to_sign_in)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_problem)
    app.add_exception_handler(psycopg.Error, _database_problem)
    app.add_exception_handler(PoolTimeout, _database_problem)
    app.add_exception_handler(Exception, _unexpected)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncGenerator[None]:
    reader: Reader = app.state.reader
    await reader.database.open()
    reader.contracts.start()
    async with edge_client(app.state.settings.ingest_url) as app.state.edge:
        yield
    reader.contracts.stop()
    await reader.database.close()


def _add_health(app: FastAPI) -> None:
    reader: Reader = app.state.reader

    async def healthz() -> Response:
        """Whether the process runs."""
        return PlainTextResponse("ok\n")

    async def readyz() -> Response:
        """What keeps it from answering."""
        reasons = []
        try:
            await reader.database.ping()
        except (psycopg.Error, PoolTimeout):
            reasons.append("the database is away")
        if reader.gate.keys.empty:
            reasons.append(reader.gate.keys.problem or "there is no valid API key")
        status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
        body = orjson.dumps({"ready": not reasons, "reasons": reasons})
        return Response(body, status, media_type="application/json")

    app.add_api_route("/healthz", healthz, response_class=PlainTextResponse)
    unready: dict[int | str, dict[str, Any]] = {503: {"description": "Not ready."}}
    app.add_api_route("/readyz", readyz, responses=unready)


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        app.openapi_schema = openapi_document(app)
    return app.openapi_schema


def _version() -> str:
    try:
        return version("telemetry-lakehouse")
    except PackageNotFoundError:
        return "unknown"


def _answer(request: Request, problem: Problem) -> Response:
    if wants_page(request):
        return render_problem(request, problem)
    return Response(orjson.dumps(problem.document()), problem.status, problem.headers())


async def _problem(request: Request, error: Exception) -> Response:
    return _answer(request, error if isinstance(error, Problem) else internal())


async def _invalid(request: Request, error: Exception) -> Response:
    faults = error.errors() if isinstance(error, RequestValidationError) else []
    return _answer(request, bad_parameter("; ".join(map(_told, faults))))


def _told(fault: dict[str, Any]) -> str:
    """Return what is wrong with a parameter, without its value."""
    name = ".".join(str(part) for part in fault["loc"][1:])[:_NAME_LENGTH]
    if fault["type"] == "extra_forbidden":
        return f"{name}: there is no such parameter"
    return f"{name}: {fault['msg']}" if name else str(fault["msg"])


async def _http_problem(request: Request, error: Exception) -> Response:
    status = HTTPStatus(error.status_code if isinstance(error, HTTPException) else 500)
    answer = _answer(request, Problem(status, "http", status.description or status.phrase))
    if isinstance(error, HTTPException) and error.headers:
        answer.headers.update(error.headers)
    return answer


async def _database_problem(request: Request, error: Exception) -> Response:
    if isinstance(error, psycopg.errors.QueryCanceled):
        return _answer(request, too_slow())
    if isinstance(error, (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName)):
        return _answer(request, not_built())
    if isinstance(error, (psycopg.OperationalError, PoolTimeout)):
        _log.warning("the database is away", extra={"reason": type(error).__name__})
        return _answer(request, database_away())
    _log.error("a query failed", exc_info=error)
    return _answer(request, internal())


async def _unexpected(request: Request, error: Exception) -> Response:
    _log.error("unexpected", exc_info=error)
    return _answer(request, internal())
