"""An edge on a lake in a temporary directory, and a client that speaks ASGI to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import polars as pl
import pytest

from ingest_lambda.app import EdgeApp
from ingest_lambda.edge import Edge, open_edge
from telemetry_contracts.sealing import SealBox
from telemetry_contracts.tokens import KeyRing
from telemetry_platform.access_keys.key_file import create_key
from telemetry_platform.delta import open_table
from telemetry_platform.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path


class Client:
    """Posts to the application in process, as a client at `address` would."""

    def __init__(self, edge: Edge, key: str, address: str = "127.0.0.1") -> None:
        self.key = key
        self._transport = httpx.ASGITransport(
            EdgeApp(edge), raise_app_exceptions=False, client=(address, 50_000)
        )

    def post(
        self, path: str, content: bytes, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Post JSON with the client's key unless `headers` say otherwise."""
        return self.run(
            lambda http: http.post(path, content=content, headers=self.headers(headers))
        )

    def get(self, path: str) -> httpx.Response:
        return self.run(lambda http: http.get(path))

    def together(self, *bodies: bytes, path: str = "/ingest") -> list[httpx.Response]:
        """Post several bodies at once."""

        async def all_of(http: httpx.AsyncClient) -> list[httpx.Response]:
            posts = [http.post(path, content=b, headers=self.headers(None)) for b in bodies]
            return list(await asyncio.gather(*posts))

        return self.run(all_of)

    def headers(self, more: dict[str, str] | None) -> dict[str, str]:
        return {"x-api-key": self.key, "content-type": "application/json"} | (more or {})

    def run(self, work: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> Any:
        async def session() -> Any:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://edge") as http:
                return await work(http)

        return asyncio.run(session())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    lake = tmp_path / "lake"
    lake.mkdir()
    settings = Settings(home=tmp_path, lake_root=str(lake), secrets_path=tmp_path / "secrets")
    settings.secrets_dir.mkdir()
    KeyRing.generate().save(settings.secrets_dir / "token_keys.json")
    SealBox.generate().save(settings.secrets_dir / "seal_keys.json")
    return settings


@pytest.fixture
def key(settings: Settings) -> str:
    return create_key(settings.secrets_dir / "api_keys.json", "test", ["*"])[1]


@pytest.fixture
def edge(settings: Settings, key: str) -> Iterator[Edge]:
    assert key
    edge = open_edge(settings)
    yield edge
    edge.close()


@pytest.fixture
def client(edge: Edge, key: str) -> Client:
    return Client(edge, key)


@pytest.fixture
def rows(settings: Settings) -> Callable[[str], pl.DataFrame]:
    """Return all rows of a table of the lake."""

    def read(path: str) -> pl.DataFrame:
        table = open_table(settings, path)
        assert table is not None
        return pl.scan_delta(table).collect()

    return read
