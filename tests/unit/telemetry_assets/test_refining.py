"""Refining: every landed event is in exactly one place, and the first arrival wins."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_assets.lakehouse.refining import Refined, refine
from telemetry_assets.lakehouse.tables import DUPLICATES, QUARANTINE
from telemetry_contracts.frames import silver_schema
from tests.unit.telemetry_assets.landed import NOON, bronze, room, watch

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry

NOBODY = pl.DataFrame(
    schema={"event_id": pl.String, "receipt_id": pl.String, "received_at": pl.Datetime("us", "UTC")}
)


def split(
    registry: Registry, events: list[dict[str, Any]], earlier: pl.DataFrame = NOBODY
) -> Refined:
    return refine(bronze(registry, "wearable", events), earlier, registry["wearable"])


def rates(frame: pl.DataFrame) -> list[float]:
    return frame["heart_rate_bpm"].to_list()


def named(event: dict[str, Any], number: int) -> dict[str, Any]:
    """Give an event an id of its client."""
    return event | {"event_id": f"00000000-0000-7000-8000-{number:012}"}


def test_sound_events_reach_silver_with_their_derived_columns(registry: Registry) -> None:
    found = refine(
        bronze(registry, "environment", [room(temperature=25.0, humidity=60.0)]),
        NOBODY,
        registry["environment"],
    )
    (row,) = found.silver.to_dicts()
    assert found.silver.schema == silver_schema(registry["environment"])
    assert row["dew_point_celsius"] == pytest.approx(16.7, abs=0.05)
    assert row["heat_index_celsius"] == pytest.approx(25.06, abs=0.01)


def test_a_heart_rate_counts_as_asleep_only_in_sleep(registry: Registry) -> None:
    events = [watch(0, 50, state="asleep"), watch(1, 70, state="awake"), watch(2, 60)]
    found = split(registry, events).silver
    assert found["heart_rate_asleep_bpm"].to_list() == [50.0, None, None]


def test_what_cannot_be_believed_is_kept_with_every_reason(registry: Registry) -> None:
    event = watch(0, 7, steps=-1, state="dreaming", mood="odd")
    (row,) = split(registry, [watch(), event]).quarantine.to_dicts()
    assert sorted(row["rules"]) == ["enum.sleep_state", "range.heart_rate_bpm", "range.step_count"]
    reasons = {reason["rule"]: reason for reason in json.loads(row["reasons"])}
    assert reasons["range.heart_rate_bpm"] == {
        "rule": "range.heart_rate_bpm",
        "dimension": "validity",
        "field": "heart_rate_bpm",
        "message": "expected 20 to 250 bpm",
    }
    payload = json.loads(row["payload"])
    assert (payload["heart_rate_bpm"], payload["extras"]) == (7.0, '{"mood":"odd"}')


def test_a_personal_value_is_a_token_in_quarantine_too(registry: Registry) -> None:
    found = split(registry, [watch(0, 7, email="ada@example.org")]).quarantine
    assert "ada" not in str(found.to_dicts())
    assert "tok_1_" in found["payload"][0]


def test_the_first_arrival_of_an_id_wins(registry: Registry) -> None:
    found = split(
        registry, [named(watch(0, 61), 1), named(watch(5, 62), 1), named(watch(6, 63), 2)]
    )
    assert rates(found.silver) == [61.0, 63.0]
    (lost,) = found.duplicates.to_dicts()
    assert lost["first_receipt_id"] == "r1"
    assert lost["received_at"] - lost["first_received_at"] == timedelta(seconds=1)


def test_an_event_of_an_earlier_hour_wins_over_all_of_this_one(registry: Registry) -> None:
    events = [named(watch(0, 61), 1), named(watch(1, 62), 1), named(watch(2, 63), 2)]
    first = {"event_id": events[0]["event_id"], "receipt_id": "r0", "received_at": NOON}
    later = first | {"receipt_id": "r00", "received_at": NOON + timedelta(minutes=1)}
    found = split(registry, events, pl.DataFrame([later, first], schema=NOBODY.schema))
    assert rates(found.silver) == [63.0]
    assert found.duplicates["first_receipt_id"].to_list() == ["r0", "r0"]


def test_a_duplicate_of_a_quarantined_event_is_a_duplicate(registry: Registry) -> None:
    found = split(registry, [named(watch(0, 7), 1), named(watch(0, 60), 1)])
    assert (found.silver.height, found.quarantine.height, found.duplicates.height) == (0, 1, 1)


def test_an_empty_hour_is_refined_to_empty_tables(registry: Registry) -> None:
    found = split(registry, [])
    assert found.silver.schema == silver_schema(registry["wearable"])
    assert found.quarantine.schema == QUARANTINE.schema
    assert found.duplicates.schema == DUPLICATES.schema
    assert found.outcomes["checked"].sum() == found.outcomes["failed"].sum() == 0


ids = st.integers(0, 5)
events_of_an_hour = st.lists(
    st.tuples(ids, st.sampled_from([7, 60, 61, 300]), st.sampled_from(["awake", "odd"])),
    max_size=12,
)


@given(events=events_of_an_hour, earlier=st.sets(ids), seed=st.integers())
def test_counts_add_up_and_no_order_of_rows_changes_the_outcome(
    registry: Registry, events: list[tuple[int, int, str]], earlier: set[int], seed: int
) -> None:
    sent = [named(watch(0, rate, state=state), number) for number, rate, state in events]
    rows = bronze(registry, "wearable", sent)
    before = pl.DataFrame(
        [
            {"event_id": named({}, n)["event_id"], "receipt_id": "r0", "received_at": NOON}
            for n in earlier
        ],
        schema=NOBODY.schema,
    )
    found = refine(rows, before, registry["wearable"])
    assert found.silver.height + found.quarantine.height + found.duplicates.height == rows.height
    winners = {event["event_id"]: event["hr"] for event in reversed(sent)}
    survivors = {*found.silver["event_id"], *found.quarantine["event_id"]}
    assert survivors == set(winners) - set(before["event_id"])
    for event_id, rate in found.silver.select("event_id", "heart_rate_bpm").rows():
        assert winners[event_id] == rate

    order = list(range(rows.height))
    random.Random(seed).shuffle(order)  # noqa: S311 - a permutation, not a secret
    again = refine(rows[order], before, registry["wearable"])
    for name in ("silver", "quarantine", "duplicates", "outcomes"):
        assert getattr(again, name).equals(getattr(found, name)), name


def test_outcomes_count_what_each_rule_checked_and_failed(registry: Registry) -> None:
    events = [
        watch(0, 60),
        watch(1, 7),
        watch(2, None, steps=4),
        named(watch(3), 1),
        named(watch(4), 1),
    ]
    found = {
        row["rule"]: (row["checked"], row["failed"])
        for row in split(registry, events).outcomes.to_dicts()
    }
    assert found["range.heart_rate_bpm"] == (3, 1)
    assert found["range.step_count"] == (1, 0)
    assert found["at_least_one"] == (4, 0)
    assert found["unique.event_id"] == (5, 1)
