"""A CSV file of a gigabyte through the inbox: the memory that the edge takes, and the time."""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import psutil

from benchmarks.figures import Figure
from telemetry_cli.embedded.stack import EmbeddedStack
from telemetry_cli.embedded.state import StackState
from telemetry_platform.delta import open_table
from telemetry_platform.layout import LANDING_EVENTS, LANDING_FILES
from telemetry_platform.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

_GIBIBYTE = 1024**3
_MEBIBYTE = 1024**2
_HEADER = (
    "sensor_id;sensor_type;location;lat;lon;timestamp;"
    "pressure;altitude;pressure_sealevel;temperature;humidity\n"
)
_SENSORS = 100
_BAD_EVERY = 100
_WAIT_SECONDS = 3_600.0
_START = datetime(2020, 1, 1, tzinfo=UTC)


def inbox_of_a_gigabyte(_runs: int, size: int = _GIBIBYTE) -> list[Figure]:
    """Measure one file on its way from the watched folder to `landing/files`, once."""
    with tempfile.TemporaryDirectory(prefix="telemetry-bench-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        rows = write_large(home / "large.csv", size)
        with EmbeddedStack(Settings(home=home / "home"), only={"s3", "edge"}) as stack:
            stack.start()
            settings = stack.settings
            edge = psutil.Process(StackState.read(settings.home).processes["edge"].pid)
            idle = edge.memory_info().rss
            assert settings.inbox_dir is not None
            began = time.perf_counter()
            (home / "large.csv").rename(settings.inbox_dir / "large.csv")
            peak = _highest(edge, lambda: _landed(settings, rows))
            seconds = time.perf_counter() - began
            table = open_table(settings, LANDING_EVENTS.path)
            commits = table.version() if table else 0
    sizes = f"{rows:,} rows of 11 columns, 1 % of them bad, {commits} commits"
    return [
        Figure("CSV of 1 GiB: highest memory of the edge", "MiB", (peak / _MEBIBYTE,), sizes),
        Figure("CSV of 1 GiB: memory of the edge before", "MiB", (idle / _MEBIBYTE,), sizes),
        Figure("CSV of 1 GiB: folder to landing", "s", (seconds,), sizes),
    ]


def write_large(path: Path, size: int) -> int:
    """Write at least `size` bytes of readings; returns the number of rows."""
    rows = written = 0
    with path.open("w", encoding="utf-8", buffering=_MEBIBYTE) as file:
        file.write(_HEADER)
        while written < size:
            moment = (_START + timedelta(seconds=rows // _SENSORS)).isoformat()[:19]
            lines = "".join(_line(rows + each, moment) for each in range(_SENSORS))
            written += file.write(lines)
            rows += _SENSORS
    return rows


def _line(row: int, moment: str) -> str:
    sensor = row % _SENSORS
    temperature = "warm" if row % _BAD_EVERY == 0 else f"{10 + row % 200 / 10:.1f}"
    return (
        f"{10_000 + sensor};BME280;{5_000 + sensor};50.1;-3.2;{moment};"
        f"{100_000 + row % 3_000}.{10 + row % 90};;;{temperature};{40 + row % 400 / 10:.1f}\n"
    )


def _highest(process: psutil.Process, done: Callable[[], bool]) -> int:
    """Return the most bytes that a process held, looked at until `done`."""
    highest = 0
    end = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < end:
        highest = max(highest, process.memory_info().rss)
        if done():
            return highest
        time.sleep(0.5)
    raise TimeoutError("the file did not land in time")


def _landed(settings: Settings, rows: int) -> bool:
    delta = open_table(settings, LANDING_FILES.path)
    if delta is None:
        return False
    found = pl.scan_delta(delta).select("rows", "accepted", "rejected").collect().rows()
    if not found:
        return False
    assert found[0][0] == rows == found[0][1] + found[0][2], found
    return True
