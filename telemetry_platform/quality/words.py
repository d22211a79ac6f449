"""Figures and times as the report writes them."""

from __future__ import annotations

from math import floor
from typing import TYPE_CHECKING

from telemetry_platform.pages.look import MISSING

if TYPE_CHECKING:
    from datetime import date, datetime

    from telemetry_platform.quality.report import Span

_DASH = "\N{EN DASH}"
NO_SCORE = MISSING
_PERCENT = 100
_LARGE = 99


def percent(score: float | None, digits: int = 1) -> str:
    """Write a share as a percentage, rounded down: only a flawless score shows as 100%.

    Shares above 99% show a digit more, for that is where scores differ.
    """
    if score is None:
        return NO_SCORE
    scaled = score * _PERCENT
    if scaled >= _PERCENT:
        return "100%"
    digits += scaled > _LARGE
    # What binary fractions lose must not cost a digit: 0.29 * 100 is 28.999999999999996.
    return f"{floor(round(scaled * 10**digits, 6)) / 10**digits:.{digits}f}%"


def limit(threshold: float) -> str:
    """Write a threshold as it was set: 0.99 is 99%."""
    return f"{threshold * _PERCENT:.6g}%"


def count(number: int, singular: str, plural: str | None = None) -> str:
    """Write a number with its noun."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def day(value: date) -> str:
    """Write a day, such as 22 Nov 2026, so that no line breaks in it."""
    return f"{value.day}\N{NO-BREAK SPACE}{value:%b}\N{NO-BREAK SPACE}{value.year}"


def short_day(value: date) -> str:
    """Write a day of a year that is known."""
    return f"{value.day} {value:%b}"


def moment(value: datetime | None) -> str:
    """Write a time (UTC) to the second."""
    return f"{value:%Y-%m-%d %H:%M:%S}" if value else NO_SCORE


def hour(value: datetime | None) -> str:
    """Write an arrival hour (UTC)."""
    return f"{value:%Y-%m-%d %H}:00" if value else NO_SCORE


def span(value: Span, kind: str) -> str:
    """Write the days of a row of the trend."""
    if kind == "month":
        return f"{value.first:%b %Y}"
    if kind == "week":
        if value.first == value.last:
            return short_day(value.first)
        within = value.first.month == value.last.month
        first = str(value.first.day) if within else short_day(value.first)
        return f"{first}{_DASH}{short_day(value.last)}"
    return value.first.isoformat()
