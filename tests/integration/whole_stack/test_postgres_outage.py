"""Postgres goes away while a CSV file is processed: the file lands, and the marts get it later."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl
import psycopg
import pytest

from device_sim.csv_files import LAYOUTS, write_csv
from telemetry_platform.delta import open_table
from telemetry_platform.layout import LANDING_FILES
from telemetry_platform.postgres import dsn
from tests.stack_process import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from telemetry_cli.demo_report import DemoReport
    from telemetry_cli.embedded.stack import EmbeddedStack

pytestmark = pytest.mark.integration

FILE = "outage.csv"
DEADLINE_SECONDS = 180.0


def test_a_file_that_is_processed_without_postgres_is_in_the_marts_once_it_is_back(
    servers: EmbeddedStack, report: DemoReport, tmp_path: Path
) -> None:
    assert report.problem == ""
    settings = servers.settings
    assert settings.inbox_dir is not None
    file = write_csv(
        tmp_path,
        LAYOUTS[0],
        seed=77,
        start=datetime(2026, 10, 1, tzinfo=UTC),
        rows=60,
        bad_rate=0.1,
    )
    assert file.bad_rows
    servers.kill("postgres")
    try:
        file.path.rename(settings.inbox_dir / FILE)

        def landed() -> bool:
            table = open_table(settings, LANDING_FILES.path)
            assert table is not None
            return not pl.scan_delta(table).filter(file=FILE).select("file").collect().is_empty()

        wait_until(landed, "the file landed", seconds=DEADLINE_SECONDS)
    finally:
        servers.restart("postgres")
    good = 60 - len(file.bad_rows)

    def counts() -> tuple[int, int]:
        with psycopg.connect(dsn(settings)) as connection:
            found = connection.execute(
                "select (select count(*) from marts.fct_environment_readings where source_file = "
                "%(file)s), (select count(distinct row_number) from warehouse.file_errors "
                "where file = %(file)s)",
                {"file": FILE},
            ).fetchone()
        assert found is not None
        return found

    wait_until(
        lambda: counts() == (good, len(file.bad_rows)),
        "the marts hold the file",
        counts,
        DEADLINE_SECONDS,
    )
