"""docs/queries.md: every query runs, has the columns shown, and finds what is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from telemetry_platform.postgres import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from telemetry_platform.settings import Settings

PAGE = (Path(__file__).parents[3] / "docs" / "queries.md").read_text()
QUESTIONS = {
    title: (query, [name.strip() for name in header.strip("|\n").split("|")])
    for title, query, header in re.findall(
        r"^## ([^\n]+)\n(?:(?!^## ).)*?^```sql\n(.*?)^```\n\n(\|[^\n]+)\n",
        PAGE,
        re.MULTILINE | re.DOTALL,
    )
}


@pytest.fixture(scope="module")
def marts(stack: Settings) -> Iterator[psycopg.Connection]:
    """Return a connection to filled marts."""
    with connect(stack, autocommit=True) as connection:
        yield connection


def test_the_page_has_a_query_and_an_answer_for_each_question() -> None:
    titles = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    assert list(QUESTIONS) == titles
    assert len(titles) == 12
    assert PAGE.count("```sql") == 12
    anchors = re.findall(r"\(#([\w-]+)\)", PAGE)
    assert sorted(anchors) == sorted(
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles
    )


@pytest.mark.parametrize("title", QUESTIONS)
def test_a_question_is_answered(title: str, marts: psycopg.Connection) -> None:
    query, columns = QUESTIONS[title]
    with marts.cursor() as cursor:
        cursor.execute(query.encode())
        assert [column.name for column in cursor.description or ()] == columns
        assert cursor.fetchone(), "no rows"
