"""Corrections over the access API: the edge's answer to the caller's own key."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest
from pydantic import SecretStr

from access_api.app import access_app
from ingest_lambda.app import EdgeApp
from ingest_lambda.edge import open_edge
from telemetry_contracts.sealing import SealBox
from telemetry_contracts.tokens import KeyRing
from telemetry_platform.access_keys.key_file import create_key
from telemetry_platform.delta import open_table
from telemetry_platform.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fastapi import FastAPI

    from telemetry_contracts.registry import Registry

pytestmark = pytest.mark.unit

ADDRESS = "/v1/events/00000000-0000-7000-8000-000000000001?source=wearable"
WATCH = orjson.dumps({"device_id": "w", "date": "2026-01-05T10:00:00Z", "hr": 70})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    lake = tmp_path / "lake"
    lake.mkdir()
    dsn = SecretStr("postgresql://nobody@127.0.0.1:1/none")
    settings = Settings(
        home=tmp_path,
        lake_root=str(lake),
        secrets_path=tmp_path / "secrets",
        access_postgres_dsn=dsn,
        auth_failure_limit=3,
    )
    settings.secrets_dir.mkdir()
    KeyRing.generate().save(settings.secrets_dir / "token_keys.json")
    SealBox.generate().save(settings.secrets_dir / "seal_keys.json")
    return settings


@pytest.fixture
def key(settings: Settings) -> str:
    return create_key(settings.secrets_dir / "api_keys.json", "watches", ["wearable"])[1]


@pytest.fixture
def app(settings: Settings, registry: Registry, key: str) -> Iterator[FastAPI]:
    """Return the access API with an edge behind it."""
    assert key
    edge = open_edge(settings)
    app = access_app(settings)
    transport = httpx.ASGITransport(EdgeApp(edge), client=("127.0.0.1", 50_000))
    app.state.edge = httpx.AsyncClient(transport=transport, base_url="http://edge")
    yield app
    edge.close()


def send(app: FastAPI, *requests: tuple[str, str, bytes, str]) -> list[httpx.Response]:
    async def session() -> Any:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://access") as http:
            return [
                await http.request(method, url, content=body, headers={"x-api-key": key})
                for method, url, body, key in requests
            ]

    return asyncio.run(session())


def test_a_correction_reaches_the_edge_with_the_callers_key(
    app: FastAPI, key: str, settings: Settings
) -> None:
    put, deleted, bad = send(
        app,
        ("PUT", ADDRESS, WATCH, key),
        ("DELETE", ADDRESS, b"", key),
        ("PUT", ADDRESS, b'{"hr": 70}', key),
    )
    assert (put.status_code, deleted.status_code) == (HTTPStatus.ACCEPTED, HTTPStatus.ACCEPTED)
    assert bad.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert bad.headers["content-type"] == "application/problem+json"
    table = open_table(settings, "landing/events")
    assert table is not None
    assert put.json()["events"][0]["status"] == deleted.json()["events"][0]["status"] == "accepted"
    assert table.version() == 2


def test_bad_keys_are_throttled_by_their_own_address_and_good_ones_pass(
    app: FastAPI, key: str
) -> None:
    answers = send(app, *[("DELETE", ADDRESS, b"", "tk_wrong")] * 5, ("DELETE", ADDRESS, b"", key))
    statuses = [answer.status_code for answer in answers]
    assert statuses[0] == HTTPStatus.UNAUTHORIZED
    assert statuses[4:] == [HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.ACCEPTED]


def test_without_an_edge_nothing_is_promised(app: FastAPI, key: str) -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    app.state.edge = httpx.AsyncClient(transport=httpx.MockTransport(away), base_url="http://edge")
    (answer,) = send(app, ("DELETE", ADDRESS, b"", key))
    assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert answer.json()["type"] == "urn:telemetry:problem:edge-away"
