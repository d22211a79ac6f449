"""Refused events on a whole stack: repaired by the command and from Dagster's pages, once."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
import polars as pl
import psycopg
import pytest

from ingest_lambda.admission import Receipt, Verdicts, rejected_rows
from ingest_lambda.edge import Edge
from ingest_lambda.post_reader import READ, Refused
from telemetry_cli.embedded.secrets import DEVELOPMENT_KEY_FILE
from telemetry_contracts.bulk import NO_EVENTS
from telemetry_contracts.reader import Refusal, Violation
from telemetry_contracts.registry import SOURCES, load_registry
from telemetry_platform.clock import hour_key, utc_now
from telemetry_platform.delta import open_table
from telemetry_platform.ids import new_receipt_id
from telemetry_platform.postgres import dsn
from tests.integration.dagster_client import DagsterClient
from tests.stack_process import DEADLINE_SECONDS, telemetry, wait_until
from tests.unit.ingest_lambda.conftest import Client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from telemetry_platform.settings import Settings

pytestmark = pytest.mark.integration

_IN_MART = "select device_id, received_at from marts.fct_events where receipt_id = %s order by 1"


@pytest.fixture(scope="module")
def narrow(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """Return an edge on the stack's lake whose contract refuses what room sensors send."""
    folder: Path = tmp_path_factory.mktemp("contracts")
    text = (SOURCES / "environment.odcs.yaml").read_text()
    path = "{shape: sensor_json, path: timestamp}"
    assert text.count(path) == 1
    narrowed = text.replace(path, "{shape: sensor_json, path: timestamp, format: epoch_seconds}")
    (folder / "environment.odcs.yaml").write_text(narrowed)
    # The stack's own edge uses the spool of this home.
    edge = Edge(stack.model_copy(update={"spool_max_bytes": 0}), load_registry(folder))
    yield edge
    edge.close()


def reading(device: str) -> dict[str, Any]:
    return {"device_id": device, "timestamp": "2026-11-01T08:00:00Z", "temperature": 19.5}


def landed(stack: Settings, receipt: str) -> pl.DataFrame:
    delta = open_table(stack, "landing/events")
    assert delta is not None
    return pl.scan_delta(delta).filter(pl.col("receipt_id") == receipt).collect()


def in_mart(stack: Settings, receipt: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn(stack)) as connection:
        try:
            return connection.execute(_IN_MART, (receipt,)).fetchall()
        except psycopg.errors.UndefinedTable:
            return []


def replay(stack: Settings, receipt: str, *words: str) -> dict[str, Any]:
    done = telemetry(stack.home, "replay", "--json", "--receipt", receipt, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cellar" not in done.stdout + done.stderr, "a payload value was shown"
    return json.loads(done.stdout)


def test_two_commands_at_once_repair_a_refused_post_once(stack: Settings, narrow: Edge) -> None:
    key = (stack.secrets_dir / DEVELOPMENT_KEY_FILE).read_text().strip()
    events = [reading(f"cellar-{n}") for n in range(20)]
    answer = Client(narrow, key).post("/v1/events?source=environment", orjson.dumps(events))
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY, answer.text
    receipt = answer.json()["receipt_id"]
    began = time.time()

    rehearsed = replay(stack, receipt)
    assert (rehearsed["dry_run"], rehearsed["landed"]) == (True, 20)
    assert landed(stack, receipt).is_empty()
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: replay(stack, receipt, "--apply"), range(2)))
    assert sum(report["landed"] for report in both) == 20
    found = landed(stack, receipt)
    assert found.height == found["event_id"].n_unique() == 20
    (received_at,) = set(found["received_at"])
    assert received_at.timestamp() < began
    again = replay(stack, receipt, "--apply")
    assert (again["landed"], again["settled"]) == (0, 20)
    assert landed(stack, receipt).height == 20
    wait_until(lambda: len(in_mart(stack, receipt)) == 20, "the repaired events are in the mart")


def test_dagster_repairs_an_event_of_an_hour_that_was_over(stack: Settings, narrow: Edge) -> None:
    arrived = (utc_now() - timedelta(hours=3)).replace(microsecond=0)
    receipt = Receipt(new_receipt_id(), "environment", arrived, "0.9.0", 1)
    refusal = Refusal((Violation("timestamp", "event_time", "expected epoch seconds"),))
    refused = Refused(0, READ, refusal, orjson.dumps(reading("attic-of-old")))
    verdicts = Verdicts(NO_EVENTS, NO_EVENTS, [refused], set(), [])
    narrow.rejected.submit(rejected_rows(verdicts, receipt, narrow.box)).result(DEADLINE_SECONDS)

    dagster = DagsterClient(stack.dagster_url)

    def launch(**config: Any) -> None:
        selected = {"receipts": [receipt.id], **config}
        ops = {"ops": {"replay_refused_events": {"config": selected}}}
        run = dagster.launch_job("replay_rejected", ops)
        ended = {"SUCCESS", "FAILURE", "CANCELED"}
        wait_until(lambda: dagster.status(run) in ended, "the replay's run ends")
        assert dagster.status(run) == "SUCCESS"

    launch()
    assert landed(stack, receipt.id).is_empty()
    launch(dry_run=False)
    (row,) = landed(stack, receipt.id).to_dicts()
    assert (row["received_at"], row["received_hour"]) == (arrived, hour_key(arrived))
    expected = [("attic-of-old", arrived)]
    wait_until(lambda: in_mart(stack, receipt.id) == expected, "the repaired event is in the mart")
    launch(dry_run=False)
    assert landed(stack, receipt.id).height == 1
