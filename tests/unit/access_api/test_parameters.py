"""Parameters: bounded, and nothing unknown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from access_api.parameters import EventFilters, LastDays, MinuteFilters

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "wrong",
    [
        {"colour": "red"},
        {"limit": 0},
        {"limit": 10_000_001},
        {"order": "random"},
        {"from": "yesterday"},
        {"from": "0.5"},
        {"device": ["\x00"]},
        {"device": [""]},
        {"device": ["x"] * 51},
        {"cursor": "x" * 2001},
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EventFilters.model_validate(wrong)


def test_filters_are_what_was_given_and_a_time_without_a_zone_is_utc() -> None:
    asked = EventFilters.model_validate(
        {"device": ["a"], "from": "2026-11-22T10:00:00", "limit": 5, "order": "asc"}
    )
    assert asked.filters() == {"device": ["a"], "from": datetime(2026, 11, 22, 10, tzinfo=UTC)}


def test_minutes_are_those_of_one_device_and_a_week_at_most() -> None:
    start = datetime(2026, 11, 1, tzinfo=UTC)
    day = MinuteFilters.model_validate({"device": "a", "from": start})
    assert day.to == start + timedelta(days=1)
    assert day.filters() == {"device": "a", "from": start, "to": day.to}
    for wrong in (
        {"device": "a"},
        {"from": start},
        {"device": "a", "from": start, "to": start + timedelta(days=7, seconds=1)},
        {"device": "a", "from": "9999-12-31T12:00:00Z"},
    ):
        with pytest.raises(ValidationError):
            MinuteFilters.model_validate(wrong)


@pytest.mark.parametrize("days", [0, 367, "many"])
def test_days_are_a_year_at_most(days: object) -> None:
    with pytest.raises(ValidationError):
        LastDays.model_validate({"days": days})
