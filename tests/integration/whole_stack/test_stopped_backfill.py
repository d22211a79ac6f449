"""A backfill whose daemon and run are killed goes on, ends, and counts nothing twice."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from telemetry_platform.clock import HOUR, hour_key, utc_now
from telemetry_platform.postgres import dsn
from tests.integration.dagster_client import DagsterClient
from tests.integration.whole_stack.settling import wait_until_settled
from tests.stack_process import wait_until

if TYPE_CHECKING:
    from telemetry_cli.demo_report import DemoReport
    from telemetry_cli.embedded.stack import EmbeddedStack
    from telemetry_platform.settings import Settings

pytestmark = pytest.mark.integration

HOURS = 24
_ACCOUNTS = """
select source, received_hour, accepted, silver, quarantined, duplicates, mart_rows
from marts.rpt_reconciliation where accepted > 0 order by 1, 2
"""
_ROWS = (
    "select source, count(*), count(distinct event_id) from marts.fct_events group by 1 order by 1"
)
# Sums of floating-point numbers depend on where the rows lie in the table.
_VALUES = """
select metric, sum(n), round(sum(total)::numeric, 3) from marts.agg_metric_hours
group by metric order by metric
"""
_VERSIONS = (
    "select source, contract_version, count(*) from marts.fct_events group by 1, 2 order by 1, 2"
)


def test_a_backfill_goes_on_after_its_daemon_and_its_run_were_killed(
    servers: EmbeddedStack, stack: Settings, report: DemoReport
) -> None:
    assert report.problem == ""
    dagster = DagsterClient(stack.dagster_url)
    wait_until_settled(stack)
    before = contents(stack)
    hours = [hour_key(utc_now() - place * HOUR) for place in reversed(range(HOURS))]
    backfill = dagster.launch_job_backfill("refine_hour", hours)

    def runs() -> dict[str, str]:
        return dagster.tagged_runs("dagster/backfill", backfill)

    wait_until(lambda: "STARTED" in runs().values(), "a run is going on", runs)
    servers.kill("daemon")
    (run,) = runs()
    os.kill(process_of(stack, run), signal.SIGKILL)
    wait_until(lambda: dagster.status(run) == "FAILURE", "the run is known to be dead")
    servers.restart("daemon")
    # When Dagster has called the backfill completed before, the retry does not bear its tag.
    wait_until(
        lambda: list(dagster.tagged_runs("dagster/root_run_id", run).values()) == ["SUCCESS"],
        "the killed run is followed by one that succeeds",
        lambda: (runs(), dagster.tagged_runs("dagster/root_run_id", run)),
        seconds=300,
    )
    wait_until_settled(stack)
    assert contents(stack) == before


def process_of(stack: Settings, run: str) -> int:
    """Return the process that executes a run, as Dagster noted it."""
    assert stack.dagster_postgres_dsn
    with psycopg.connect(stack.dagster_postgres_dsn.get_secret_value()) as connection:
        told = connection.execute(
            "select event from event_logs where run_id = %s and dagster_event_type = %s",
            (run, "ENGINE_EVENT"),
        )
        found = re.search(r"Started process for run \(pid: (\d+)\)", str(told.fetchall()))
    assert found
    return int(found[1])


def contents(stack: Settings) -> list[list[tuple[Any, ...]]]:
    """Return what would differ if an event were counted twice, or not at all."""
    with psycopg.connect(dsn(stack)) as connection:
        queries = (_ACCOUNTS, _ROWS, _VALUES, _VERSIONS)
        return [connection.execute(query.encode()).fetchall() for query in queries]
