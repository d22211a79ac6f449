"""Postgres dies while a file is on its way to the marts; it and those that follow arrive whole."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl
import psycopg
import pytest

from device_sim.csv_files import LAYOUTS, write_csv
from telemetry_cli.demo_files import drop_files
from telemetry_cli.embedded.stack import EmbeddedStack
from telemetry_platform.delta import open_table
from telemetry_platform.layout import LANDING_FILES
from telemetry_platform.postgres import dsn
from telemetry_platform.settings import Settings
from tests.integration.dagster_client import DagsterClient
from tests.stack_process import stack_home, wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.faults

ROWS = 2_000
_READINGS = """
select source_file, count(*), count(distinct event_id), round(sum(temperature_celsius)::numeric, 3)
from marts.fct_environment_readings group by source_file order by source_file
"""
_METRICS = """
select source_file, n, round((n * average)::numeric, 3)
from marts.agg_file_metrics where metric = 'temperature_celsius' order by source_file
"""
_BOOKS = "select bool_and(adds_up) from marts.rpt_reconciliation where accepted > 0"


def test_files_that_come_before_and_during_an_outage_of_postgres_are_in_the_marts_once(
    tmp_path: Path,
) -> None:
    first, second = (
        write_csv(
            tmp_path, LAYOUTS[place], seed=place, start=datetime(2026, 11, 1, tzinfo=UTC),
            rows=ROWS, bad_rate=0,
        ).path
        for place in (0, 1)
    )  # fmt: skip
    with stack_home() as home, EmbeddedStack(Settings(home=home)) as stack:
        stack.start()
        settings = stack.settings
        inbox = settings.inbox_dir
        assert inbox is not None
        dagster = DagsterClient(settings.dagster_url)
        drop_files([first], inbox)
        wait_until(dagster.unfinished_runs, "a run takes the first file to the marts")
        stack.kill("postgres")
        drop_files([second], inbox)
        wait_until(lambda: len(landed(settings)) == 2, "the second file lands without Postgres")
        stack.restart("postgres")
        wait_until(
            lambda: (
                [row[:3] for row in query(settings, _READINGS)]
                == [(path.name, ROWS, ROWS) for path in sorted((first, second))]
            ),
            "the rows of both files are in the marts, each once",
            lambda: (query(settings, _READINGS), dagster.unfinished_runs()),
            seconds=300,
        )
        wait_until(
            lambda: (
                [(name, n, total) for name, n, _, total in query(settings, _READINGS)]
                == query(settings, _METRICS)
            ),
            "the figures of both files are those of their rows",
            lambda: (query(settings, _READINGS), query(settings, _METRICS)),
        )
        wait_until(lambda: query(settings, _BOOKS) == [(True,)], "the ledger adds up")
        assert set(landed(settings)) == {("landed", ROWS)}


def landed(settings: Settings) -> list[tuple[str, int]]:
    """Return outcome and accepted rows of each file that landed."""
    table = open_table(settings, LANDING_FILES.path)
    if table is None:
        return []
    return pl.scan_delta(table).select("outcome", "accepted").collect().rows()


def query(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    """Return rows of the marts, none while there are none."""
    try:
        with psycopg.connect(dsn(settings)) as connection:
            return connection.execute(sql.encode()).fetchall()
    except (psycopg.errors.UndefinedTable, psycopg.OperationalError):
        return []
