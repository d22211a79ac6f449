"""The main job on a whole stack: devices post, files are dropped, the marts answer.

One stack serves the module; its tests build on each other's events but not on each other's result.
"""

from __future__ import annotations

import csv
import json
import statistics
from collections import Counter
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
from rich.console import Console

from device_sim.csv_files import CsvFile
from telemetry_assets.lakehouse.reference import read_registry
from telemetry_assets.lakehouse.warehouse_schema import DEVICES
from telemetry_cli.demo_run import DemoInput, run_demo
from telemetry_cli.embedded.secrets import DEVELOPMENT_KEY_FILE
from telemetry_platform.postgres import dsn
from telemetry_platform.settings import Settings
from tests.integration.dagster_client import DagsterClient
from tests.integration.whole_stack.settling import wait_until_settled
from tests.stack_process import DEADLINE_SECONDS, wait_until

if TYPE_CHECKING:
    from telemetry_cli.demo_report import DemoReport

pytestmark = pytest.mark.integration

METRICS = {
    "temperature": ("temperature_celsius", 1.0),
    "humidity": ("relative_humidity_percent", 1.0),
    "pressure": ("pressure_hpa", 0.01),
}


def test_every_event_that_was_sent_has_one_fate(report: DemoReport) -> None:
    assert report.problem == ""
    assert {account.source for account in report.accounts} == {"environment", "mobile", "wearable"}
    for account in report.accounts:
        assert account.adds_up, account
        assert account.sent > 250
        assert account.in_mart > 0
    # Faults are drawn anew for each start: a single source may be spared.
    assert sum(account.rejected + account.unreadable for account in report.accounts) > 0
    assert sum(account.quarantined for account in report.accounts) > 0


def test_no_plain_personal_value_is_stored_anywhere(report: DemoReport) -> None:
    assert report.places
    assert report.plain_values_found == 0


def test_figures_of_a_file_equal_a_direct_computation(
    stack: Settings, report: DemoReport, clean: CsvFile
) -> None:
    assert report.problem == ""
    with clean.path.open(newline="") as text:
        dialect = csv.Sniffer().sniff(text.read(2048), delimiters=";,")
        text.seek(0)
        rows = list(csv.DictReader(text, dialect=dialect))
    found = {
        row[0]: row[1:]
        for row in _query(
            stack,
            "select metric, n, minimum, maximum, average, standard_deviation "
            "from marts.agg_file_metrics where source_file = %s",
            clean.path.name,
        )
    }
    for column, (metric, factor) in METRICS.items():
        values = [float(row[column]) * factor for row in rows]
        n, minimum, maximum, average, deviation = found[metric]
        assert n == len(values) == 300
        assert (minimum, maximum) == pytest.approx((min(values), max(values)), rel=1e-12)
        assert average == pytest.approx(statistics.fmean(values), rel=1e-9)
        assert deviation == pytest.approx(statistics.stdev(values), rel=1e-9)


def test_bad_rows_of_a_file_are_kept_with_a_log_of_reasons(
    stack: Settings, report: DemoReport, faulty: CsvFile
) -> None:
    assert report.problem == ""
    assert stack.quarantine_dir
    logs = sorted(stack.quarantine_dir.rglob(f"{faulty.path.name}*.log.csv"))
    rows = sorted(stack.quarantine_dir.rglob(f"{faulty.path.name}*.rows.csv"))
    assert len(logs) == len(rows) == 1
    with logs[0].open(newline="") as text:
        entries = list(csv.DictReader(text))
    assert {"file", "row", "column", "rule", "value", "message"} <= set(entries[0])
    assert {int(entry["row"]) for entry in entries} == set(faulty.bad_rows)
    with rows[0].open(newline="") as text:
        assert [int(row["row"]) for row in csv.DictReader(text)] == list(faulty.bad_rows)


def test_the_same_file_again_adds_nothing(
    stack: Settings, report: DemoReport, clean: CsvFile, faulty: CsvFile
) -> None:
    assert report.problem == ""
    paths = [clean.path, faulty.path]
    again = run_demo(stack, DemoInput(events=3, rate=300, seed=12, csv=paths), Console(quiet=True))
    assert again.problem == ""
    assert all(account.adds_up for account in again.accounts)
    wait_until_settled(stack)
    named = _query(
        stack,
        "select count(*) from marts.fct_environment_readings where source_file = any(%s)",
        [path.name for path in paths],
    )
    assert named == [(300 + 200 - len(faulty.bad_rows),)]


