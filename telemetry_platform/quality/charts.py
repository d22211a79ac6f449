"""Trend lines as SVG inside the page. Colours come from the page's style sheet.

Every figure in a chart stands in the table beside it; a chart's description says what it shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from telemetry_contracts.quality_dimensions import NAMES
from telemetry_platform.quality import words

if TYPE_CHECKING:
    from datetime import date

    from telemetry_platform.quality.report import SourceQuality, Span

WIDTH, HEIGHT = 280, 128
LEFT, RIGHT, TOP, BOTTOM = 50, 268, 10, 104
"""Where the scores are drawn; labels stand around it."""

# Below a thousandth, noise would look like a cliff.
_SMALLEST_RANGE = 0.001
_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True)
class Point:
    """Where a score stands in the drawing."""

    x: float
    y: float
    low: bool


@dataclass(frozen=True)
class Chart:
    """One dimension of one source over time, ready to be drawn.

    Attributes:
        lines: Runs of points without a gap between them, as SVG point lists.
        description: What a person who cannot see the chart should know.
    """

    dimension: str
    lines: tuple[str, ...]
    points: tuple[Point, ...]
    threshold_y: float
    bottom_label: str
    first_label: str
    last_label: str
    description: str


def charts(source: SourceQuality, spans: tuple[Span, ...], kind: str) -> tuple[Chart, ...]:
    """Return one chart for each dimension; all share one scale, so that they can be compared."""
    scores = [span.tally(name).score for span in spans for name in NAMES]
    found = [score for score in scores if score is not None]
    bottom = _bottom(min([*found, *source.thresholds.values()]))
    return tuple(_chart(source, spans, name, kind, bottom) for name in NAMES)


def _bottom(lowest: float) -> float:
    """Return the start of the axis: a round share at or below `lowest`."""
    room = max(1 - lowest, _SMALLEST_RANGE)
    return round(1 - next(step for step in _STEPS if step >= room - 1e-12), 6)


def _chart(
    source: SourceQuality, spans: tuple[Span, ...], name: str, kind: str, bottom: float
) -> Chart:
    first, last = spans[0].first, spans[-1].first
    runs: list[list[Point]] = [[]]
    for span in spans:
        score = span.tally(name).score
        if score is None:
            runs.append([])
            continue
        low = source.falls_short(span, name)
        runs[-1].append(Point(_x(span.first, first, last), _y(score, bottom), low))
    points = tuple(point for run in runs for point in run)
    return Chart(
        dimension=name,
        lines=tuple(" ".join(f"{p.x:g},{p.y:g}" for p in run) for run in runs if len(run) > 1),
        points=_marked(points),
        threshold_y=_y(source.thresholds[name], bottom),
        bottom_label=words.limit(bottom),
        first_label=words.short_day(first),
        last_label=words.short_day(last) if last != first else "",
        description=_description(source, spans, name, kind),
    )


def _marked(points: tuple[Point, ...]) -> tuple[Point, ...]:
    """Return the points that get a dot: the last, those that fall short, and lone ones."""
    lone = len(points) == 1
    return tuple(p for at, p in enumerate(points) if p.low or lone or at == len(points) - 1)


def _x(day: date, first: date, last: date) -> float:
    share = (day - first).days / (last - first).days if last != first else 0.5
    return round(LEFT + (RIGHT - LEFT) * share, 1)


def _y(score: float, bottom: float) -> float:
    return round(TOP + (BOTTOM - TOP) * (1 - score) / (1 - bottom), 1)


def _description(source: SourceQuality, spans: tuple[Span, ...], name: str, kind: str) -> str:
    found = [score for span in spans if (score := span.tally(name).score) is not None]
    head = f"{name.capitalize()} of {source.source} by {kind}"
    if not found:
        return f"{head}: not scored."
    short = sum(source.falls_short(span, name) for span in spans)
    judged = f"below the threshold of {words.limit(source.thresholds[name])} in {short}"
    return (
        f"{head}: {words.percent(found[-1])} at the end, lowest {words.percent(min(found))}, "
        f"highest {words.percent(max(found))}{_direction(found)}; "
        f"{judged} of {words.count(len(found), kind)}."
    )


def _direction(scores: list[float]) -> str:
    if len(scores) == 1:
        return ""
    if all(earlier == later for earlier, later in pairwise(scores)):
        return ", unchanged"
    return (
        ", higher than at the start"
        if scores[-1] > scores[0]
        else (
            ", lower than at the start" if scores[-1] < scores[0] else ", the same as at the start"
        )
    )
