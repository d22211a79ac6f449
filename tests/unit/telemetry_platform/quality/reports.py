"""Reports made of figures that a test can foresee."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from telemetry_contracts.quality_dimensions import NAMES
from telemetry_platform.quality.report import (
    QualityReport,
    RuleTally,
    Sample,
    SourceQuality,
    Span,
    Tally,
    WrongHour,
)

LAST = date(2026, 11, 22)
AT = datetime(2026, 11, 22, 10, 5, tzinfo=UTC)


def report_of(
    *sources: SourceQuality, days: int = 3, wrong: tuple[WrongHour, ...] = ()
) -> QualityReport:
    """Return a report over the days before `LAST`."""
    first = LAST - timedelta(days=days - 1)
    return QualityReport(AT, first, LAST, sources, 24 * days, len(wrong), wrong)


def source_of(
    name: str, days: int = 3, failed: int = 0, text: str = "plain", description: str = "Readings."
) -> SourceQuality:
    """Return a source of which `failed` of 1,000 validity checks failed each day."""
    spans = []
    for back in reversed(range(days)):
        day = LAST - timedelta(days=back)
        tallies = {each: Tally(1000, 0) for each in NAMES}
        tallies["validity"] = Tally(1000, failed, text if failed else None)
        spans.append(Span(day, day, tallies))
    rules = (RuleTally("validity", text, "f", 1000 * days, failed * days, AT if failed else None),)
    sample = Sample(text, text, text, AT, text, text, text)
    return SourceQuality(
        name,
        description,
        dict.fromkeys(NAMES, 0.99),
        tuple(spans),
        rules,
        (sample,) if failed else (),
    )
