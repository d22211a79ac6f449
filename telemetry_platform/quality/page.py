"""The quality report as one HTML page that needs nothing but itself: no script, no network.

Opens no file but its own template, and asks no server.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from telemetry_contracts.quality_dimensions import DIMENSIONS, NAMES
from telemetry_platform.pages.look import environment
from telemetry_platform.quality import charts, tables, words
from telemetry_platform.quality.report import condensed

if TYPE_CHECKING:
    from markupsafe import Markup

    from telemetry_platform.quality.report import QualityReport, SourceQuality

_RULES = 12


@dataclass(frozen=True)
class Section:
    """One source as the template shows it."""

    name: str
    anchor: str
    description: str
    below: tuple[str, ...]
    days: str
    kind: str
    standing: Markup
    charts: tuple[charts.Chart, ...]
    trend: Markup
    rules: Markup | None
    more_rules: int
    sound_rules: int
    samples: Markup | None


def render(report: QualityReport) -> str:
    """Return the page. Every value of the report is escaped."""
    templates = environment("telemetry_platform.quality")
    return templates.get_template("page.html.j2").render(shown(report))


def shown(report: QualityReport) -> dict[str, object]:
    """Return what `heading.html.j2` and `sections.html.j2` show, on this page or another."""
    scored = report.scored
    sections = [section(report, source, f"s{n}") for n, source in enumerate(scored, 1)]
    latest = [source.latest for source in scored if source.latest]
    return {
        "report": report,
        "sections": sections,
        "silent": [source.source for source in report.sources if not source.days],
        "below": sum(len(each.below) for each in sections),
        "scores": sum(day.tally(name).score is not None for day in latest for name in NAMES),
        "overview": tables.overview(scored, "overview") if scored else None,
        "dimensions": DIMENSIONS,
        "wrong": tables.wrong_hours(report.wrong_hours, "wrong") if report.wrong_hours else None,
        "words": words,
        "chart": charts,
    }


def section(report: QualityReport, source: SourceQuality, anchor: str) -> Section:
    """Return one source as it is shown; `anchor` is unique in the page."""
    kind, spans = condensed(report, source)
    broken = [rule for rule in source.rules if rule.failed]
    return Section(
        name=source.source,
        anchor=anchor,
        description=source.description,
        below=source.below(),
        days=words.count(len(source.days), "day"),
        kind=kind,
        standing=tables.standing(source, f"{anchor}-standing"),
        charts=charts.charts(source, spans, kind),
        trend=tables.trend(source, spans, kind, f"{anchor}-trend"),
        rules=tables.rules(source, broken[:_RULES], f"{anchor}-rules") if broken else None,
        more_rules=len(broken[_RULES:]),
        sound_rules=sum(1 for rule in source.rules if rule.checked and not rule.failed),
        samples=tables.samples(source, f"{anchor}-samples") if source.samples else None,
    )
