"""Sample rows of the lake's tables on the catalog's pages, within what a key may see."""

from __future__ import annotations

import html
import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from telemetry_platform.access_keys.api_key import READ, READ_RESTRICTED
from telemetry_platform.access_keys.key_file import create_key
from tests.stack_process import DEADLINE_SECONDS, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from telemetry_platform.settings import Settings

pytestmark = pytest.mark.integration
SHOWN = "Some rows of"


@pytest.fixture
def reader(
    stack: Settings, entries: list[dict[str, Any]]
) -> Iterator[Callable[[str, list[str], list[str]], httpx.Client]]:
    """Return a maker of readers: name, sources and roles."""
    assert entries
    with httpx.Client(base_url=stack.access_url, timeout=DEADLINE_SECONDS) as client:
        client.headers["accept"] = "text/html"

        def make(name: str, sources: list[str], roles: list[str]) -> httpx.Client:
            _, text = create_key(stack.secrets_dir / "api_keys.json", name, sources, roles=roles)
            client.headers["x-api-key"] = text
            wait_until(
                lambda: client.get("/catalog").status_code == HTTPStatus.OK, "the key is known"
            )
            return client

        yield make


def sample(client: httpx.Client, table: str) -> str:
    """Return the text of the page's section of sample rows."""
    answer = client.get(f"/catalog/{table}")
    assert answer.status_code == HTTPStatus.OK
    (section,) = re.findall(
        r'<section aria-labelledby="rows-heading">.*?</section>', answer.text, re.DOTALL
    )
    return html.unescape(re.sub(r"<[^>]+>", " ", section))


@pytest.mark.parametrize(
    "table",
    ["landing/events", "bronze/mobile", "silver/wearable", "silver/quarantine", "gold/ledger"],
)
def test_a_page_of_a_lake_table_shows_rows_without_what_is_restricted(
    reader: Callable[..., httpx.Client], table: str
) -> None:
    shown, _, hidden = sample(reader("look-open", ["*"], [READ]), table).partition("Left out")
    assert SHOWN in shown
    assert "received_hour" in shown
    assert not re.search("tok_|payload|extras|reasons", shown)
    assert ("payload" in hidden) == (table in {"landing/events", "silver/quarantine"})


def test_tokens_are_for_a_key_that_may_see_them_and_the_look_is_recorded(
    stack: Settings, reader: Callable[..., httpx.Client]
) -> None:
    text = sample(reader("look-tokens", ["*"], [READ, READ_RESTRICTED]), "bronze/mobile")
    assert "tok_" in text
    records = (stack.home / "audit" / "restricted_reads.jsonl").read_text().splitlines()
    (record,) = [each for each in map(json.loads, records) if each["fleet"] == "look-tokens"]
    assert record["dataset"] == "bronze/mobile"


def test_a_mixed_table_shows_rows_of_the_keys_sources_alone(
    reader: Callable[..., httpx.Client],
) -> None:
    phones = reader("look-phones", ["mobile"], [READ])
    text = sample(phones, "landing/events")
    assert SHOWN in text
    assert "mobile" in text
    assert not re.search("wearable|environment", text)
    assert phones.get("/catalog/silver/wearable").status_code == HTTPStatus.FORBIDDEN


def test_registries_of_people_are_not_shown(reader: Callable[..., httpx.Client]) -> None:
    assert "not shown" in sample(reader("look-people", ["*"], [READ]), "reference/users")
