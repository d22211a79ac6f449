"""Contracts at the edge: a new one is read by without a restart, a wrong one changes nothing."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
import polars as pl
import pytest

from ingest_lambda.contracts import ContractWatch
from telemetry_platform.contracts import contract_folder
from tests.unit.telemetry_contracts.soil import probe, put, soil

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ingest_lambda.edge import Edge
    from telemetry_platform.settings import Settings
    from tests.unit.ingest_lambda.conftest import Client

PATH = "/v1/events?source=soil"


@pytest.fixture
def folder(settings: Settings) -> Path:
    settings.contracts_path.mkdir()
    return settings.contracts_path


@pytest.fixture
def watch(edge: Edge, folder: Path) -> ContractWatch:
    assert folder.exists()
    return ContractWatch(edge, contract_folder(edge.settings), 60)


def post(client: Client, *events: dict[str, Any]) -> Any:
    return client.post(PATH, orjson.dumps(list(events)))


def test_a_contract_that_comes_is_read_by_without_a_restart(
    client: Client, watch: ContractWatch, folder: Path, rows: Callable[[str], pl.DataFrame]
) -> None:
    assert post(client, probe("bed-1", 0)).status_code == HTTPStatus.BAD_REQUEST
    put(folder, soil())
    watch.look()
    assert post(client, probe("bed-1", 1)).status_code == HTTPStatus.ACCEPTED
    put(folder, soil(version="1.1.0", new_field="soil_acidity_ph"))
    watch.look()
    post(client, probe("bed-1", 2, soil_acidity_ph=6.5))
    landed = rows("landing/events").sort("event_time")
    assert landed["contract_version"].to_list() == ["1.0.0", "1.1.0"]
    assert json.loads(landed["payload"][1])["soil_acidity_ph"] == 6.5
    assert "soil" in client.get("/openapi.json").text


def test_a_wrong_contract_leaves_the_last_good_one_and_says_so(
    client: Client, watch: ContractWatch, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(folder, soil())
    watch.look()
    put(folder, soil(version="1.0.1").replace("logicalType: number", "logicalType: string"))
    watch.look()
    ready = client.get("/readyz")
    assert ready.status_code == HTTPStatus.OK
    assert ready.json()["contracts"]["soil"] == "1.0.0"
    assert "type changed" in ready.json()["contracts_refused"]["soil.odcs.yaml"]
    assert "edge_contracts_refused 1.0" in client.get("/metrics").text
    assert "contract refused" in caplog.text
    assert post(client, probe("bed-1", 0)).status_code == HTTPStatus.ACCEPTED
    put(folder, soil())
    watch.look()
    assert "edge_contracts_refused 0.0" in client.get("/metrics").text


def test_a_request_stays_with_the_contracts_it_began_with(
    edge: Edge,
    client: Client,
    watch: ContractWatch,
    folder: Path,
    rows: Callable[[str], pl.DataFrame],
) -> None:
    put(folder, soil())
    watch.look()
    reader = edge.contracts.readers["soil"]
    read = reader.read

    def swap_while_reading(*arguments: Any) -> Any:
        put(folder, soil(version="1.1.0", new_field="soil_acidity_ph"))
        watch.look()
        return read(*arguments)

    reader.read = swap_while_reading  # ty: ignore[invalid-assignment]
    post(client, probe("bed-1", 0, soil_acidity_ph=6.5))
    (landed,) = rows("landing/events").rows(named=True)
    assert landed["contract_version"] == "1.0.0"
    assert "soil_acidity_ph" in json.loads(landed["payload"])["_extras"]
    assert edge.registry["soil"].version == "1.1.0"


def test_contracts_that_did_not_change_keep_their_readers(
    edge: Edge, watch: ContractWatch, folder: Path
) -> None:
    before = edge.contracts.readers["mobile"]
    put(folder, soil())
    watch.look()
    assert edge.contracts.readers["mobile"] is before
