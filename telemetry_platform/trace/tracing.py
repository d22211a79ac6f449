"""Follows an id: asks landing and the marts, and puts together what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from telemetry_platform.clock import hour_start
from telemetry_platform.layout import LANDING_REJECTED, SOURCE
from telemetry_platform.trace import arrivals, way
from telemetry_platform.trace.ids import EVENT, TraceId
from telemetry_platform.trace.landed import FILE
from telemetry_platform.trace.steps import (
    Arrival,
    MartRow,
    Outcome,
    State,
    Step,
    Trace,
    clock,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl

    from telemetry_platform.trace.marts import Marts
    from telemetry_platform.trace.way import LakeSide

EVENTS_SHOWN = 100
_ARRIVALS_FOLLOWED = 20
_FILES_FOLLOWED = 10


class NotFound(LookupError):
    """Nothing is stored under an id; the message says what that can mean."""


class Tracer:
    """Answers for one id at a time.

    Args:
        marts: Where outcomes are looked up.
        lake: Where commits are looked up; without it only the marts answer.
        sees: Whether the asker may know of a source.
    """

    def __init__(
        self, marts: Marts, lake: LakeSide | None, sees: Callable[[str], bool] = lambda _: True
    ) -> None:
        self._marts = marts
        self._lake = lake
        self._sees = sees

    def trace(self, wanted: TraceId, limit: int = EVENTS_SHOWN) -> Trace:
        """Return what became of an id.

        Args:
            wanted: The id.
            limit: Most events of a receipt that are listed.

        Raises:
            NotFound: Nothing is stored under it, or nothing that the asker may know of.
            psycopg.Error, OSError, deltalake.exceptions.DeltaError, polars.exceptions.ComputeError:
                A store does not answer.
        """
        if wanted.kind == EVENT:
            return self._event(wanted)
        return self._receipt(wanted, limit)

    def _event(self, wanted: TraceId) -> Trace:
        found = {arrivals.key_of(each): each for each in self._judged([wanted.text])}
        trace = Trace(wanted.text, wanted.kind, None, [])
        if not found:
            # An open hour has thousands of small files: to open them all takes seconds.
            found = {arrivals.key_of(each): each for each in self._unjudged(wanted.text, trace)}
        seen = [arrival for arrival in found.values() if self._sees(arrival.source)]
        if not seen:
            raise NotFound(
                "no event of this id is stored. One that the edge refused has no id: trace the "
                "receipt of its post. Of an event that was erased nothing is kept."
            )
        trace.arrivals = sorted(seen, key=lambda each: (each.received_at, each.receipt_id or ""))
        if len(seen) > _ARRIVALS_FOLLOWED:
            trace.notes.append(f"Steps are shown of the first {_ARRIVALS_FOLLOWED} arrivals.")
        for arrival in trace.arrivals[:_ARRIVALS_FOLLOWED]:
            self._follow(arrival)
        return trace

    def _judged(self, event_ids: Sequence[str]) -> list[Arrival]:
        """Return the arrivals that silver has decided on."""
        if not event_ids:
            return []
        corrected = [
            arrivals.of_row(row, Outcome.SUPERSEDED) for row in self._marts.superseded(event_ids)
        ]
        ids = {*event_ids}
        ids.update(each.corrected_event_id for each in corrected if each.corrected_event_id)
        kept = [arrivals.of_row(row, Outcome.KEPT) for row in self._marts.kept(sorted(ids))]
        duplicates = [arrivals.of_duplicate(row) for row in self._marts.duplicates(event_ids)]
        quarantined = arrivals.of_reasons(self._marts.quarantined(event_ids))
        return [*kept, *quarantined, *duplicates, *corrected]

    def _unjudged(self, event_id: str, trace: Trace) -> list[Arrival]:
        """Return arrivals in hours that have grown since they were refined."""
        if self._lake is None:
            return []
        hours = self._marts.hours()
        grown = [
            place
            for place, rows in self._lake.events.sizes().items()
            if self._sees(place[0])
            and (place not in hours or hours[place].accepted != rows or not hours[place].complete)
        ]
        rows, whole = self._lake.events.among(event_id, grown)
        if not whole:
            trace.notes.append(
                "Too much waits to be refined: of that, only the newest was searched."
            )
        return [arrivals.of_row(row, Outcome.WAITING) for row in rows.rows(named=True)]

    def _follow(self, arrival: Arrival, row: dict[str, Any] | None = None) -> None:
        """Add the steps of an arrival, and what only landing knows of it."""
        if self._lake is not None and row is None and arrival.event_id:
            landed_as = arrival.event_id
            if arrival.outcome is Outcome.KEPT:
                # A replacement is kept under the id of its event.
                landed_as = arrival.correction_id or landed_as
            rows = self._lake.events.of_event(landed_as, arrival.source, arrival.received_at)
            same = rows.filter(rows["receipt_id"] == arrival.receipt_id)
            row = next(iter(same.rows(named=True)), None)
            if row is None:
                arrival.outcome = Outcome.ERASED
        if row is not None:
            arrival.device_id, arrival.event_time = row["device_id"], row["event_time"]
        begin = way.received(
            arrival.received_at, arrival.source, arrival.source_file, arrival.source_row
        )
        (landing,) = way.landing_steps(self._lake, row)
        arrival.steps = [begin, landing]
        if arrival.outcome is Outcome.ERASED:
            return
        arrival.steps += way.refining_steps(self._lake, arrival, landing)
        if arrival.outcome is Outcome.KEPT and arrival.device_id and arrival.event_time:
            metrics = self._marts.metrics(arrival.source, arrival.device_id, arrival.event_time)
            arrival.mart_rows = [MartRow(**each) for each in metrics]

    def _receipt(self, wanted: TraceId, limit: int) -> Trace:
        assert wanted.at is not None  # noqa: S101 - what a receipt is
        hours = [hour_start(hour) for hour in way.hours_of(wanted.at)]
        rows = refused = None
        if self._lake is not None:
            rows = self._lake.events.of_receipt(wanted.text, wanted.at)
            refused = self._lake.rejected.of_receipt(wanted.text, wanted.at)
        ids = self._marts.ids_of(wanted.text, hours, limit)
        judged = [each for each in self._judged(ids) if each.receipt_id == wanted.text]
        trace = Trace(wanted.text, wanted.kind, wanted.at, [])
        rejected = self._rejected(refused, wanted)
        corrections = [each.correction_id for each in judged if each.outcome is Outcome.KEPT]
        waiting = _not_among(rows, [*ids, *filter(None, corrections)], limit)
        trace.arrivals = [*rejected, *arrivals.stopped_first(judged), *waiting]
        if not trace.arrivals or not all(self._sees(each.source) for each in trace.arrivals):
            raise NotFound(_nothing_under_receipt(wanted))
        self._count(trace, self._marts.counts(wanted.text, hours), rows, rejected)
        trace.arrivals = trace.arrivals[:limit]
        self._follow_receipt(trace, rows, refused)
        return trace

    def _count(
        self,
        trace: Trace,
        judged: dict[str, int],
        rows: pl.DataFrame | None,
        rejected: list[Arrival],
    ) -> None:
        counts = dict(judged)
        if rows is not None:
            counts["waiting"] = max(0, rows.height - sum(judged.values()))
            # What a replay has landed is counted as the event that it became.
            counts["rejected"] = sum(each.outcome is Outcome.REJECTED for each in rejected)
        trace.counts = counts

    def _follow_receipt(
        self, trace: Trace, rows: pl.DataFrame | None, refused: pl.DataFrame | None
    ) -> None:
        """Add the way of the receipt's events as a whole, and of an event that is alone."""
        events = [each for each in trace.arrivals if each.event_id is not None]
        if refused is not None and self._lake is not None:
            for row in refused.unique(FILE, maintain_order=True).head(_FILES_FOLLOWED).to_dicts():
                source = row[SOURCE]
                steps = trace.steps.setdefault(source, [way.received(row["received_at"], source)])
                found = self._lake.rejected.landing_of(row)
                steps.append(way.landed(LANDING_REJECTED.path, found))
        # As an example serves what silver kept, if anything: its way is the longest.
        for example in {each.source: each for each in events}.values():
            self._follow_together(trace, example, rows)
        if trace.total == 1 and events:
            self._follow(events[0])

    def _follow_together(self, trace: Trace, example: Arrival, rows: pl.DataFrame | None) -> None:
        begin = way.received(example.received_at, example.source, example.source_file)
        before = trace.steps.get(example.source, [begin])
        steps: list[Step] = []
        if self._lake is None or rows is None or rows.is_empty():
            steps += way.landing_steps(self._lake, None)
        else:
            files = rows.unique(FILE, maintain_order=True)
            for row in files.head(_FILES_FOLLOWED).to_dicts():
                steps += way.landing_steps(self._lake, row)
            if files.height > _FILES_FOLLOWED:
                trace.notes.append(
                    f"Its rows are in {files.height} files, {_FILES_FOLLOWED} are shown."
                )
        last = max(steps, key=lambda step: step.version or -1)
        if last.state is not State.STOPPED:
            steps += _as_whole(way.refining_steps(self._lake, example, last), trace)
        trace.steps[example.source] = [begin, *before[1:], *steps]

    def _rejected(self, refused: pl.DataFrame | None, wanted: TraceId) -> list[Arrival]:
        """Return the events of a receipt that the edge refused, with what replays made of them."""
        if refused is None or refused.is_empty() or self._lake is None or wanted.at is None:
            return []
        attempts = self._lake.replays.of_receipt(wanted.text, wanted.at).sort("attempted_at")
        latest = {each["event_index"]: each for each in attempts.rows(named=True)}
        return [
            arrivals.of_refused(row, latest.get(row["event_index"]))
            for row in refused.sort("event_index").rows(named=True)
        ]


def _not_among(rows: pl.DataFrame | None, ids: Sequence[str], limit: int) -> list[Arrival]:
    """Return landed rows that the marts do not name, as far as they can be listed."""
    if rows is None or len(ids) >= limit:
        return []
    rest = rows.filter(~rows["event_id"].is_in(list(ids))).head(limit - len(ids))
    return [arrivals.of_row(row, Outcome.WAITING) for row in rest.rows(named=True)]


def _as_whole(steps: list[Step], trace: Trace) -> list[Step]:
    """Return the steps of one event as those of all events of its receipt."""
    whole = []
    for step in steps:
        detail = step.detail
        if step.name == "silver":
            told = ((n, name) for name, n in trace.counts.items() if n and name != "rejected")
            detail = ", ".join(f"{n:,} {name}" for n, name in told)
        whole.append(Step(step.name, step.state, step.at, step.table, step.version, detail=detail))
    return whole


def _nothing_under_receipt(wanted: TraceId) -> str:
    when = clock(wanted.at) if wanted.at else ""
    return (
        f"nothing is stored under this receipt of {when} UTC. When all events of a post were "
        "duplicates nothing is: trace one of their event ids, which the edge's answer has. Events "
        "may also wait in an edge's spool, or have been erased."
    )