def test_the_same_batch_twice_adds_nothing(stack: Settings, report: DemoReport) -> None:
    assert report.problem == ""
    batch = [
        {"device_id": "twice", "timestamp": f"2026-11-01T10:{minute:02}:00Z", "temperature": 20.5}
        for minute in range(10)
    ]
    first, second = _post(stack, "environment", batch), _post(stack, "environment", batch)
    assert (first["accepted"], first["duplicate"]) == (10, 0)
    assert (second["accepted"], second["duplicate"]) == (0, 10)
    counted = "select count(*) from marts.fct_environment_readings where device_id = 'twice'"
    wait_until(lambda: _query(stack, counted) == [(10,)], "the batch is in the mart")


def test_a_partition_materialized_again_changes_nothing(
    stack: Settings, report: DemoReport
) -> None:
    assert report.problem == ""
    dagster = DagsterClient(stack.dagster_url)
    wait_until(lambda: _knows_its_devices(stack), "the registries are loaded")
    wait_until_settled(stack)
    hours = [row[0] for row in _query(stack, _HOURS)]
    before = _contents(stack)
    for hour in hours:
        run = dagster.launch_partition("refine_hour", hour)
        wait_until(
            lambda run=run: dagster.status(run) in {"SUCCESS", "FAILURE"}, f"{hour} is refined"
        )
        assert dagster.status(run) == "SUCCESS"
    assert _changes(before, _contents(stack)) == {}


def test_a_backfill_from_the_ui_changes_nothing(stack: Settings, report: DemoReport) -> None:
    assert report.problem == ""
    dagster = DagsterClient(stack.dagster_url)
    wait_until(lambda: _knows_its_devices(stack), "the registries are loaded")
    wait_until_settled(stack)
    hours = [row[0] for row in _query(stack, _HOURS)]
    before = _contents(stack)
    backfill = dagster.launch_backfill([["silver", "wearable"], ["gold", "ledger"]], hours)
    wait_until(
        lambda: dagster.backfill_status(backfill).startswith("COMPLETED"), "the backfill ends"
    )
    assert dagster.backfill_status(backfill) == "COMPLETED_SUCCESS"
    assert _changes(before, _contents(stack)) == {}


def test_every_check_of_the_runs_passed(stack: Settings, report: DemoReport) -> None:
    assert report.problem == ""
    wait_until_settled(stack)
    outcomes = DagsterClient(stack.dagster_url).check_outcomes(["gold", "ledger"])
    assert outcomes
    assert set(outcomes) == {("reconciliation", True)}
    assert _query(stack, "select count(*) from marts.rpt_reconciliation where not adds_up") == [
        (0,)
    ]


_HOURS = (
    "select distinct to_char(received_hour at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24') "
    "from warehouse.ledger order by 1"
)
_COMPARED = {
    "fct_events": "event_id, device_id, event_time, received_at",
    "fct_environment_readings": "event_id, temperature_celsius, heat_index_celsius",
    "fct_mobile_sessions": "session_id, event_count, duration_seconds",
    "fct_wearable_days": "*",
    "agg_metric_minutes": "*",
    "agg_metric_days": "*",
    "agg_file_metrics": "*",
    "dim_devices": "*",
}


def _contents(stack: Settings) -> dict[str, Counter[str]]:
    """Return the rows of the marts as text, which tells floats apart to the bit."""
    return {
        mart: Counter(
            row[0]
            for row in _query(stack, f"select r::text from (select {columns} from marts.{mart}) r")  # noqa: S608
        )
        for mart, columns in _COMPARED.items()
    }


def _knows_its_devices(stack: Settings) -> bool:
    """Tell whether the registry in the bucket, which another demo replaces, has been loaded."""
    registered = set(read_registry(stack, DEVICES)["device_id"])
    return registered == {
        row[0] for row in _query(stack, "select device_id from warehouse.devices")
    }


def _changes(before: dict[str, Counter[str]], after: dict[str, Counter[str]]) -> dict[str, Any]:
    """Return the rows that went and came, of marts in which some did."""
    return {
        mart: {"gone": list(before[mart] - rows), "come": list(rows - before[mart])}
        for mart, rows in after.items()
        if rows != before[mart]
    }


def _query(stack: Settings, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn(stack)) as connection:
        return connection.execute(sql.encode(), parameters or None).fetchall()


def _post(stack: Settings, source: str, events: list[dict[str, Any]]) -> dict[str, Any]:
    key = (stack.secrets_dir / DEVELOPMENT_KEY_FILE).read_text().strip()
    answer = httpx.post(
        f"{stack.ingest_url}/v1/events",
        params={"source": source},
        headers={"x-api-key": key},
        content=json.dumps(events),
        timeout=DEADLINE_SECONDS,
    )
    assert answer.status_code == 202, answer.text
    return answer.json()
