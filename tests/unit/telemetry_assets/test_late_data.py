"""Late, repeated and shuffled events: aggregates depend on what happened, not on how it arrived."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry_assets.lakehouse.aggregating import hour_partials, metric_partials
from telemetry_assets.lakehouse.refining import refine
from telemetry_platform.clock import hour_key, hour_start
from tests.unit.telemetry_assets.landed import HOUR, NOON, bronze, watch

if TYPE_CHECKING:
    from telemetry_contracts.contract import Contract
    from telemetry_contracts.registry import Registry

ARRIVAL = ("event_id", "receipt_id", "received_at")
Key = tuple[str, str, datetime]


class Happened(NamedTuple):
    """One measurement of a watch, `second` seconds after NOON."""

    device: str
    second: int
    rate: float

    def event(self) -> dict[str, Any]:
        return watch(self.second / 60, self.rate, self.device)


class Arrived(NamedTuple):
    """What a sequence of arrival hours came to."""

    minutes: dict[Key, dict[str, Any]]
    hours: dict[Key, dict[str, Any]]
    quarantine: list[dict[str, Any]]
    duplicates: int


def arrive(registry: Registry, source: str, hours: dict[str, list[dict[str, Any]]]) -> Arrived:
    """Refine each arrival hour on its own, and merge the partials as the marts do."""
    contract = registry[source]
    earlier = pl.DataFrame(schema=bronze(registry, source, []).select(ARRIVAL).schema)
    minutes, event_hours, quarantine, duplicates = [], [], [], 0
    for hour, events in sorted(hours.items()):
        rows = bronze(registry, source, events, hour, receipt=f"r{hour}")
        refined = refine(rows, earlier, contract)
        minutes.append(metric_partials(refined.silver, contract))
        event_hours.append(hour_partials(refined.silver, contract))
        quarantine += refined.quarantine.to_dicts()
        duplicates += refined.duplicates.height
        earlier = pl.concat([earlier, rows.select(ARRIVAL)])
    return Arrived(
        merged(pl.concat(minutes), "event_minute"),
        merged(pl.concat(event_hours), "event_hour"),
        quarantine,
        duplicates,
    )


def merged(partials: pl.DataFrame, bucket: str) -> dict[Key, dict[str, Any]]:
    """Merge partials as `dbt_project/macros/merge_metrics.sql` does."""
    parts = defaultdict(list)
    for row in partials.sort("received_hour", "source_file").iter_rows(named=True):
        parts[row["device_id"], row["metric"], row[bucket]].append(row)
    return {key: merge(rows) for key, rows in parts.items()}


def merge(rows: list[dict[str, Any]]) -> dict[str, Any]:
    n = sum(row["n"] for row in rows)
    average = sum(row["n"] * row["mean"] for row in rows) / n
    m2 = sum(row["m2"] + row["n"] * (row["mean"] - average) ** 2 for row in rows)
    return {
        "n": n,
        "average": average,
        "deviation": math.sqrt(m2 / (n - 1)) if n > 1 else None,
        "minimum": min(row["minimum"] for row in rows),
        "maximum": max(row["maximum"] for row in rows),
        "first": min((row["first_at"], row["first_value"]) for row in rows),
        "last": max((row["last_at"], row["last_value"]) for row in rows),
    }


measurements = st.lists(
    st.builds(
        Happened,
        st.sampled_from(["w", "v"]),
        st.integers(0, 179) | st.integers(3500, 3700),
        st.integers(20, 250).map(float) | st.floats(20, 250),
    ),
    min_size=1,
    max_size=12,
    # One device measures once at a moment, or what comes first is a matter of chance.
    unique_by=lambda happened: (happened.device, happened.second),
)


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[list[Happened], dict[str, list[dict[str, Any]]]]:
    """Draw measurements, and hours in which each arrives once or more, in any order."""
    happened = draw(measurements)
    hours: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for each in happened:
        for late in draw(st.lists(st.integers(0, 2), min_size=1, max_size=3)):
            hours[hour_key(hour_start(HOUR) + timedelta(hours=late))].append(each.event())
    return happened, {hour: draw(st.permutations(events)) for hour, events in hours.items()}


@given(arrivals())
def test_no_order_repetition_or_split_of_arrivals_changes_an_aggregate(
    registry: Registry, drawn: tuple[list[Happened], dict[str, list[dict[str, Any]]]]
) -> None:
    happened, hours = drawn
    found = arrive(registry, "wearable", hours)
    assert_direct(found.minutes, happened, timedelta(minutes=1))
    assert_direct(found.hours, happened, timedelta(hours=1))
    assert found.quarantine == []
    assert found.duplicates == sum(map(len, hours.values())) - len(happened)


def assert_direct(
    found: dict[Key, dict[str, Any]], happened: list[Happened], bucket: timedelta
) -> None:
    """Counts, extremes and ends equal those of the values to the bit, the rest to 1e-9."""
    values = defaultdict(list)
    for each in sorted(happened, key=lambda measured: measured.second):
        start = NOON + timedelta(seconds=each.second) // bucket * bucket
        values[each.device, "heart_rate_bpm", start].append(each.rate)
    assert set(found) == set(values)
    for key, rates in values.items():
        row = found[key]
        assert (row["n"], row["minimum"], row["maximum"]) == (len(rates), min(rates), max(rates))
        assert (row["first"][1], row["last"][1]) == (rates[0], rates[-1])
        assert row["average"] == pytest.approx(statistics.fmean(rates), rel=1e-9)
        if len(rates) > 1:
            assert row["deviation"] == pytest.approx(statistics.stdev(rates), rel=1e-9, abs=1e-9)


def phone(moment: datetime, level: float = 80.0) -> dict[str, Any]:
    return {
        "device": {"id": "p"},
        "battery": {"level": level},
        "session": {"id": "s", "timestamp": moment.isoformat()},
    }


def limit(contract: Contract) -> timedelta:
    assert contract.max_lateness is not None
    return contract.max_lateness


@settings(max_examples=10)
@given(late=st.floats(0, 1), level=st.floats(0, 100))
def test_an_event_up_to_the_limit_late_changes_the_aggregates_of_its_minute_alone(
    registry: Registry, late: float, level: float
) -> None:
    arrived = hour_start(HOUR)
    measured = arrived - timedelta(seconds=round(late * limit(registry["mobile"]).total_seconds()))
    around = [phone(measured + timedelta(seconds=apart)) for apart in (-61, -1, 1, 61)]
    on_time = {hour_key(measured + timedelta(hours=1)): around}
    # What comes first in its hour arrives at the hour's first moment.
    with_late = on_time | {HOUR: [phone(measured, level), *on_time.get(HOUR, [])]}
    before, after = arrive(registry, "mobile", on_time), arrive(registry, "mobile", with_late)
    assert before.quarantine == after.quarantine == []
    assert before.minutes.keys() <= after.minutes.keys()
    changed = {key for key in after.minutes if after.minutes[key] != before.minutes.get(key)}
    minute = ("p", "battery_level_percent", measured.replace(second=0))
    assert changed == {minute}
    assert after.minutes[minute]["n"] == before.minutes[minute]["n"] + 1


@settings(max_examples=10)
@given(beyond=st.timedeltas(timedelta(microseconds=1), timedelta(days=3000)))
def test_a_later_event_goes_to_quarantine_with_the_reason_and_changes_no_aggregate(
    registry: Registry, beyond: timedelta
) -> None:
    arrived = hour_start(HOUR)
    moment = arrived - limit(registry["mobile"]) - beyond
    on_time = phone(arrived - timedelta(minutes=5))
    before = arrive(registry, "mobile", {HOUR: [on_time]})
    after = arrive(registry, "mobile", {HOUR: [phone(moment), on_time]})
    assert (after.minutes, after.hours) == (before.minutes, before.hours)
    (kept,) = after.quarantine
    assert (kept["event_time"], kept["rules"]) == (moment, ["timeliness.late"])
    assert "expected a time at most 400 days before its arrival" in kept["reasons"]
