"""What the tables of the quality pages hold; `pages.look` writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from telemetry_contracts.quality_dimensions import NAMES
from telemetry_platform.pages.look import table
from telemetry_platform.quality import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from telemetry_platform.quality.report import (
        RuleTally,
        SourceQuality,
        Span,
        WrongHour,
    )

_BELOW = Markup('{} <span class="below">▼<span class="hidden"> below threshold</span></span>')


def overview(sources: Sequence[SourceQuality], identifier: str) -> Markup:
    """Return the six scores of each source on its last day with events."""
    days = {source.source: source.latest for source in sources if source.latest}
    shown = [source for source in sources if source.source in days]
    columns: dict[str, list[str | None]] = {
        "Source": [source.source for source in shown],
    }
    for name in NAMES:
        columns[name.capitalize()] = [_score(source, days[source.source], name) for source in shown]
    columns["Last day"] = [words.day(days[source.source].last) for source in shown]
    caption = "Scores of each source on its last day with events"
    return table(identifier, caption, columns, numbers=tuple(columns)[1:])


def standing(source: SourceQuality, identifier: str) -> Markup:
    """Return the six scores of the last day, with threshold and what was broken most."""
    latest = source.latest
    if latest is None:
        raise ValueError(f"{source.source} has no day to show")
    columns = {
        "Dimension": [name.capitalize() for name in NAMES],
        "Score": [_score(source, latest, name) for name in NAMES],
        "Threshold": [words.limit(source.thresholds[name]) for name in NAMES],
        "Failed": [f"{latest.tally(name).failed:,}" for name in NAMES],
        "Checks": [f"{latest.tally(name).checked:,}" for name in NAMES],
        "Most broken rule": [latest.tally(name).most_broken_rule for name in NAMES],
    }
    caption = f"Scores of {source.source} on {words.day(latest.last)}, the last day with events"
    return table(identifier, caption, columns, numbers=("Score", "Threshold", "Failed", "Checks"))


def trend(source: SourceQuality, spans: Sequence[Span], kind: str, identifier: str) -> Markup:
    """Return the scores by day, week or month, newest first."""
    newest = list(reversed(spans))
    heading = {"day": "Day of arrival", "week": "Week of arrival", "month": "Month of arrival"}
    columns: dict[str, list[str | None]] = {
        heading[kind]: [words.span(span, kind) for span in newest]
    }
    for name in NAMES:
        columns[name.capitalize()] = [_score(source, span, name) for span in newest]
    caption = f"Scores of {source.source} by {kind}, newest first"
    return table(identifier, caption, columns, numbers=tuple(columns)[1:])


def rules(source: SourceQuality, shown: Sequence[RuleTally], identifier: str) -> Markup:
    """Return the rules that events broke, most failures first."""
    columns = {
        "Rule": [rule.rule for rule in shown],
        "Dimension": [rule.dimension.capitalize() for rule in shown],
        "Failed": [f"{rule.failed:,}" for rule in shown],
        "Checked": [f"{rule.checked:,}" for rule in shown],
        "Passed": [words.percent(1 - rule.failed / rule.checked) for rule in shown],
        "Last broken (UTC)": [words.hour(rule.last_failed) for rule in shown],
    }
    caption = f"Rules that events of {source.source} broke, most failures first"
    return table(identifier, caption, columns, numbers=("Failed", "Checked", "Passed"))


def samples(source: SourceQuality, identifier: str) -> Markup:
    """Return events that broke rules, a few for each."""
    shown = source.samples
    columns = {
        "Rule": [sample.rule for sample in shown],
        "Value": [sample.value for sample in shown],
        "Finding": [sample.finding for sample in shown],
        "Device": [sample.device_id for sample in shown],
        "Time (UTC)": [words.moment(sample.at) for sample in shown],
        "Event": [sample.event_id for sample in shown],
        "Receipt": [sample.receipt_id for sample in shown],
    }
    caption = f"Events of {source.source} that broke a rule, from the last hour that has some"
    return table(identifier, caption, columns)


def wrong_hours(shown: Sequence[WrongHour], identifier: str) -> Markup:
    """Return the hours whose account does not add up."""
    figures = {
        "Accepted": "accepted",
        "Silver": "silver",
        "Quarantined": "quarantined",
        "Duplicates": "duplicates",
        "Superseded": "superseded",
        "Erased": "erased",
        "Unaccounted": "unaccounted",
        "Warehouse": "warehouse_rows",
        "Marts": "mart_rows",
    }
    columns: dict[str, list[str | None]] = {
        "Arrival hour (UTC)": [words.hour(each.hour) for each in shown],
        "Source": [each.source for each in shown],
    }
    for label, name in figures.items():
        columns[label] = [f"{getattr(each, name):,}" for each in shown]
    caption = "Hours that do not add up, newest first"
    return table(identifier, caption, columns, numbers=tuple(figures))


def _score(source: SourceQuality, span: Span, dimension: str) -> str:
    text = words.percent(span.tally(dimension).score)
    return _BELOW.format(text) if source.falls_short(span, dimension) else text
