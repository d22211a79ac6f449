"""Corrections on a whole stack: what the marts say after one of an hour that was over."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import psycopg
import pytest

from ingest_lambda.admission import Receipt, event_rows, judge
from ingest_lambda.bodies import Body
from ingest_lambda.edge import Edge
from ingest_lambda.post_reader import PostReader
from ingest_lambda.recent import RecentIds
from telemetry_cli.embedded.secrets import DEVELOPMENT_KEY_FILE
from telemetry_contracts.registry import load_registry
from telemetry_platform.clock import utc_now
from telemetry_platform.ids import new_receipt_id
from telemetry_platform.postgres import dsn
from tests.integration.whole_stack.settling import wait_until_settled
from tests.stack_process import wait_until

if TYPE_CHECKING:
    from telemetry_platform.settings import Settings

pytestmark = pytest.mark.integration

DEVICE = "balcony"


def reading(minute: int, temperature: float) -> dict[str, Any]:
    moment = f"2026-11-01T08:{minute:02}:00Z"
    return {"device_id": DEVICE, "timestamp": moment, "temperature": temperature}


def land_in_the_past(stack: Settings, events: list[dict[str, Any]]) -> list[str]:
    """Land events in an hour that is over, as a spool does; return their ids."""
    edge = Edge(stack.model_copy(update={"spool_max_bytes": 0}), load_registry())
    arrived = utc_now() - timedelta(hours=3)
    receipt = Receipt(new_receipt_id(), "environment", arrived, "1.1.0", 1)
    post = PostReader(load_registry()["environment"], edge.keyring).read(
        Body(orjson.dumps(events), is_lines=False), 10
    )
    verdicts = judge(post, "environment", RecentIds(100))
    edge.events.submit(event_rows(verdicts, receipt)).result(30)
    edge.close()
    return list(post.events.event_ids)


def test_marts_and_accounts_follow_corrections_of_an_hour_that_was_over(stack: Settings) -> None:
    def ask(query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(dsn(stack)) as connection:
            try:
                return connection.execute(query.encode(), {"device": DEVICE}).fetchall()
            except psycopg.errors.UndefinedTable:
                return []

    def events() -> list[tuple[Any, ...]]:
        return ask(
            "select event_id, correction_id from marts.fct_events"
            " where device_id = %(device)s order by event_time"
        )

    first, second, third = land_in_the_past(
        stack, [reading(0, 20.0), reading(1, 21.0), reading(2, 22.0)]
    )
    wait_until(lambda: len(events()) == 3, "the events are in the mart")
    key = (stack.secrets_dir / DEVELOPMENT_KEY_FILE).read_text().strip()
    with httpx.Client(headers={"x-api-key": key}, trust_env=False, timeout=30) as client:
        replaced = client.put(
            f"{stack.access_url}/v1/events/{first}?source=environment", json=reading(0, 30.0)
        )
        deleted = client.delete(f"{stack.ingest_url}/v1/events/{second}?source=environment")
    assert (replaced.status_code, deleted.status_code) == (HTTPStatus.ACCEPTED,) * 2
    correction = replaced.json()["events"][0]["event_id"]
    gone = deleted.json()["events"][0]["event_id"]
    wanted = [(first, correction), (third, None)]
    wait_until(lambda: events() == wanted, "the marts follow")

    def adds_up() -> bool:
        return ask("select bool_and(adds_up), sum(superseded) from marts.rpt_reconciliation") == [
            (True, 3)
        ]

    wait_until(adds_up, "each accepted event is accounted for")
    wait_until_settled(stack)
    with httpx.Client(headers={"x-api-key": key}, trust_env=False, timeout=30) as client:
        traces = {
            each: [
                (found["outcome"], found["fate"], found["correction_id"])
                for found in client.get(f"{stack.access_url}/v1/trace/{each}").json()["events"]
            ]
            for each in (first, second, correction, gone)
        }
    way = [("superseded", "replaced", correction), ("kept", None, correction)]
    assert traces[first] == traces[correction] == way
    ended = [("superseded", "deleted", gone), ("superseded", "deletion", None)]
    assert traces[second] == traces[gone] == ended
    assert ask(
        "select temperature_celsius from marts.fct_environment_readings"
        " where device_id = %(device)s order by event_time"
    ) == [(30.0,), (22.0,)]
    assert ask(
        "select n, average, minimum from marts.agg_metric_hours"
        " where device_id = %(device)s and metric = 'temperature_celsius'"
    ) == [(2, 26.0, 22.0)]
