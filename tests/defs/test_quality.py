"""reports/quality: what a check says about a source."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import dagster as dg

from telemetry_assets.defs.jobs import REFINE
from telemetry_assets.defs.quality import REPORT_KEY, quality_check
from telemetry_contracts.quality_dimensions import NAMES
from tests.unit.telemetry_platform.quality.reports import source_of

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry


def test_each_source_has_a_check_and_no_arrival_hour_waits_for_the_report(
    definitions: dg.Definitions, registry: Registry
) -> None:
    graph = definitions.resolve_asset_graph()
    checks = {key.name for key in graph.asset_check_keys if key.asset_key == REPORT_KEY}
    assert checks == set(registry)
    refined = definitions.resolve_job_def(REFINE).asset_layer.selected_asset_keys
    assert REPORT_KEY not in refined
    assert dg.AssetKey(["marts", "rpt_quality_rules"]) in refined


def test_a_check_carries_six_scores_and_warns_below_the_threshold() -> None:
    good, bad = quality_check(source_of("mobile")), quality_check(source_of("mobile", failed=20))
    assert (good.passed, bad.passed) == (True, False)
    assert bad.severity is dg.AssetCheckSeverity.WARN
    scores = {name: bad.metadata[name].value for name in NAMES}
    assert scores == dict.fromkeys(NAMES, 1.0) | {"validity": 0.98}
    assert bad.metadata["below_threshold"].value == "validity"
    assert "| validity | 98.0% ▼ | 99% | 20 | 1,000 | plain |" in str(bad.metadata["scores"].value)
    assert {"trend", "failing_rules", "failing_rows"} <= set(bad.metadata)


def test_a_source_without_events_passes_and_says_that_there_are_none() -> None:
    silent = quality_check(replace(source_of("mobile"), days=(), rules=(), samples=()))
    assert silent.passed
    assert {key: value.value for key, value in silent.metadata.items()} == {"day": "no events yet"}


def test_what_devices_sent_is_no_markup_in_a_check() -> None:
    result = quality_check(source_of("mobile", failed=20, text="<img src=x> | [a](b) `c`"))
    shown = str(result.metadata["failing_rows"].value)
    assert "<img" not in shown
    assert "\\| \\[a\\](b) \\`c\\`" in shown
