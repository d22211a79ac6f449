"""Cursors: good for the key and request that they were given for, and for nothing else."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access_api.cursors import read_cursor, write_cursor
from telemetry_platform.access_keys.api_key import ApiKey
from telemetry_platform.problems import Problem

pytestmark = pytest.mark.unit

KEY = ApiKey("a", "analysts", ("*",), "0" * 64, datetime(2026, 1, 1, tzinfo=UTC))
OTHER = ApiKey("b", "analysts", ("*",), "1" * 64, datetime(2026, 1, 1, tzinfo=UTC))
REQUEST = {"dataset": "events", "filters": {"device": ["kitchen"]}, "order": None}
LAST = ("2026-11-22T10:00:00Z", "event ü")


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",))), max_size=5))
def test_a_cursor_gives_back_the_key_of_its_row(values: list[str]) -> None:
    cursor = write_cursor(KEY, REQUEST, tuple(values))
    assert read_cursor(KEY, REQUEST, cursor) == tuple(values)
    assert cursor.isascii()


@pytest.mark.parametrize(
    ("key", "request_"),
    [
        (OTHER, REQUEST),
        (KEY, REQUEST | {"dataset": "readings"}),
        (KEY, REQUEST | {"filters": {"device": ["attic"]}}),
        (KEY, REQUEST | {"order": "asc"}),
    ],
)
def test_a_cursor_of_another_key_or_request_is_refused(
    key: ApiKey, request_: dict[str, object]
) -> None:
    cursor = write_cursor(KEY, REQUEST, LAST)
    with pytest.raises(Problem, match="cursor") as refused:
        read_cursor(key, request_, cursor)
    assert refused.value.status == 400


@given(st.integers(0, 60), st.sampled_from("AQz9-_"))
def test_a_cursor_that_was_changed_is_refused(place: int, letter: str) -> None:
    cursor = write_cursor(KEY, REQUEST, LAST)
    changed = cursor[:place] + letter + cursor[place + 1 :]
    if changed != cursor:
        with pytest.raises(Problem):
            read_cursor(KEY, REQUEST, changed)


@given(st.text(max_size=100))
def test_no_text_but_a_cursor_is_one(text: str) -> None:
    with pytest.raises(Problem):
        read_cursor(KEY, REQUEST, text)
