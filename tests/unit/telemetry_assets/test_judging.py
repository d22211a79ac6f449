"""Judging whole columns finds what judging each row by each rule finds."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from telemetry_assets.lakehouse.judging import judge
from telemetry_contracts.contract import Severity
from telemetry_contracts.frames import silver_schema
from telemetry_contracts.rules import contract_rules
from tests.unit.telemetry_assets.landed import NOON

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry

rows_of_readings = st.lists(
    st.fixed_dictionaries(
        {
            "temperature_celsius": st.sampled_from([None, -60.1, -60.0, 21.0, 85.0, 85.1]),
            "pressure_hpa": st.sampled_from([None, 1013.0]),
            "latitude": st.sampled_from([None, 57.1, 90.5]),
            "longitude": st.sampled_from([None, -2.1]),
            "event_time": st.sampled_from([NOON, NOON + timedelta(minutes=11)]),
        }
    ),
    max_size=6,
)


@given(rows_of_readings)
def test_every_row_is_in_one_place_with_all_its_reasons(
    registry: Registry, readings: list[dict[str, object]]
) -> None:
    contract = registry["environment"]
    rules = contract_rules(contract)
    frame = pl.DataFrame(
        [
            {"event_id": f"{place}", "received_at": NOON, **reading}
            for place, reading in enumerate(readings)
        ],
        schema=silver_schema(contract),
    )
    found = judge(frame, rules)
    good, bad, failed = [], {}, dict.fromkeys((rule.rule for rule in rules), 0)
    for row in frame.iter_slices(1):
        broken = [rule for rule in rules if row.select(rule.broken).item()]
        for rule in broken:
            failed[rule.rule] += 1
        refused = [rule.rule for rule in broken if rule.severity is Severity.ERROR]
        if refused:
            bad[row["event_id"][0]] = refused
        else:
            good.append(row["event_id"][0])
    assert found.good["event_id"].to_list() == good
    assert dict(zip(found.bad["event_id"], found.bad["rules"].to_list(), strict=True)) == bad
    for rules_of_row, reasons in found.bad.select("rules", "reasons").iter_rows():
        assert [reason["rule"] for reason in json.loads(reasons)] == rules_of_row
    assert dict(found.outcomes.select("rule", "failed").iter_rows()) == failed
