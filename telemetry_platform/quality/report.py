"""What a quality report says, as plain values: scores, trends, rules that failed, samples of rows.

Reading it from the marts (`reading`) and showing it (`page`) are elsewhere.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Any

from telemetry_contracts.quality_dimensions import NAMES

_MOST_DAYS = 31
_MOST_WEEKS = 31
_WEEK = 7


@dataclass(frozen=True)
class Tally:
    """Checks of one dimension: events times rules."""

    checked: int
    failed: int
    most_broken_rule: str | None = None

    @property
    def score(self) -> float | None:
        """Share of the checks that passed, 0 to 1; None when nothing was checked."""
        return 1 - self.failed / self.checked if self.checked else None


NOTHING = Tally(0, 0)


@dataclass(frozen=True)
class Span:
    """The tallies of some days of arrival (UTC), by dimension."""

    first: date
    last: date
    tallies: dict[str, Tally]

    def tally(self, dimension: str) -> Tally:
        """Return the tally of a dimension; an empty one when no rule looked."""
        return self.tallies.get(dimension, NOTHING)


@dataclass(frozen=True)
class RuleTally:
    """A rule over all days of the report, and the last arrival hour in which an event broke it."""

    dimension: str
    rule: str
    field: str
    checked: int
    failed: int
    last_failed: datetime | None


@dataclass(frozen=True)
class Sample:
    """An event that broke a rule. Personal values are tokens, as everywhere in the lake.

    Attributes:
        value: Of the field that the rule is about, if it is about one.
        finding: What was expected, or what the event lost to.
    """

    rule: str
    event_id: str | None
    device_id: str | None
    at: datetime | None
    value: str | None
    finding: str
    receipt_id: str | None


@dataclass(frozen=True)
class SourceQuality:
    """One source. Its days are those that have events, in order."""

    source: str
    description: str
    thresholds: dict[str, float]
    days: tuple[Span, ...] = ()
    rules: tuple[RuleTally, ...] = ()
    samples: tuple[Sample, ...] = ()

    @property
    def latest(self) -> Span | None:
        """The last day that has events."""
        return self.days[-1] if self.days else None

    def below(self) -> tuple[str, ...]:
        """Return the dimensions whose score on the last day does not reach the threshold."""
        return tuple(name for name in NAMES if self.latest and self.falls_short(self.latest, name))

    def falls_short(self, span: Span, dimension: str) -> bool:
        """Whether a dimension was scored and does not reach the threshold."""
        score = span.tally(dimension).score
        return score is not None and score < self.thresholds[dimension]


@dataclass(frozen=True)
class WrongHour:
    """An arrival hour of a source in which the layers do not add up."""

    source: str
    hour: datetime
    accepted: int
    silver: int
    quarantined: int
    duplicates: int
    superseded: int
    erased: int
    warehouse_rows: int
    mart_rows: int
    unaccounted: int


@dataclass(frozen=True)
class QualityReport:
    """The days from `first` to `last`, both included.

    Attributes:
        hours: Source and arrival hour pairs whose account was looked at.
        wrong_hours: The newest of those that do not add up; `wrong` counts them all.
    """

    made_at: datetime
    first: date
    last: date
    sources: tuple[SourceQuality, ...]
    hours: int = 0
    wrong: int = 0
    wrong_hours: tuple[WrongHour, ...] = ()

    @property
    def scored(self) -> tuple[SourceQuality, ...]:
        """Sources that have events in these days."""
        return tuple(source for source in self.sources if source.days)

    def document(self) -> dict[str, Any]:
        """Return the report for programs: dates as ISO 8601, scores as shares."""
        return {
            "made_at": self.made_at.isoformat(),
            "first_day": self.first.isoformat(),
            "last_day": self.last.isoformat(),
            "sources": [_source_document(source) for source in self.sources],
            "reconciliation": {
                "hours": self.hours,
                "not_adding_up": self.wrong,
                "examples": [asdict(hour) for hour in self.wrong_hours],
            },
        }


def _source_document(source: SourceQuality) -> dict[str, Any]:
    return {
        "source": source.source,
        "thresholds": source.thresholds,
        "below_threshold": list(source.below()),
        "days": [
            {
                "day": span.first.isoformat(),
                "dimensions": {
                    name: {"score": span.tally(name).score, **asdict(span.tally(name))}
                    for name in NAMES
                },
            }
            for span in source.days
        ],
        "failing_rules": [asdict(rule) for rule in source.rules if rule.failed],
        "samples": [asdict(sample) for sample in source.samples],
    }


def condensed(report: QualityReport, source: SourceQuality) -> tuple[str, tuple[Span, ...]]:
    """Return at most about thirty spans of a source's days, and what a span is.

    Returns:
        `day`, `week` (from Monday) or `month`, by the length of the report; and the spans that
        have events, in order. A span's score is that of its checks, not the mean of its days.
    """
    length = (report.last - report.first).days + 1
    if length <= _MOST_DAYS:
        return "day", source.days
    if length <= _MOST_WEEKS * _WEEK:
        return "week", _joined(source.days, lambda day: day - timedelta(days=day.weekday()))
    return "month", _joined(source.days, lambda day: day.replace(day=1))


def _joined(days: tuple[Span, ...], start: Any) -> tuple[Span, ...]:  # noqa: ANN401  (a function)
    spans = []
    for _, members in groupby(days, key=lambda span: start(span.first)):
        group = list(members)
        tallies = {name: _sum([span.tally(name) for span in group]) for name in NAMES}
        spans.append(Span(group[0].first, group[-1].last, tallies))
    return tuple(spans)


def _sum(tallies: list[Tally]) -> Tally:
    return Tally(sum(t.checked for t in tallies), sum(t.failed for t in tallies))
