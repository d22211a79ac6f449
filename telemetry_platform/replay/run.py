"""One replay: judge the selected events again, land what can be read, note each attempt.

It can be broken off anywhere and run again. An event lands before its attempt is noted, and an
event that is there already is a duplicate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from telemetry_contracts.reader import Reading, Refusal, Violation
from telemetry_platform.clock import utc_now
from telemetry_platform.delta_log import DeltaLog
from telemetry_platform.layout import (
    LANDING_EVENTS,
    LANDING_REPLAYS,
    RECEIVED_HOUR,
    SOURCE,
    UTC_TIME,
)
from telemetry_platform.replay.judging import UNOPENED_RULE, Judge
from telemetry_platform.replay.landing import EventLanding, Landing, Rehearsal, place_of
from telemetry_platform.replay.outcomes import DUPLICATE, LANDED, REFUSED, Change, Report
from telemetry_platform.replay.rejections import EVENT_KEY, Rejections, Selection

if TYPE_CHECKING:
    from telemetry_platform.settings import Settings

# What is committed at once; more would be held in memory.
_BATCH_EVENTS = 10_000
_BATCH_BYTES = 16 * 1024 * 1024
# What differs from event to event of a batch; times of events come as integers.
_OWN_COLUMNS = pl.Schema(
    {
        "event_id": pl.String,
        "device_id": pl.String,
        "event_time": pl.Int64,
        "received_at": UTC_TIME,
        "payload": pl.String,
        "receipt_id": pl.String,
    }
)


def replay(
    settings: Settings,
    judge: Judge,
    selection: Selection,
    *,
    dry_run: bool,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Report:
    """Judge the selected refused events again, and land those that can be read.

    Args:
        settings: Where the lake is.
        judge: Reads them.
        selection: Which events.
        dry_run: Write nothing; tell what would be done.
        on_progress: Told the number of events judged so far.

    Returns:
        What became of them.

    Raises:
        OSError, obstore.exceptions.BaseError, deltalake.exceptions.DeltaError: The lake cannot be
            read or written. The replay can be repeated.
        TableUnsuitable: A landing table has other columns than this program writes.
    """
    report = Report(dry_run)
    rejections = Rejections(settings, selection)
    with closing(_Writer(settings, dry_run=dry_run)) as writer:
        for source, hour in rejections.partitions():
            settled = rejections.settled(source, hour)
            batch = _Batch(source, hour)
            for rows in rejections.batches(source, hour):
                open_ones = rows.join(settled, on=EVENT_KEY, how="anti", maintain_order="left")
                report.settled += rows.height - open_ones.height
                for row in open_ones.iter_rows(named=True):
                    batch.add(row, judge.read(source, row["body_sealed"]))
                if batch.full:
                    writer.write(batch, judge, report)
                    batch = _Batch(source, hour)
                    on_progress(report.judged)
            writer.write(batch, judge, report)
            on_progress(report.judged)
    return report


class _Judged(NamedTuple):
    """A refused event and how it is judged now; its body is let go."""

    receipt_id: str
    event_index: int
    received_at: datetime
    rule: str
    outcome: Reading | Violation


@dataclass
class _Batch:
    """Events of one arrival partition that are settled together, in order of arrival."""

    source: str
    hour: str
    events: list[_Judged] = field(default_factory=list)
    payload_bytes: int = 0

    @property
    def full(self) -> bool:
        return len(self.events) >= _BATCH_EVENTS or self.payload_bytes >= _BATCH_BYTES

    def add(self, row: Mapping[str, Any], found: Reading | Refusal) -> None:
        outcome = found.violations[0] if isinstance(found, Refusal) else found
        if isinstance(outcome, Reading):
            self.payload_bytes += len(outcome.payload)
        key = (row["receipt_id"], row["event_index"])
        self.events.append(_Judged(*key, row["received_at"], row["rule"], outcome))

    def landing_rows(self, contract_version: str, token_key_version: int) -> pl.DataFrame:
        """Return the readable events as rows of `landing/events`, each id once."""
        rows = [
            {
                "event_id": reading.event_id,
                "device_id": reading.device_id,
                "event_time": reading.event_time_us,
                "received_at": event.received_at,
                "payload": reading.payload.decode(),
                "receipt_id": event.receipt_id,
            }
            for event in self.events
            if isinstance(reading := event.outcome, Reading)
        ]
        return (
            pl.DataFrame(rows, schema=_OWN_COLUMNS)
            .unique("event_id", keep="first", maintain_order=True)
            .with_columns(
                pl.col("event_time").cast(UTC_TIME),
                pl.lit(self.source).alias(SOURCE),
                pl.lit(self.hour).alias(RECEIVED_HOUR),
                pl.lit(contract_version).alias("contract_version"),
                pl.lit(token_key_version, pl.Int32).alias("token_key_version"),
            )
            .select(list(LANDING_EVENTS.schema))
        )


class _Writer:
    """Settles batches: lands, counts, and notes each attempt unless it is a dry run."""

    def __init__(self, settings: Settings, *, dry_run: bool) -> None:
        self._landing: Landing = Rehearsal(settings) if dry_run else EventLanding(settings)
        self._attempts = None if dry_run else DeltaLog(settings, LANDING_REPLAYS)

    def write(self, batch: _Batch, judge: Judge, report: Report) -> None:
        if not batch.events:
            return
        contract = judge.contracts.get(batch.source)
        version = contract.version if contract else ""
        known: set[str] = set()
        if contract is not None:
            rows = batch.landing_rows(version, judge.token_key_version)
            place = place_of(batch.source, batch.hour, contract.dedup_window)
            known = self._landing.land(rows, place) if rows.height else set()
        attempts = [_settle(event, batch.source, known, report) for event in batch.events]
        if self._attempts is not None:
            shared = {
                SOURCE: batch.source,
                RECEIVED_HOUR: batch.hour,
                "attempted_at": utc_now(),
                "contract_version": version,
            }
            frame = pl.DataFrame(
                [attempt | shared for attempt in attempts], schema=LANDING_REPLAYS.schema
            )
            self._attempts.commit(self._attempts.prepare(frame))

    def close(self) -> None:
        self._landing.close()
        if self._attempts is not None:
            self._attempts.close()


def _settle(event: _Judged, source: str, known: set[str], report: Report) -> dict[str, Any]:
    """Count one event and return its attempt; an id that landed is known from then on."""
    found = event.outcome
    event_id = rule = None
    if isinstance(found, Violation):
        outcome, rule = REFUSED, found.rule
        if rule == UNOPENED_RULE:
            report.unopened[found.message] = report.unopened.get(found.message, 0) + 1
    else:
        event_id = found.event_id
        outcome = DUPLICATE if event_id in known else LANDED
        known.add(event_id)
    report.add(Change(source, event.rule, outcome, rule), event.receipt_id, event.event_index)
    return {
        "receipt_id": event.receipt_id,
        "event_index": event.event_index,
        "outcome": outcome,
        "rule": rule,
        "event_id": event_id,
    }
