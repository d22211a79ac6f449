"""Scores, thresholds and trends of the quality report."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from telemetry_contracts.quality_dimensions import NAMES
from telemetry_platform.quality import words
from telemetry_platform.quality.report import Span, Tally, condensed
from tests.unit.telemetry_platform.quality.reports import LAST, report_of, source_of


def test_what_nothing_was_checked_for_has_no_score_rather_than_a_perfect_one() -> None:
    assert Tally(0, 0).score is None
    assert Tally(200, 1).score == 0.995
    silent = Span(LAST, LAST, {})
    source = replace(source_of("s"), days=(silent,))
    assert source.below() == ()
    assert not any(source.falls_short(silent, name) for name in NAMES)


def test_a_score_at_the_threshold_reaches_it_and_the_last_day_decides() -> None:
    assert source_of("s", failed=10).below() == ()
    assert source_of("s", failed=11).below() == ("validity",)
    bad, good = source_of("s", days=2, failed=500), source_of("s", days=1)
    assert replace(bad, days=(bad.days[0], *good.days)).below() == ()


@pytest.mark.parametrize(
    ("days", "kind", "rows"), [(31, "day", 31), (217, "week", 31), (400, "month", 14)]
)
def test_a_long_trend_has_few_rows_and_loses_no_check(days: int, kind: str, rows: int) -> None:
    source = source_of("s", days=days, failed=7)
    found, spans = condensed(report_of(source, days=days), source)
    assert (found, len(spans)) == (kind, rows)
    assert sum(span.tally("validity").checked for span in spans) == 1000 * days
    assert sum(span.tally("validity").failed for span in spans) == 7 * days
    assert spans[-1].last == LAST


def test_the_document_holds_what_the_page_shows() -> None:
    document = report_of(source_of("s", failed=20)).document()
    (source,) = document["sources"]
    assert source["below_threshold"] == ["validity"]
    assert source["days"][-1]["dimensions"]["validity"]["score"] == 0.98
    assert set(source["days"][-1]["dimensions"]) == set(NAMES)
    assert source["failing_rules"][0]["failed"] == 60
    assert source["samples"]


@pytest.mark.parametrize(
    ("score", "text"),
    [
        (1.0, "100%"),
        (0.9999999, "99.99%"),
        (0.99, "99.0%"),
        (0.98765, "98.7%"),
        (0.29, "29.0%"),
        (0.0, "0.0%"),
        (None, "\N{EN DASH}"),
    ],
)
def test_a_score_is_rounded_down_so_that_only_a_flawless_one_is_full(
    score: float | None, text: str
) -> None:
    assert words.percent(score) == text


def test_a_week_is_written_by_its_days() -> None:
    within = Span(date(2026, 11, 16), date(2026, 11, 22), {})
    across = Span(date(2026, 9, 28), date(2026, 10, 4), {})
    alone = Span(date(2026, 9, 28), date(2026, 9, 28), {})
    assert [words.span(span, "week") for span in (within, across, alone)] == [
        "16\N{EN DASH}22 Nov",
        "28 Sep\N{EN DASH}4 Oct",
        "28 Sep",
    ]
