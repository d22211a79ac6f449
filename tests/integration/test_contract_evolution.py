"""Contracts that changed: old rows stay, are read by the new version, and can be derived again."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from pydantic import SecretStr

from telemetry_assets.lakehouse.lake import Lake
from telemetry_assets.lakehouse.settled import settled_hours
from telemetry_assets.lakehouse.tables import LEDGER, bronze_table, silver_table
from telemetry_assets.lakehouse.warehouse import create_tables, warehouse_load
from telemetry_assets.lakehouse.warehouse_schema import LEDGERS, event_table
from telemetry_contracts.contract import Contract
from telemetry_contracts.odcs import read_contract
from telemetry_contracts.registry import Registry
from telemetry_platform.clock import hour_start
from telemetry_platform.delta import open_table
from telemetry_platform.postgres import connect
from tests.unit.telemetry_assets.landed import HOUR, NEXT_HOUR, land
from tests.unit.telemetry_contracts.soil import probe, soil

if TYPE_CHECKING:
    from telemetry_platform.settings import Settings

pytestmark = pytest.mark.integration


def contract(*changes: tuple[str, str], **options: Any) -> Contract:
    text = soil(**options)
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return read_contract(text, "soil")


def reading(minute: int, hour: str = HOUR, **more: Any) -> dict[str, Any]:
    moment = hour_start(hour) - timedelta(minutes=minute)
    return probe("bed", 0, at=int(moment.timestamp()), **more)


def refined(settings: Settings, described: Contract, hour: str = HOUR) -> pl.DataFrame:
    """Derive an hour as a run does that has just started, a backfill's or another."""
    lake = Lake(settings, Registry([described]))
    lake.build_bronze("soil", hour)
    lake.write(silver_table(described), lake.refined("soil", hour).silver, hour)
    return Lake(settings, Registry([described])).silver("soil", hour)


def test_an_old_hour_is_read_and_derived_again_after_each_change(lake_settings: Settings) -> None:
    first = contract(new_field="ph", logical_type="integer")
    land(lake_settings, Registry([first]), "soil", [reading(1, ph=6), reading(2)])
    before = refined(lake_settings, first).drop("ph")

    grown = contract(new_field="ph", logical_type="integer", version="1.1.0")
    widened = contract(new_field="ph", version="1.2.0")
    land(lake_settings, Registry([widened]), "soil", [reading(3, NEXT_HOUR, ph=6.5)], NEXT_HOUR)
    assert refined(lake_settings, grown)["ph"].to_list() == [6, None]
    assert refined(lake_settings, widened, NEXT_HOUR)["ph"].to_list() == [6.5]
    delta = open_table(lake_settings, bronze_table(widened).path)
    assert delta is not None
    whole = pl.scan_delta(delta).collect()
    assert whole.schema["ph"] == pl.Float64
    assert whole.sort("event_time")["ph"].to_list() == [None, 6.0, 6.5]

    synonyms = "\n        synonyms: [{synonym: ph}]\n        logicalType: number"
    renamed = contract(
        ("name: ph\n        logicalType: number", f"name: acidity_ph{synonyms}"),
        new_field="ph",
        version="2.0.0",
    )
    again = refined(lake_settings, renamed)
    assert again["acidity_ph"].to_list() == [6.0, None]
    assert again["contract_version"].to_list() == ["1.0.0", "1.0.0"], "which the edge read it by"

    removed = contract(version="3.0.0")
    last = refined(lake_settings, removed)
    assert last.equals(before)


def test_a_further_enum_value_brings_refused_rows_back_by_a_backfill(
    lake_settings: Settings,
) -> None:
    state = "        enum:\n          - {value: dry}\n"
    kind = ("description: A further field.\n", f"description: A further field.\n{state}")
    metric = "          - {property: metric, value: true}\n"
    paths = "          - {property: paths, value: [{shape: probe_json, path: state}]}"
    plain = (metric + paths, paths)
    dry = contract(kind, plain, new_field="state", logical_type="string")
    land(lake_settings, Registry([dry]), "soil", [reading(1, state="dry"), reading(2, state="wet")])
    assert refined(lake_settings, dry)["state"].to_list() == ["dry"]
    both = ("          - {value: dry}\n", "          - {value: dry}\n          - {value: wet}\n")
    wet = contract(kind, plain, both, new_field="state", logical_type="string", version="1.1.0")
    assert refined(lake_settings, wet)["state"].sort().to_list() == ["dry", "wet"]


@pytest.fixture
def warehouse(lake_settings: Settings, postgres_dsn: str) -> Settings:
    return lake_settings.model_copy(update={"postgres_dsn": SecretStr(postgres_dsn)})


def test_the_warehouse_widens_a_column_that_views_read(warehouse: Settings) -> None:
    narrow = contract(new_field="ph", logical_type="integer")
    create_tables(warehouse, Registry([narrow]))
    with connect(warehouse) as connection:
        connection.execute("CREATE VIEW beds AS SELECT device_id, ph FROM warehouse.soil")
        connection.execute("CREATE VIEW acid AS SELECT ph FROM beds WHERE ph < 7")
        connection.execute("COMMENT ON VIEW acid IS 'Below seven.'")
        connection.execute("COMMENT ON COLUMN acid.ph IS 'It''s acid.'")
        connection.execute("GRANT SELECT ON beds TO pg_monitor WITH GRANT OPTION")
        connection.execute("GRANT SELECT ON acid TO PUBLIC")
    wide = contract(new_field="ph", version="1.1.0")
    create_tables(warehouse, Registry([wide]))
    create_tables(warehouse, Registry([wide]))
    land(warehouse, Registry([wide]), "soil", [reading(1, ph=6.5)])
    rows = refined(warehouse, wide)
    table = event_table(wide)
    with warehouse_load(warehouse, [table], HOUR) as load:
        load.replace(table, rows)
    with connect(warehouse) as connection:
        assert connection.execute("SELECT ph FROM acid").fetchall() == [(6.5,)]
        told = connection.execute(
            "SELECT obj_description('acid'::regclass), col_description('acid'::regclass, 1)"
        )
        assert told.fetchone() == ("Below seven.", "It's acid.")
        allowed = "has_table_privilege('pg_monitor', {}, {})"
        may = ", ".join(
            allowed.format(*pair)
            for pair in (("'beds'", "'select with grant option'"), ("'acid'", "'select'"))
        )
        assert connection.execute(f"SELECT {may}".encode()).fetchone() == (True, True)


def test_an_hour_is_settled_while_the_warehouse_has_all_that_landed(warehouse: Settings) -> None:
    described = contract()
    registry = Registry([described])
    path = "landing/events"
    land(warehouse, registry, "soil", [reading(1), reading(2)])
    land(warehouse, registry, "soil", [reading(3, NEXT_HOUR)], NEXT_HOUR)
    create_tables(warehouse, registry)
    assert settled_hours(warehouse, path) == set()
    row = {"source": "soil", "received_hour": HOUR, "accepted": 2, "silver": 2}
    with warehouse_load(warehouse, [LEDGERS], HOUR) as load:
        load.replace(LEDGERS, pl.DataFrame([row], schema=LEDGER.schema))
    assert settled_hours(warehouse, path) == {("soil", HOUR)}
    land(warehouse, registry, "soil", [reading(4)])
    assert settled_hours(warehouse, path) == set()
