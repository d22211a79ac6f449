"""Benchmarks of the whole stack: files and posts on their way to the marts, memory, the demo."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import orjson
import polars as pl
import psycopg
from dagster import DagsterRunStatus
from dagster_graphql import DagsterGraphQLClient

from benchmarks.figures import Figure
from benchmarks.memory import proportional_bytes
from device_sim.csv_files import SENSOR_COMMUNITY, write_csv
from device_sim.faults import FaultRates
from device_sim.ledger import Entry, Ledger
from device_sim.plan import SOURCES, make_fleets, plan_posts, take_events
from device_sim.sender import Pace, Sender
from telemetry_cli.demo_files import drop_files, wait_for_landing
from telemetry_cli.demo_report import accepted_by_source
from telemetry_cli.demo_run import put_registries
from telemetry_cli.embedded.secrets import DEVELOPMENT_KEY_FILE
from telemetry_cli.embedded.stack import EmbeddedStack
from telemetry_cli.fates import wait_for_fates
from telemetry_cli.freshness import FreshnessWatch
from telemetry_platform.postgres import dsn
from telemetry_platform.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Generator

_ROOT = Path(__file__).resolve().parent.parent
_WAIT_SECONDS = 300.0
_MEBIBYTE = 1024 * 1024
_IDLE_SECONDS = 30
_BETWEEN_SECONDS = 5
_SAMPLES = 5
_POLL_SECONDS = 0.2
_AGGREGATED = """
    select
        (select sum(n) from marts.agg_metric_days)
        = (select sum(n) from warehouse.hour_partials)
        and (select sum(n) from marts.agg_file_metrics)
        = (select sum(n) from warehouse.hour_partials where source_file <> '')
"""
_FINISHED = {DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED}
_START = datetime(2025, 3, 1, tzinfo=UTC)


def csv_to_marts(runs: int, rows: int = 70_000) -> list[Figure]:
    """Measure a CSV file from its drop into the inbox until all marts hold every row of it."""
    seconds, floors = [], []
    for run in range(1, runs + 1):
        with _whole_stack() as stack, tempfile.TemporaryDirectory() as folder:
            # The first file warms the stack and is as short as a first file tends to be.
            for seed, wanted in ((0, 1_000), (run, rows)):
                file = write_csv(
                    Path(folder) / str(seed),
                    SENSOR_COMMUNITY,
                    seed=seed,
                    start=_START,
                    rows=wanted,
                )
                measured = _follow_file(stack.settings, file.path)
            seconds.append(measured)
            floors.append(_read_alone(file.path))
    sizes = f"{rows:,} rows of 11 columns, 1 % of them bad, into an hour that has 1,000"
    return [
        Figure(
            "CSV, inbox to marts", "s", tuple(seconds), sizes, target=20.0,
            floor=sorted(floors)[len(floors) // 2], floor_name="Polars read_csv alone",
        )
    ]  # fmt: skip


def post_to_mart(runs: int, rate: int = 200, seconds: int = 30) -> list[Figure]:
    """Measure the time from a POST to its mart row while all fleets send at a steady rate."""
    measured = []
    with _whole_stack() as stack:
        settings = stack.settings
        _send_fleets(settings, seed=0, rate=rate, events=rate * 5)
        for run in range(1, runs + 1):
            with FreshnessWatch(dsn(settings)) as watch:
                _send_fleets(settings, seed=run, rate=rate, events=rate * seconds, watch=watch)
                measured.append(watch.figures()["all"])
    sizes = f"{rate} events/s of three fleets for {seconds} s"
    return [
        Figure("POST to mart, p50", "s", tuple(each.p50 for each in measured), sizes, target=15.0),
        Figure("POST to mart, p95", "s", tuple(each.p95 for each in measured), sizes),
        Figure("POST to mart, max", "s", tuple(each.longest for each in measured), sizes),
    ]


def rerun(runs: int, rows: int = 70_000) -> list[Figure]:
    """Measure an arrival hour that runs again with nothing new, as the launchpad starts it."""
    seconds = []
    with _whole_stack() as stack, tempfile.TemporaryDirectory() as folder:
        file = write_csv(Path(folder), SENSOR_COMMUNITY, seed=1, start=_START, rows=rows)
        _follow_file(stack.settings, file.path)
        address = urlsplit(stack.settings.dagster_url)
        client = DagsterGraphQLClient(address.hostname or "", port_number=address.port)
        hour = _landed_hour(stack.settings)
        for _ in range(runs + 1):
            time.sleep(_BETWEEN_SECONDS)
            began = time.perf_counter()
            run = client.submit_job_execution("refine_hour", tags={"dagster/partition": hour})
            while (status := client.get_run_status(run)) not in _FINISHED:
                time.sleep(_POLL_SECONDS / 4)
            assert status is DagsterRunStatus.SUCCESS, status
            seconds.append(time.perf_counter() - began)
    # The first of them is the first of its process that was asked for by hand.
    sizes = f"{rows:,} readings in the hour, from the request to the end of the run"
    return [Figure("unchanged hour, run again", "s", tuple(seconds[1:]), sizes, target=5.0)]


def _landed_hour(settings: Settings) -> str:
    with psycopg.connect(dsn(settings)) as connection:
        found = connection.execute(
            "select to_char(max(received_hour) at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24') "
            "from warehouse.ledger"
        ).fetchone()
    assert found is not None
    return found[0]


def idle_memory(_runs: int) -> list[Figure]:
    """Measure the memory of the stack's servers, ready and with nothing to do."""
    with _whole_stack() as stack:
        time.sleep(_IDLE_SECONDS)
        samples = []
        for _ in range(_SAMPLES):
            samples.append(proportional_bytes(mark.pid for mark in stack.processes.values()))
            time.sleep(1)
        names = ", ".join(stack.processes)
    sizes = f"proportional share (PSS) of {names}; {_IDLE_SECONDS} s after the start"
    mebibytes = tuple(each / _MEBIBYTE for each in samples)
    return [Figure("idle stack, memory", "MiB", mebibytes, sizes, target=1_536)]


