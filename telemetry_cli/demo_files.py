"""The demo's CSV files: drops them into the inbox and follows them to the marts."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl
import psycopg

from telemetry_cli.errors import CommandError
from telemetry_platform.delta import open_table
from telemetry_platform.layout import LANDING_FILES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from telemetry_platform.settings import Settings

_POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class LandedFile:
    """What the edge made of one file, in rows; ``outcome`` is landed, repeated or unreadable."""

    receipt_id: str
    file: str
    source: str
    outcome: str
    message: str
    rows: int
    accepted: int
    duplicate: int
    rejected: int


@dataclass(frozen=True, slots=True)
class FileInMarts:
    """Rows that the marts hold of one file, over all runs.

    ``first_day`` and ``last_day`` are calendar days of the readings (UTC), as text.
    """

    readings: int = 0
    metrics: int = 0
    first_day: str = ""
    last_day: str = ""


def find_files(paths: Iterable[Path]) -> list[Path]:
    """Return the CSV files that were named, those of a folder in the order of their names.

    Raises:
        CommandError: A path holds no CSV file, or two files have the same name.
    """
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.glob("*.csv")) if path.is_dir() else [path]
        if not inside or not all(each.is_file() for each in inside):
            raise CommandError(f"{path} is no CSV file and no folder of CSV files.")
        found += inside
    names = [path.name for path in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise CommandError(
            f"Two files have the same name: {', '.join(twice)}.", "Rename one of them."
        )
    return found


def drop_files(files: Sequence[Path], inbox: Path) -> None:
    """Copy files into the inbox; each appears there whole, under its own name."""
    inbox.mkdir(parents=True, exist_ok=True)
    for path in files:
        draft = inbox / f".{path.name}.part"
        shutil.copyfile(path, draft)
        draft.rename(inbox / path.name)


def wait_for_landing(
    settings: Settings,
    files: Sequence[Path],
    since: datetime,
    *,
    seconds: float,
    on_poll: Callable[[int], None],
) -> list[LandedFile]:
    """Wait until the edge has an entry in ``landing/files`` for each file.

    Args:
        settings: Resolved settings of the stack.
        files: The files that were dropped.
        since: Entries before this time belong to an earlier run.
        seconds: How long to wait.
        on_poll: Called with the number of files found so far.

    Raises:
        CommandError: Time is over; the message says which files are missing.
    """
    deadline = time.monotonic() + seconds
    names = {path.name for path in files}
    while True:
        landed = landed_files(settings, names, since)
        on_poll(len(landed))
        if len(landed) == len(names):
            return landed
        if time.monotonic() > deadline:
            missing = sorted(names - {each.file for each in landed})
            raise CommandError(
                f"After {seconds:.0f} s {len(missing)} of {len(names)} files are not taken from "
                f"the inbox, such as {missing[0]}.",
                f"See the edge's log in {settings.home / 'logs'}.",
            )
        time.sleep(_POLL_SECONDS)


def landed_files(settings: Settings, names: set[str], since: datetime) -> list[LandedFile]:
    """Return the last entry of each named file that was received at or after ``since``."""
    table = open_table(settings, LANDING_FILES.path)
    if table is None:
        return []
    columns = list(LandedFile.__dataclass_fields__)
    frame = (
        pl.scan_delta(table)
        .filter(pl.col("received_at") >= since, pl.col("file").is_in(sorted(names)))
        .sort("received_at")
        .unique("file", keep="last", maintain_order=True)
        .select(pl.col(columns))
        .collect()
    )
    counts = ("rows", "accepted", "duplicate", "rejected")
    filled = frame.with_columns(pl.col(counts).fill_null(0), pl.col("message").fill_null(""))
    return [LandedFile(**row) for row in filled.iter_rows(named=True)]


def files_in_marts(dsn: str, names: Sequence[str]) -> dict[str, FileInMarts]:
    """Return by file name what the environment marts hold of it."""
    readings = """
        SELECT source_file, count(*), min(event_time)::date::text, max(event_time)::date::text
        FROM marts.fct_environment_readings WHERE source_file = ANY(%s) GROUP BY source_file
    """
    metrics = """
        SELECT source_file, count(*) FROM marts.agg_file_metrics
        WHERE source_file = ANY(%s) GROUP BY source_file
    """
    with psycopg.connect(dsn, connect_timeout=10) as connection:
        measured = dict(connection.execute(metrics, (list(names),)).fetchall())
        rows = connection.execute(readings, (list(names),)).fetchall()
    return {
        name: FileInMarts(count, measured.get(name, 0), first, last)
        for name, count, first, last in rows
    }
