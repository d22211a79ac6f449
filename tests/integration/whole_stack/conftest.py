"""One whole stack for the tests that ask it questions, with fleets and files sent to it."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from rich.console import Console

from device_sim.csv_files import LAYOUTS, CsvFile, write_csv
from telemetry_cli.demo_run import DemoInput, run_demo
from telemetry_cli.embedded.stack import EmbeddedStack
from telemetry_platform.settings import Settings
from tests.browser import open_browser
from tests.integration.whole_stack.settling import wait_until_settled
from tests.stack_process import stack_home

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from telemetry_cli.demo_report import DemoReport

FIRST_READING = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture(scope="package")
def servers() -> Iterator[EmbeddedStack]:
    """Start the whole stack."""
    with stack_home() as home, EmbeddedStack(Settings(home=home)) as running:
        running.start()
        yield running


@pytest.fixture(scope="package")
def stack(servers: EmbeddedStack) -> Settings:
    """Return the settings of the whole stack."""
    return servers.settings


@pytest.fixture(scope="package")
def clean(tmp_path_factory: pytest.TempPathFactory) -> CsvFile:
    """Write a CSV file of 300 good rows."""
    folder = tmp_path_factory.mktemp("csv")
    return write_csv(folder, LAYOUTS[0], seed=5, start=FIRST_READING, rows=300, bad_rate=0)


@pytest.fixture(scope="package")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> CsvFile:
    """Write a CSV file of 200 rows in the other layout, some of them bad."""
    folder = tmp_path_factory.mktemp("csv")
    file = write_csv(folder, LAYOUTS[1], seed=6, start=FIRST_READING, rows=200, bad_rate=0.05)
    assert file.bad_rows
    return file


@pytest.fixture(scope="package")
def report(stack: Settings, clean: CsvFile, faulty: CsvFile) -> DemoReport:
    """Send fleets and files, and wait until the marts hold them."""
    wanted = DemoInput(rate=300, events=900, seed=11, csv=[clean.path, faulty.path])
    found = run_demo(stack, wanted, Console(quiet=True))
    wait_until_settled(stack)
    return found


@pytest.fixture(scope="package")
def entries(stack: Settings, report: DemoReport) -> list[dict[str, Any]]:
    """Return the ledger of the fleets' posts."""
    assert report.problem == ""
    # The first of them: other tests send the fleets again.
    file = min((stack.home / "demo").glob("ledger-*.jsonl"), key=lambda path: path.stat().st_mtime)
    return [orjson.loads(line) for line in file.read_bytes().splitlines()]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start a browser."""
    with open_browser() as started:
        yield started


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Return where screenshots go."""
    return Path(os.environ.get("TELEMETRY_SCREENSHOTS", tmp_path))
