"""Accept and If-None-Match as RFC 9110 has them."""

from __future__ import annotations

import pytest

from access_api.negotiation import MediaType, entity_tag, has_already, negotiate
from telemetry_platform.problems import Problem

pytestmark = pytest.mark.unit

PARQUET, ARROW = MediaType.PARQUET, MediaType.ARROW


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, MediaType.JSON),
        ("*/*", MediaType.JSON),
        ("application/*", MediaType.JSON),
        ("text/*", MediaType.CSV),
        ("TEXT/CSV", MediaType.CSV),
        ("text/html,application/xhtml+xml,*/*;q=0.8", MediaType.JSON),
        (PARQUET, PARQUET),
        (f"{ARROW}, application/json;q=0.5", ARROW),
        (f"application/json;q=0.2, {PARQUET};q=0.9", PARQUET),
        ("application/json;q=0, */*", MediaType.CSV),
        ("text/csv; charset=utf-8", MediaType.CSV),
    ],
)
def test_the_type_that_is_liked_most_is_chosen(accept: str | None, chosen: MediaType) -> None:
    assert negotiate(accept) is chosen


@pytest.mark.parametrize("accept", ["image/png", "", ",", "*/*;q=0", "text/csv;q=x", "json"])
def test_what_cannot_be_had_is_not_acceptable(accept: str) -> None:
    if not accept:
        assert negotiate(accept) is MediaType.JSON
        return
    with pytest.raises(Problem, match="text/csv") as refused:
        negotiate(accept)
    assert refused.value.status == 406


def test_a_tag_names_its_body() -> None:
    tag = entity_tag(b"rows")
    assert tag != entity_tag(b"other rows")
    assert has_already(tag, tag)
    assert has_already(f'"x", W/{tag}', tag)
    assert has_already("*", tag)
    assert not has_already('"x"', tag)
    assert not has_already(None, tag)
