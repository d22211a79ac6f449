"""The steps of one arrival, or of a receipt's events together: which commit did what, and when."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from telemetry_platform.clock import hour_key
from telemetry_platform.layout import (
    LANDING_EVENTS,
    LANDING_REJECTED,
    LANDING_REPLAYS,
    RECEIVED_HOUR,
    SOURCE,
    landing_input,
)
from telemetry_platform.trace.commits import CommitLog, open_lake
from telemetry_platform.trace.landed import LandingTable, first_commit
from telemetry_platform.trace.steps import Arrival, Outcome, State, Step, clock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from telemetry_platform.settings import Settings
    from telemetry_platform.trace.commits import Commit
    from telemetry_platform.trace.landed import Landed

_CLEANED = "the log of that time has been cleaned up"
_NO_LAKE = "this server may not read the lake"
_NOT_YET = "not yet: the hour is refined within seconds while Dagster runs"


class LakeSide:
    """The lake as a trace sees it. Tables are opened when they are first asked for.

    Attributes:
        events, rejected, replays: Landing tables.
    """

    def __init__(self, settings: Settings) -> None:
        store = open_lake(settings)
        self.events = LandingTable(settings, store, LANDING_EVENTS)
        self.rejected = LandingTable(settings, store, LANDING_REJECTED)
        self.replays = LandingTable(settings, store, LANDING_REPLAYS)
        self.log: Callable[[str], CommitLog] = cache(lambda table: CommitLog(store, table))


def received(at: datetime, source: str, file: str | None = None, row: int | None = None) -> Step:
    """Return the step with which every way begins."""
    detail = f"{source} data"
    if file:
        detail += f", row {row} of {file}" if row is not None else f", file {file}"
    return Step("received", State.DONE, at, file=file, detail=detail)


def landed(table: str, found: Landed) -> Step:
    """Return the step of a landing commit."""
    if found.commit is None:
        return Step("landed", State.DONE, None, table, None, found.file, _CLEANED)
    detail = "" if found.certain else "in this commit or one of the next: the file was compacted"
    if found.compacted:
        detail = detail or f"compacted since into {found.file}"
    commit = found.commit
    return Step("landed", State.DONE, commit.at, table, commit.version, found.path, detail)


def landing_steps(lake: LakeSide | None, row: Mapping[str, Any] | None) -> list[Step]:
    """Return the step of an event's landing commit; `row` is its row of `landing/events`."""
    table = LANDING_EVENTS.path
    if lake is None:
        return [Step("landed", State.UNKNOWN, None, table, detail=_NO_LAKE)]
    if row is None:
        gone = "its row is no longer there: it was erased"
        return [Step("landed", State.STOPPED, None, table, detail=gone)]
    return [landed(table, lake.events.landing_of(dict(row)))]


def refining_steps(lake: LakeSide | None, arrival: Arrival, landing: Step) -> list[Step]:
    """Return what follows on landing: bronze, silver, and partials for what silver kept."""
    bronze = _bronze(lake, arrival, landing)
    silver = _silver(lake, arrival, bronze)
    if arrival.outcome is not Outcome.KEPT:
        return [bronze, silver]
    return [bronze, silver, _partials(lake, arrival, silver), _marts(arrival)]


def _bronze(lake: LakeSide | None, arrival: Arrival, landing: Step) -> Step:
    commit = None
    table = f"bronze/{arrival.source}"
    if lake is not None and landing.at is not None and landing.version is not None:
        wanted = (landing_input(arrival.source, arrival.received_hour), landing.version)
        hour = {RECEIVED_HOUR: arrival.received_hour}
        commit = first_commit(lake.log(table), hour, landing.at, wanted)
    return _written("bronze", table, commit, lake, arrival, "read as typed columns")


def _silver(lake: LakeSide | None, arrival: Arrival, bronze: Step) -> Step:
    hour = {RECEIVED_HOUR: arrival.received_hour}
    table = {
        Outcome.QUARANTINED: "silver/quarantine",
        Outcome.DUPLICATE: "silver/duplicates",
        Outcome.SUPERSEDED: "silver/superseded",
    }.get(arrival.outcome, f"silver/{arrival.source}")
    where = hour if table == f"silver/{arrival.source}" else hour | {SOURCE: arrival.source}
    commit = None
    if lake is not None and bronze.at is not None:
        commit = first_commit(lake.log(table), where, bronze.at)
    if arrival.outcome is Outcome.WAITING:
        commit = None
    step = _written("silver", table, commit, lake, arrival, decision(arrival))
    if arrival.outcome not in {Outcome.QUARANTINED, Outcome.DUPLICATE, Outcome.SUPERSEDED}:
        return step
    return Step(
        step.name, State.STOPPED, step.at, step.table, step.version, detail=decision(arrival)
    )


def _partials(lake: LakeSide | None, arrival: Arrival, silver: Step) -> Step:
    table = "gold/metric_partials"
    commit = None
    if lake is not None and silver.at is not None:
        where = {SOURCE: arrival.source, RECEIVED_HOUR: arrival.received_hour}
        commit = first_commit(lake.log(table), where, silver.at)
    text = "its metrics are added up by minute and hour"
    return _written("partials", table, commit, lake, arrival, text)


def _marts(arrival: Arrival) -> Step:
    table = "marts.fct_events"
    if arrival.loaded_at is None:
        return Step("marts", State.DONE, None, table)
    return Step("marts", State.DONE, arrival.loaded_at, table)


def _written(  # noqa: PLR0913, PLR0917 - what a step is made of
    name: str,
    table: str,
    commit: Commit | None,
    lake: LakeSide | None,
    arrival: Arrival,
    detail: str,
) -> Step:
    if commit is not None:
        return Step(name, State.DONE, commit.at, table, commit.version, detail=detail)
    if arrival.outcome is Outcome.WAITING:
        return Step(name, State.WAITING, None, table, detail=_NOT_YET)
    why = _NO_LAKE if lake is None else _CLEANED
    return Step(name, State.DONE, None, table, detail=f"{detail} (time unknown: {why})")


def decision(arrival: Arrival) -> str:
    """Return silver's decision in words."""
    if arrival.outcome is Outcome.QUARANTINED:
        told = (f"{each.rule}: {each.message}" for each in arrival.reasons)
        return f"stopped by {'; '.join(told)}"
    if arrival.outcome is Outcome.DUPLICATE and arrival.first is not None:
        first = arrival.first
        return (
            f"lost to the arrival of {clock(first.received_at)} under {first.receipt_id} "
            f"(hour {first.received_hour})"
        )
    if arrival.outcome is Outcome.SUPERSEDED:
        if arrival.fate == "deletion":
            return f"deletes {arrival.corrected_event_id}"
        return f"{arrival.fate} by {arrival.correction_id} under {arrival.correction_receipt_id}"
    if arrival.correction_id:
        return f"kept: the correction {arrival.correction_id} of this event"
    return "kept: the first of its id, and it breaks no rule"


def hours_of(at: datetime) -> list[str]:
    """Return the arrival hours that a receipt given at a moment can have."""
    ends = (at - timedelta(seconds=1), at, at + timedelta(seconds=60))
    return sorted({hour_key(end) for end in ends})
