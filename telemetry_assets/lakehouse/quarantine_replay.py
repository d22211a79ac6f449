"""One replay of quarantine: hours refined anew without writing, and what they came to recorded.

Nothing is moved here. What is recorded as changed is refined again by the run that the landing
sensor asks for, so repair and ordinary refining are the same code.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from telemetry_assets.lakehouse.rejudging import (
    DUPLICATE,
    MISSING,
    REFUSED,
    RELEASED,
    WITHDRAWN,
    changes,
    counted,
    differences,
)
from telemetry_assets.lakehouse.tables import (
    NO,
    QUARANTINE,
    QUARANTINE_REPLAYS,
    REFINED_AGAIN,
    YES,
)
from telemetry_assets.lakehouse.warehouse import create_tables, replace_registry
from telemetry_assets.lakehouse.warehouse_schema import QUARANTINE_ATTEMPTS
from telemetry_platform.clock import utc_now
from telemetry_platform.delta import open_table, partition_sizes, scan_table
from telemetry_platform.delta_log import DeltaLog
from telemetry_platform.ids import new_uuid7
from telemetry_platform.layout import RECEIVED_HOUR, SOURCE
from telemetry_platform.postgres import connect

if TYPE_CHECKING:
    from telemetry_assets.lakehouse.lake import Lake
    from telemetry_contracts.registry import Registry
    from telemetry_platform.replay.rejections import Selection
    from telemetry_platform.settings import Settings

COLUMNS = ("Source", "In quarantine for", "Now", "Events", "Hours", "Such as")
_TEXTS = {RELEASED: "passes", DUPLICATE: "a duplicate", MISSING: "no longer landed"}


@dataclass(frozen=True)
class QuarantineReport:
    """The outcome of one replay.

    Attributes:
        dry_run: Whether nothing was written: what says `released` would be.
        rows: Rows of `tables.QUARANTINE_REPLAYS`.
    """

    dry_run: bool
    rows: pl.DataFrame

    def count(self, outcome: str) -> int:
        """Return the number of events of one outcome."""
        return int(self.rows.filter(pl.col("outcome") == outcome)["events"].sum())

    @property
    def hours(self) -> list[tuple[str, str]]:
        """Source and arrival hour of what has to be refined again."""
        wanted = self.rows.filter(pl.col(REFINED_AGAIN) == YES)
        return wanted.select(SOURCE, RECEIVED_HOUR).unique().sort(RECEIVED_HOUR, SOURCE).rows()

    def kinds(self) -> pl.DataFrame:
        """Return the counts over all hours, most frequent first in each source."""
        kind = (SOURCE, "rules", "outcome", "rules_now")
        return (
            self.rows.group_by(kind, maintain_order=True)
            .agg(
                pl.col("events").sum(),
                pl.col(RECEIVED_HOUR).n_unique().alias("hours"),
                pl.col("examples").list.explode(keep_nulls=False, empty_as_null=False).head(3),
            )
            .sort(SOURCE, "events", descending=[False, True])
        )

    def table(self) -> list[tuple[str, ...]]:
        """Return the differences as text under `COLUMNS`."""
        return [
            (
                kind[SOURCE],
                ", ".join(kind["rules"]) or "nothing, it is in silver",
                _text(kind),
                f"{kind['events']:,}",
                f"{kind['hours']:,}",
                ", ".join(kind["examples"]),
            )
            for kind in self.kinds().iter_rows(named=True)
        ]

    def markdown(self) -> str:
        """Return the differences as a Markdown table."""
        lines = [COLUMNS, ("---", "---", "---", "---:", "---:", "---"), *self.table()]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def summary(self) -> str:
        """Return the outcome in a few sentences."""
        hours, released = len(self.hours), self.count(RELEASED)
        judged = self.rows.filter(pl.col("rules").list.len() > 0)["events"].sum()
        text = f"{released:,} of {judged:,} quarantined events pass today's contract."
        if withdrawn := self.count(WITHDRAWN):
            text += f" In silver, {withdrawn:,} would not pass it any more."
        if not hours:
            return f"{text} No hour comes out otherwise."
        verb = "would be" if self.dry_run else "will be"
        return f"{text} {hours:,} {'hour' if hours == 1 else 'hours'} {verb} refined again."

    def document(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        outcomes = (RELEASED, REFUSED, WITHDRAWN, DUPLICATE, MISSING)
        return {
            "dry_run": self.dry_run,
            **{outcome: self.count(outcome) for outcome in outcomes},
            "hours_to_refine": [f"{source}:{hour}" for source, hour in self.hours],
            "attempts": self.rows.to_dicts(),
        }


def replay_quarantine(
    lake: Lake,
    selection: Selection,
    asked_by: str,
    *,
    dry_run: bool,
    on_progress: Callable[[int], None] = lambda _: None,
) -> QuarantineReport:
    """Judge hours again whose quarantine holds a selected event, and record what they come to.

    All quarantined events of such an hour are judged, not only the selected ones, because an hour
    is refined whole.

    Args:
        lake: The lake, with the contracts in force.
        selection: Which quarantined events; a rule counts when it is among those an event broke.
        asked_by: Who asked, for the record.
        dry_run: Write nothing.
        on_progress: Told the number of hours judged so far.

    Returns:
        What was found.

    Raises:
        OSError, deltalake.exceptions.DeltaError: The lake cannot be read or written. The replay can
            be repeated.
    """
    shared = {"attempt_id": f"{new_uuid7()}", "asked_by": asked_by, "attempted_at": utc_now()}
    found = [QUARANTINE_REPLAYS.schema.to_frame()]
    for number, (source, hour) in enumerate(_partitions(lake, selection), start=1):
        quarantine = lake.read(QUARANTINE, hour, [source])
        if _selected(quarantine, selection):
            found.append(_judged(lake, source, hour, quarantine).with_columns(**_lit(shared)))
        on_progress(number)
    report = QuarantineReport(
        dry_run, pl.concat([rows.select(list(QUARANTINE_REPLAYS.schema)) for rows in found])
    )
    if not dry_run and not report.rows.is_empty():
        with closing(DeltaLog(lake.settings, QUARANTINE_REPLAYS)) as log:
            log.commit(log.prepare(report.rows))
    return report


def attempts(settings: Settings) -> pl.DataFrame:
    """Return all that replays of quarantine ever decided; rows of `tables.QUARANTINE_REPLAYS`."""
    delta = open_table(settings, QUARANTINE_REPLAYS.path)
    if delta is None:
        return QUARANTINE_REPLAYS.schema.to_frame()
    return scan_table(delta, {}, QUARANTINE_REPLAYS.schema).collect()


def load_attempts(settings: Settings, registry: Registry) -> int:
    """Replace the warehouse's copy of `attempts`; returns its number of rows."""
    create_tables(settings, registry)
    with connect(settings) as connection:
        # Of two replays at once, the one that loads last must have read what both decided.
        name = QUARANTINE_ATTEMPTS.qualified
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (name,))
        first = pl.col(RECEIVED_HOUR) + ":00"
        hour = first.str.to_datetime("%Y-%m-%dT%H:%M", time_unit="us", time_zone="UTC").alias(
            RECEIVED_HOUR
        )
        rows = attempts(settings).with_columns(hour)
        return replace_registry(settings, QUARANTINE_ATTEMPTS, rows)


