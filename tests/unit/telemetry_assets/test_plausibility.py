"""Warnings: what contradicts a device's other readings is counted and stays in silver."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_assets.lakehouse.plausibility import neighbour_warnings
from telemetry_assets.lakehouse.refining import refine
from telemetry_assets.lakehouse.registered import DEVICES
from telemetry_contracts.contract import Contract, DeclaredRule, Severity
from tests.unit.telemetry_assets.landed import NOON, bronze, room, watch
from tests.unit.telemetry_assets.test_refining import NOBODY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from telemetry_contracts.registry import Registry

Reading = tuple[str, float, float | None]


def rule(kind: str, **arguments: object) -> DeclaredRule:
    return DeclaredRule(kind, "heart_rate_bpm", Severity.WARNING, arguments)


JUMP = rule("jump", limit=10.0, per=timedelta(minutes=1))
STUCK = rule("stuck", **{"for": timedelta(minutes=5), "readings": 3})


@pytest.fixture(scope="session")
def contract(registry: Registry) -> Contract:
    return replace(registry["wearable"], rules=(JUMP, STUCK))


def counts(contract: Contract, readings: Sequence[Reading]) -> dict[str, tuple[int, int]]:
    """Return checked and failed by rule, of readings given as device, minute and value."""
    frame = pl.DataFrame(
        [
            (device, NOON + timedelta(minutes=minute), f"{place:04}", value)
            for place, (device, minute, value) in enumerate(readings)
        ],
        schema={
            "device_id": pl.String,
            "event_time": pl.Datetime("us", "UTC"),
            "event_id": pl.String,
            "heart_rate_bpm": pl.Float64,
        },
        orient="row",
    )
    found = neighbour_warnings(frame, contract)
    assert set(found["severity"]) == {"warning"}
    return {row["rule"].split(".")[0]: (row["checked"], row["failed"]) for row in found.to_dicts()}


@pytest.mark.parametrize(
    ("minutes", "change", "failed"),
    [(1, 10, 0), (1, 10.1, 1), (0.01, 10, 0), (0.01, 11, 1), (3, 30, 0), (3, 31, 1), (1, -11, 1)],
)
def test_a_jump_is_measured_by_the_time_it_took_but_not_below_one_unit(
    contract: Contract, minutes: float, change: float, failed: int
) -> None:
    found = counts(contract, [("w", 0, 60.0), ("w", minutes, 60.0 + change)])
    assert found["jump"] == (1, failed)


def test_devices_have_neighbours_of_their_own_and_absent_values_are_none(
    contract: Contract,
) -> None:
    readings = [("v", 0, 60.0), ("w", 1, 99.0), ("v", 1, None), ("v", 2, 65.0), ("w", 2, 99.0)]
    assert counts(contract, readings)["jump"] == (2, 0)


def test_a_value_is_stuck_when_it_lasts_longer_and_was_read_often_enough(
    contract: Contract,
) -> None:
    same = [("w", float(minute), 60.0) for minute in range(9)]
    assert counts(contract, same)["stuck"] == (9, 3)
    assert counts(contract, [("w", 0, 60.0), ("w", 9, 60.0)])["stuck"] == (2, 0)
    moved = [*same[:4], ("w", 4.5, 61.0), *same[5:]]
    assert counts(contract, moved)["stuck"] == (9, 0)


def test_an_hour_without_rows_warns_of_nothing(contract: Contract) -> None:
    assert counts(contract, []) == {"jump": (0, 0), "stuck": (0, 0)}


@given(
    st.lists(
        st.tuples(
            st.sampled_from("vw"), st.integers(0, 20), st.sampled_from([60.0, 61.0, 90.0, None])
        ),
        unique_by=lambda each: each[:2],
        max_size=12,
    ),
    st.randoms(use_true_random=False),
)
def test_counts_do_not_depend_on_the_order_of_rows(
    contract: Contract, readings: list[Reading], chance: random.Random
) -> None:
    shuffled = list(readings)
    chance.shuffle(shuffled)
    assert counts(contract, shuffled) == counts(contract, readings)


def outcomes(frame: pl.DataFrame) -> dict[str, tuple[str, int, int]]:
    return {r["rule"]: (r["severity"], r["checked"], r["failed"]) for r in frame.to_dicts()}


def test_what_is_warned_of_stays_in_silver(registry: Registry) -> None:
    events = [watch(0, 60), watch(0.5, 240), watch(1, 60), watch(2, 300)]
    devices = pl.DataFrame([{"device_id": "another"}], schema=DEVICES)
    rows = bronze(registry, "wearable", events)
    found = refine(rows, NOBODY, registry["wearable"], devices)
    assert (found.silver.height, found.quarantine.height) == (3, 1)
    told = outcomes(found.outcomes)
    assert told["jump.heart_rate_bpm"] == ("warning", 2, 2), "a quarantined value is no neighbour"
    assert told["registered.device_id"] == ("warning", 4, 4)
    assert told["range.heart_rate_bpm"] == ("error", 4, 1)
    assert found.quarantine["rules"].to_list() == [["range.heart_rate_bpm"]]


def test_half_a_position_is_warned_of(registry: Registry) -> None:
    events = [room(0, location={"latitude": 57.1}), room(1)]
    rows = bronze(registry, "environment", events)
    found = refine(rows, NOBODY, registry["environment"])
    told = outcomes(found.outcomes)
    assert told["together.latitude.longitude"] == ("warning", 1, 1)
    assert told["registered.device_id"] == ("warning", 0, 0), "nobody has made a registry"
    assert found.silver.height == 2
