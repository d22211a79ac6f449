"""A device type, and then a newer version of it, put into the folder of a stack that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest

from telemetry_cli.embedded.secrets import DEVELOPMENT_KEY_FILE
from telemetry_platform.clock import utc_now
from telemetry_platform.postgres import dsn
from tests.integration.dagster_client import DagsterClient
from tests.integration.whole_stack.settling import wait_until_settled
from tests.stack_process import DEADLINE_SECONDS, wait_until
from tests.unit.telemetry_contracts.soil import probe, put, soil

if TYPE_CHECKING:
    from telemetry_cli.embedded.stack import EmbeddedStack
    from telemetry_platform.settings import Settings

pytestmark = pytest.mark.integration

_SALT = """      - name: salinity_percent
        logicalType: number
        description: A field that the second version adds, and devices call otherwise.
        synonyms: [{synonym: salt}]
        customProperties:
          - {property: metric, value: true}
          - {property: paths, value: [{shape: probe_json, path: salt}]}
"""
_METRICS = """
select device_id, metric, sum(n), sum(total) from marts.agg_metric_minutes
where source = 'soil' and metric in ('ph', 'salinity_percent') group by 1, 2 order by 1, 2
"""
_EVENTS = """
select device_id, contract_version, extras,
    to_char(received_hour at time zone 'UTC', 'YYYY-MM-DD"T"HH24')
from warehouse.soil order by 1
"""
_READABLE = """
select count(*) filter (where has_table_privilege('telemetry_reader', oid, 'select')), count(*)
from pg_class where relnamespace = 'marts'::regnamespace and relkind in ('r', 'p', 'v', 'm')
"""


def test_a_new_type_and_its_next_version_reach_the_marts_without_a_restart(
    servers: EmbeddedStack, stack: Settings
) -> None:
    stack.contracts_path.mkdir(exist_ok=True)
    dagster = DagsterClient(stack.dagster_url)
    processes = dict(servers.processes)

    put(stack.contracts_path, soil(new_field="ph", logical_type="integer"))
    wait_until(lambda: accepted(stack, probe("bed-1", 0, at=now(), ph=6, salt=0.5)), "bed-1 is in")
    wait_until(
        lambda: query(stack, _METRICS) == [("bed-1", "ph", 1, 6.0)], "bed-1 is in the aggregates"
    )

    put(stack.contracts_path, soil(version="1.1.0", new_field="ph") + _SALT)
    halves = probe("bed-2", 0, at=now(), ph=6.5, salt=0.7)
    wait_until(lambda: accepted(stack, halves), "bed-2, whose pH is no whole number, is in")
    wait_until(
        lambda: len(query(stack, _EVENTS)) == 2,
        "bed-2 is in the warehouse",
        lambda: (query(stack, _EVENTS), dagster.unfinished_runs()),
    )
    hours = sorted({hour for *_, hour in query(stack, _EVENTS)})
    wait_until_settled(stack)
    for hour in hours:
        run = dagster.launch_partition("refine_hour", hour)
        wait_until(lambda run=run: dagster.status(run) in {"SUCCESS", "FAILURE"}, "it ends")
        assert dagster.status(run) == "SUCCESS"
    # What came before its field was in the contract is kept as it came.
    assert [row[:3] for row in query(stack, _EVENTS)] == [
        ("bed-1", "1.0.0", '{"salt":0.5}'),
        ("bed-2", "1.1.0", None),
    ]
    assert query(stack, _METRICS) == [
        ("bed-1", "ph", 1, 6.0),
        ("bed-2", "ph", 1, 6.5),
        ("bed-2", "salinity_percent", 1, 0.7),
    ]
    ((readable, marts),) = query(stack, _READABLE)
    assert readable == marts > 0
    assert dict(servers.processes) == processes


def now() -> int:
    return int(utc_now().timestamp())


def accepted(stack: Settings, event: dict[str, Any]) -> bool:
    """Post an event; tells whether the edge took it."""
    answer = httpx.post(
        f"{stack.ingest_url}/v1/events",
        params={"source": "soil"},
        headers={"x-api-key": (stack.secrets_dir / DEVELOPMENT_KEY_FILE).read_text().strip()},
        json=event,
        timeout=DEADLINE_SECONDS,
    )
    return answer.status_code == httpx.codes.ACCEPTED


def query(stack: Settings, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn(stack)) as connection:
        return connection.execute(sql.encode()).fetchall()