def warm_demo(runs: int) -> list[Figure]:
    """Measure `telemetry demo` from a command line to its exit, each time in a new home."""
    seconds = []
    for _ in range(runs):
        with _home() as home:
            began = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-m", "telemetry_cli", "demo", "--json"],
                stdout=subprocess.PIPE,
                check=True,
                cwd=_ROOT,
                env=_environment(home),
                timeout=_WAIT_SECONDS,
            )
            seconds.append(time.perf_counter() - began)
            sources = orjson.loads(done.stdout)["sources"]
    events = sum(source["sent"] for source in sources.values())
    sizes = f"start, {events:,} events of three fleets at 200/s, marts, search, stop"
    return [Figure("warm demo", "s", tuple(seconds), sizes, target=90.0)]


@contextmanager
def _home() -> Generator[Path]:
    """Yield a new home that the account of the embedded database may enter."""
    with tempfile.TemporaryDirectory(prefix="telemetry-bench-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextmanager
def _whole_stack() -> Generator[EmbeddedStack]:
    with _home() as home, EmbeddedStack(Settings(home=home)) as stack:
        stack.start()
        put_registries(stack.settings, seed=1)
        yield stack


@contextmanager
def only_postgres() -> Generator[Settings]:
    """Yield the settings of a new database of its own."""
    with _home() as home, EmbeddedStack(Settings(home=home), only={"postgres"}) as stack:
        stack.start()
        yield stack.settings


def _environment(home: Path) -> dict[str, str]:
    return {**os.environ, "TELEMETRY_HOME": str(home)}


def _follow_file(settings: Settings, path: Path) -> float:
    """Drop a file and return the seconds until every row is in a mart and in the aggregates."""
    since, began = datetime.now(UTC), time.perf_counter()
    assert settings.inbox_dir is not None
    drop_files([path], settings.inbox_dir)
    landed = wait_for_landing(
        settings, [path], since, seconds=_WAIT_SECONDS, on_poll=lambda _: None
    )
    wait_for_fates(
        dsn(settings),
        accepted_by_source({}, landed),
        [each.receipt_id for each in landed],
        seconds=_WAIT_SECONDS,
        on_poll=lambda _: None,
    )
    _wait_for_aggregates(settings)
    return time.perf_counter() - began


def _wait_for_aggregates(settings: Settings) -> None:
    """Wait until days and files count every value that gold has; raises TimeoutError."""
    deadline = time.monotonic() + _WAIT_SECONDS
    with psycopg.connect(dsn(settings), autocommit=True) as connection:
        while time.monotonic() < deadline:
            if connection.execute(_AGGREGATED).fetchone() == (True,):
                return
            time.sleep(_POLL_SECONDS)
    raise TimeoutError("the aggregates do not hold what gold has")


def _read_alone(path: Path) -> float:
    began = time.perf_counter()
    pl.read_csv(path, separator=";", infer_schema=False)
    return time.perf_counter() - began


def _send_fleets(
    settings: Settings, *, seed: int, rate: int, events: int, watch: FreshnessWatch | None = None
) -> None:
    """Send the fleets and wait until the marts account for every accepted event."""
    start = datetime.now(UTC)
    plan = plan_posts(
        make_fleets(SOURCES, 1, start), FaultRates(), seed=seed, start=start, rate=rate
    )
    receipts: list[str] = []

    def on_entry(entry: Entry) -> None:
        if entry.receipt_id:
            receipts.append(entry.receipt_id)
        if watch is not None:
            watch.add(entry)

    key = (settings.secrets_dir / DEVELOPMENT_KEY_FILE).read_text(encoding="utf-8").strip()
    ledger = Ledger()
    sender = Sender(settings.ingest_url, ledger, api_key=key, pace=Pace(rate))
    asyncio.run(sender.send(take_events(plan, events), on_entry))
    wait_for_fates(
        dsn(settings),
        accepted_by_source(ledger.totals(), []),
        receipts,
        seconds=_WAIT_SECONDS,
        on_poll=lambda _: None,
    )
