"""Rules: what can be read but not believed is named, and an absent value breaks no range."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from telemetry_contracts.contract import Contract, Severity
from telemetry_contracts.frames import silver_schema
from telemetry_contracts.rules import contract_rules

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry

NOW = datetime(2026, 11, 22, 14, tzinfo=UTC)


def broken(contract: Contract, **values: Any) -> set[str]:
    """Return the rules that one row breaks; a time or value not given is sound or absent."""
    row = {"event_time": NOW, "received_at": NOW, "device_id": "d"} | values
    frame = pl.DataFrame([row], schema=silver_schema(contract))
    rules = [rule for rule in contract_rules(contract) if rule.severity is Severity.ERROR]
    found = frame.select(rule.broken.alias(rule.rule) for rule in rules)
    assert found.null_count().sum_horizontal().item() == 0
    return {name for name in found.columns if found[name][0]}


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (-60.0, set()),
        (85.0, set()),
        (-60.01, {"range.temperature_celsius"}),
        (85.01, {"range.temperature_celsius"}),
    ],
)
def test_a_range_holds_its_ends(registry: Registry, value: float, wanted: set[str]) -> None:
    assert broken(registry["environment"], temperature_celsius=value) == wanted


def test_an_enum_holds_its_values_and_nothing_else(registry: Registry) -> None:
    mobile = registry["mobile"]
    for value in mobile.field("connectivity").enum:
        assert broken(mobile, connectivity=value) == set()
    assert broken(mobile, connectivity="WIFI") == {"enum.connectivity"}


def test_an_event_without_any_measurement_is_incomplete(registry: Registry) -> None:
    assert broken(registry["environment"], latitude=1.0) == {"at_least_one"}
    assert broken(registry["environment"], motion_detected=False) == set()


def test_absent_values_break_no_rule_of_their_own(registry: Registry) -> None:
    assert broken(registry["mobile"]) == set()


def test_timeliness_is_judged_by_arrival(registry: Registry) -> None:
    mobile, minute = registry["mobile"], timedelta(minutes=1)
    assert broken(mobile, event_time=NOW + 10 * minute) == set()
    assert broken(mobile, event_time=NOW + 11 * minute) == {"timeliness.future"}
    assert broken(mobile, event_time=NOW - timedelta(days=400)) == set()
    assert broken(mobile, event_time=NOW - timedelta(days=401)) == {"timeliness.late"}
    years_ago = NOW - timedelta(days=4000)
    assert broken(registry["environment"], event_time=years_ago, smoke_ppm=1.0) == set()


def test_a_required_column_must_have_a_value(registry: Registry) -> None:
    wearable = registry["wearable"]
    fields = tuple(replace(f, required=f.name == "heart_rate_bpm") for f in wearable.fields)
    strict = replace(wearable, fields=fields)
    assert "required.heart_rate_bpm" in broken(strict, step_count=1.0)


def test_every_reason_of_a_row_is_told(registry: Registry) -> None:
    row = {"heart_rate_bpm": 7.0, "step_count": -1.0, "sleep_state": "dreaming"}
    assert broken(registry["wearable"], **row) == {
        "range.heart_rate_bpm",
        "range.step_count",
        "enum.sleep_state",
    }


def test_rules_have_names_of_their_own_and_messages_in_units(registry: Registry) -> None:
    for contract in registry.values():
        names = [rule.rule for rule in contract_rules(contract)]
        assert len(names) == len(set(names))
    messages = {rule.rule: rule.message for rule in contract_rules(registry["environment"])}
    assert messages["range.pressure_hpa"] == "expected 300 to 1100 hPa"