def _partitions(lake: Lake, selection: Selection) -> list[tuple[str, str]]:
    """Return source and hour of the quarantine that can hold selected events, oldest first."""
    delta = open_table(lake.settings, QUARANTINE.path)
    if delta is None:
        return []
    held = partition_sizes(delta).filter(pl.col("rows") > 0).sort(RECEIVED_HOUR, SOURCE)
    return [
        (source, hour)
        for source, hour in held.select(SOURCE, RECEIVED_HOUR).rows()
        if source in lake.registry and selection.wants_partition(source, hour)
    ]


def _selected(quarantine: pl.DataFrame, selection: Selection) -> bool:
    by_rule = quarantine.explode("rules").rename({"rules": "rule"})
    return not by_rule.filter(selection.condition()).is_empty()


def _judged(lake: Lake, source: str, hour: str, quarantine: pl.DataFrame) -> pl.DataFrame:
    silver = lake.silver(source, hour, ["event_id", "correction_id"])
    judged = differences(quarantine, silver, lake.rehearsed(source, hour))
    return counted(judged).with_columns(
        **_lit(
            {
                SOURCE: source,
                RECEIVED_HOUR: hour,
                REFINED_AGAIN: YES if changes(judged) else NO,
                "contract_version": lake.registry[source].version,
            }
        )
    )


def _lit(values: dict[str, Any]) -> dict[str, pl.Expr]:
    schema = QUARANTINE_REPLAYS.schema
    return {name: pl.lit(value, schema[name]) for name, value in values.items()}


def _text(kind: dict[str, Any]) -> str:
    if kind["outcome"] in _TEXTS:
        return _TEXTS[kind["outcome"]]
    if kind["outcome"] == REFUSED and kind["rules"] == kind["rules_now"]:
        return "still refused"
    return f"refused by {', '.join(kind['rules_now'])}"
