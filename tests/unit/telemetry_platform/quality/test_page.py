"""The page of the quality report: whole by itself, safe with any value, small for long times."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from telemetry_contracts.quality_dimensions import NAMES
from telemetry_platform.quality.charts import BOTTOM, TOP, charts
from telemetry_platform.quality.page import render
from telemetry_platform.quality.report import SourceQuality, WrongHour
from tests.unit.telemetry_platform.quality.reports import report_of, source_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

HOSTILE = """"><script>alert('x')</script><img src=x onerror=y>&amp;{{ 7 * 7 }}"""


class Reader(HTMLParser):
    """Notes the elements of a page, its identifiers and its texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, attribute: str) -> list[str]:
        """Return the values of one attribute wherever it stands."""
        return [value for name, value in self.attributes if name == attribute]


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    page = render(report_of(source_of("environment", failed=20), source_of("mobile")))
    read = Reader(page)
    loading = ("script", "link", "img", "iframe", "object", "embed", "video", "audio")
    assert not [tag for tag in loading if read.elements[tag]]
    assert not read.values("src")
    assert all(link.startswith("#") for link in read.values("href"))
    assert "@import" not in page
    assert "url(" not in page


def test_no_value_of_the_report_becomes_markup() -> None:
    plain = Reader(render(report_of(source_of("s", failed=20))))
    hostile = source_of(HOSTILE, failed=20, text=HOSTILE, description=HOSTILE)
    read = Reader(render(report_of(hostile)))
    assert read.elements == plain.elements
    assert not {name for name, _ in read.attributes} & {"onerror", "src"}
    assert read.text.count(HOSTILE) > 10


def test_links_and_labels_find_what_they_name() -> None:
    wrong = WrongHour("mobile", datetime(2026, 11, 22, 9, tzinfo=UTC), 10, 8, 1, 0, 0, 0, 8, 8, 1)
    read = Reader(
        render(report_of(source_of("mobile", failed=20), source_of("b", failed=3), wrong=(wrong,)))
    )
    identifiers = read.values("id")
    assert len(identifiers) == len(set(identifiers))
    named = [link[1:] for link in read.values("href")] + read.values("aria-labelledby")
    assert set(named) <= set(identifiers)
    assert set(" ".join(read.values("headers")).split()) <= set(identifiers)
    assert read.elements["caption"] == read.elements["table"]
    assert "1 hour of 72 does not add up" in " ".join(read.text.split())


def test_colour_is_never_the_only_sign_of_a_low_score() -> None:
    read = Reader(render(report_of(source_of("s", failed=20))))
    assert "98.0% ▼ below threshold" in read.text
    assert "Below the threshold: validity." in read.text


def test_every_figure_of_a_chart_stands_in_a_table() -> None:
    source = source_of("s", days=30, failed=20)
    read = Reader(render(report_of(source, days=30)))
    descriptions = [text for text in read.values("aria-label") if text != "Sections"]
    assert len(descriptions) == len(NAMES)
    assert (
        "Validity of s by day: 98.0% at the end, lowest 98.0%, highest 98.0%, unchanged; "
        "below the threshold of 99% in 30 of 30 days." in descriptions
    )
    for span in source.days:
        assert span.first.isoformat() in read.text


def test_a_score_is_drawn_between_the_ends_of_the_axis() -> None:
    source = source_of("s", days=30, failed=20)
    validity = charts(source, source.days, "day")[NAMES.index("validity")]
    assert validity.bottom_label == "98%"
    assert {float(point.split(",")[1]) for point in validity.lines[0].split()} == {BOTTOM}
    flawless = charts(source, source.days, "day")[NAMES.index("integrity")]
    assert {float(point.split(",")[1]) for point in flawless.lines[0].split()} == {TOP}


def test_four_hundred_days_of_ten_sources_are_a_page_of_half_a_megabyte() -> None:
    sources = [source_of(f"source_{number}", days=400, failed=20) for number in range(10)]
    page = render(report_of(*sources, days=400))
    assert len(page.encode()) < 500_000
    assert "Trend by month" in page


def test_without_events_the_page_says_so_and_what_to_do() -> None:
    thresholds = dict.fromkeys(NAMES, 0.99)
    read = Reader(render(report_of(SourceQuality("mobile", "Phones.", thresholds))))
    assert "No events to judge yet" in read.text
    assert "telemetry demo" in read.text
    assert "How scores are made" in read.text
    assert not re.search(r"\bNone\b|nan|100%.*reach", read.text)
    assert read.elements["table"] == 0
