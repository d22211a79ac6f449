"""The preview of quarantine: every rule has its turn, values are shown, tokens stay tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telemetry_assets.lakehouse.quarantine_preview import COLUMNS, preview
from telemetry_assets.lakehouse.refining import refine
from tests.unit.telemetry_assets.landed import bronze, watch
from tests.unit.telemetry_assets.test_refining import NOBODY

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry


def test_a_rare_rule_is_shown_beside_a_frequent_one(registry: Registry) -> None:
    frequent = [watch(minute, 7, email="ada@example.org") for minute in range(30)]
    events = [*frequent, watch(40, 60, steps=-1), watch(41, 300, state="odd")]
    refined = refine(bronze(registry, "wearable", events), NOBODY, registry["wearable"], None, 12)
    shown = preview(refined.quarantine, 6)
    assert (shown.height, shown.columns) == (6, list(COLUMNS))
    assert {"enum.sleep_state", "range.step_count"} < set(shown["rule"])
    assert dict(shown.select("rule", "value").rows())["enum.sleep_state"] == "odd"
    assert dict(shown.select("rule", "expected").rows())["range.step_count"] == "0 to 20000 1"
    assert "ada" not in str(shown.rows())
    assert set(refined.quarantine["landing_version"]) == {12}
    assert set(refined.quarantine["judged_by"]) == {registry["wearable"].version}


def test_an_empty_quarantine_shows_nothing(registry: Registry) -> None:
    refined = refine(bronze(registry, "wearable", [watch()]), NOBODY, registry["wearable"])
    assert preview(refined.quarantine).is_empty()
