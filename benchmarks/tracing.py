"""Benchmark of a trace: `telemetry trace ID` as its user waits for it, start-up included.

The lake is made, not refined: landing with as many rows, files and commits as its edge and a
compaction leave, the logs of the tables that follow, and the mart of events with its indexes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import uuid
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import polars as pl

from benchmarks.figures import Figure
from telemetry_assets.lakehouse.partitioning import make_partitions
from telemetry_assets.lakehouse.tables import METRIC_PARTIALS, bronze_table, silver_table
from telemetry_assets.lakehouse.warehouse import create_tables
from telemetry_cli.embedded.environment import process_environment
from telemetry_cli.embedded.stack import EmbeddedStack
from telemetry_contracts.registry import load_registry
from telemetry_platform.clock import hour_key, hour_start, utc_now
from telemetry_platform.delta import replace_partition
from telemetry_platform.delta_log import DeltaLog
from telemetry_platform.layout import LANDING_EVENTS, RECEIVED_HOUR, SOURCE, landing_input
from telemetry_platform.postgres import connect, dsn
from telemetry_platform.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = Path(__file__).resolve().parent.parent
_SOURCE = "environment"
_HOURS = 24
_OPEN_COMMITS = 1_500
_OPEN_ROWS = 20
_EVENTS_A_POST = 100
_PAYLOAD = orjson.dumps({"temperature_celsius": 21.4, "relative_humidity_percent": 40.2}).decode()
_SECONDS = 1800


def trace(runs: int, rows: int = 10_000_000) -> list[Figure]:
    """Measure the trace of an event and of a receipt among many events."""
    servers = {"s3", "postgres"}
    with (
        tempfile.TemporaryDirectory() as home,
        EmbeddedStack(Settings(home=Path(home)), only=servers) as running,
    ):
        running.start()
        event, receipt = _fill(running.settings, rows)
        start_up = [_seconds(Path(home), "--help") for _ in range(runs)]
        by_event = [_seconds(Path(home), "trace", event, "--json") for _ in range(runs)]
        by_receipt = [_seconds(Path(home), "trace", receipt, "--json") for _ in range(runs)]
    sizes = (
        f"{rows:,} events of {_HOURS} compacted hours, {_OPEN_COMMITS:,} commits since; "
        "a new process each time"
    )
    return [
        Figure("telemetry trace, an event", "s", tuple(by_event), sizes, target=1.0),
        Figure("telemetry trace, a receipt", "s", tuple(by_receipt), sizes, target=1.0),
        Figure("telemetry --help", "s", tuple(start_up), "what start-up alone takes"),
    ]


def _seconds(home: Path, *words: str) -> float:
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "telemetry_cli", *words],
        env={"PATH": "/usr/bin:/bin", "TELEMETRY_HOME": str(home)},
        cwd=_ROOT,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=_SECONDS,
    )
    return time.perf_counter() - began


def _fill(settings: Settings, rows: int) -> tuple[str, str]:
    """Make the lake and the marts; return an event and a receipt in the middle."""
    registry = load_registry()
    create_tables(settings, registry)
    subprocess.run(
        [Path(sys.executable).with_name("dbt"), "--quiet", "run", "--full-refresh"],
        cwd=_ROOT / "dbt_project",
        env=process_environment(settings),
        check=True,
        timeout=_SECONDS,
    )
    indexes = _drop_indexes(settings)
    chosen = ("", "")
    for number, frame in enumerate(_hours(rows)):
        _write(settings, frame)
        if number == _HOURS // 2:
            row = frame.row(frame.height // 2, named=True)
            chosen = (row["event_id"], row["receipt_id"])
    _open_hour(settings)
    with connect(settings, autocommit=True) as connection:
        for statement in indexes:
            connection.execute(statement.encode())
        connection.execute("ANALYZE marts.fct_events")
    return chosen


def _hours(rows: int) -> Iterator[pl.DataFrame]:
    newest = hour_start(hour_key(utc_now())) - timedelta(hours=1)
    for back in range(_HOURS, 0, -1):
        yield _landed(newest - timedelta(hours=back), rows // _HOURS)


def _landed(begin: datetime, rows: int) -> pl.DataFrame:
    """Return landed rows over an hour, in posts of some events each."""
    posts = -(-rows // _EVENTS_A_POST)
    times = [begin + timedelta(hours=1) * (post / posts) for post in range(posts)]
    receipts = [f"rcp_{_uuid7(at).hex}" for at in times]
    place = pl.int_range(rows, eager=True) // _EVENTS_A_POST
    return pl.DataFrame(
        {
            "event_id": [str(uuid.uuid4()) for _ in range(rows)],
            SOURCE: [_SOURCE] * rows,
            "device_id": (place % 1000).cast(pl.String),
            "event_time": pl.Series(times)[place],
            "received_at": pl.Series(times)[place],
            RECEIVED_HOUR: [hour_key(begin)] * rows,
            "payload": [_PAYLOAD] * rows,
            "contract_version": ["1.1.0"] * rows,
            "receipt_id": pl.Series(receipts)[place],
            "token_key_version": [1] * rows,
        }
    ).cast(dict(LANDING_EVENTS.schema))


def _uuid7(at: datetime) -> uuid.UUID:
    random = uuid.uuid4().int & ~(((1 << 52) - 1) << 76)
    return uuid.UUID(int=(int(at.timestamp() * 1000) << 80) | (7 << 76) | random)


def _write(settings: Settings, frame: pl.DataFrame) -> None:
    hour = frame[RECEIVED_HOUR][0]
    log = DeltaLog(settings, LANDING_EVENTS)
    version = log.commit(log.prepare(frame))
    log.close()
    contract = load_registry()[_SOURCE]
    first = frame.head(1)
    for table in (bronze_table(contract), silver_table(contract), METRIC_PARTIALS):
        where = {name: first[name][0] for name in table.partition_by}
        missing = [
            pl.lit(None, dtype).alias(name)
            for name, dtype in table.schema.items()
            if name not in first.columns
        ]
        inputs = {landing_input(_SOURCE, hour): version}
        rows = first.with_columns(missing).select(list(table.schema))
        replace_partition(settings, table, rows, where, inputs)
    _load(settings, frame)


def _load(settings: Settings, frame: pl.DataFrame) -> None:
    import adbc_driver_postgresql.dbapi as adbc

    begin = hour_start(frame[RECEIVED_HOUR][0])
    moment = pl.lit(begin).cast(pl.Datetime("us", "UTC"))
    rows = frame.drop("payload").with_columns(
        moment.alias(RECEIVED_HOUR), moment.alias("loaded_at")
    )
    days = rows["event_time"].dt.date().unique().to_list()
    with connect(settings) as connection:
        make_partitions(connection, "marts.fct_events", days)
    with adbc.connect(dsn(settings)) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest("fct_events", rows, mode="append", db_schema_name="marts")
        connection.commit()
    with connect(settings, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO marts.rpt_reconciliation (received_hour, source, accepted, silver, "
            "mart_rows, warehouse_rows, quarantined, duplicates, superseded, erased, "
            "warehouse_quarantined, warehouse_duplicates, warehouse_minute_values, "
            "warehouse_hour_values, unaccounted, expired_rows, is_kept, adds_up) "
            "SELECT %s, %s, n, n, n, n, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, true, true "
            "FROM (SELECT %s::bigint AS n) AS counted",
            (begin, _SOURCE, rows.height),
        )


def _open_hour(settings: Settings) -> None:
    """Land many small commits, as an open hour has them."""
    log = DeltaLog(settings, LANDING_EVENTS)
    for _ in range(_OPEN_COMMITS):
        now = utc_now()
        frame = _landed(hour_start(hour_key(now)), _OPEN_ROWS)
        moment = pl.lit(now).cast(pl.Datetime("us", "UTC")).alias("received_at")
        log.commit(log.prepare(frame.with_columns(moment)))
    log.close()


def _drop_indexes(settings: Settings) -> list[str]:
    with connect(settings, autocommit=True) as connection:
        found = connection.execute(
            "SELECT format('%I.%I', schemaname, indexname), indexdef FROM pg_indexes "
            "WHERE schemaname = 'marts' AND tablename = 'fct_events'"
        ).fetchall()
        for name, _ in found:
            connection.execute(f"DROP INDEX {name}".encode())
    # As they were, those of a partitioned table would be on none of its partitions.
    return [definition.replace(" ON ONLY ", " ON ") for _, definition in found]
