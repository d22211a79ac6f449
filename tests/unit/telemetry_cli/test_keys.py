"""`telemetry keys`: when a key ends, how much it may send, and what the list shows of both."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from telemetry_cli.errors import CommandError
from telemetry_cli.keys import app
from tests.conftest import process_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def _home(tmp_path: Path) -> Iterator[None]:
    with process_settings(home=str(tmp_path)):
        yield


def run(*arguments: str) -> str:
    return CliRunner().invoke(app, arguments, catch_exceptions=False, standalone_mode=False).output


def listed() -> list[dict[str, Any]]:
    return json.loads(run("list", "--json"))["keys"]


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("90d", timedelta(days=90)),
        ("12h", timedelta(hours=12)),
        ("30m", timedelta(minutes=30)),
    ],
)
def test_a_key_ends_after_a_duration(text: str, after: timedelta) -> None:
    run("create", "vans", "--expires", text)
    (key,) = listed()
    end, made = (datetime.fromisoformat(key[name]) for name in ("expires_at", "created_at"))
    assert abs(end - made - after) < timedelta(seconds=5)


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("2099-01-31", datetime(2099, 1, 31, tzinfo=UTC)),
        ("2099-01-31T12:00:00+02:00", datetime(2099, 1, 31, 10, tzinfo=UTC)),
    ],
)
def test_a_key_ends_at_a_time(text: str, end: datetime) -> None:
    run("create", "vans", "--expires", text)
    assert datetime.fromisoformat(listed()[0]["expires_at"]) == end


def test_the_list_shows_when_a_key_ends_and_its_rate() -> None:
    run("create", "vans", "--expires", "2099-01-31", "--rate", "2.5")
    run("create", "cars", "--rate", "10", "--burst", "50")
    run("create", "bikes")
    table = run("list")
    for shown in ("2099-01-31 00:00", "2.5, burst 25", "10, burst 50", "never", "as set"):
        assert shown in table


@pytest.mark.parametrize(
    "arguments",
    [
        ("--expires", "soon"),
        ("--expires", "90"),
        ("--expires", "99999999999d"),
        ("--expires", "2001-01-01"),
        ("--expires", "0d"),
        ("--rate", "0"),
        ("--rate", "nan"),
        ("--burst", "5"),
        ("--rate", "5", "--burst", "0"),
    ],
)
def test_what_makes_no_sense_makes_no_key(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        run("create", "vans", *arguments)
    assert listed() == []


def test_the_successor_of_an_ending_key_is_asked_when_it_ends() -> None:
    made = json.loads(run("create", "vans", "--expires", "30d", "--json"))
    with pytest.raises(CommandError, match="say when its successor does"):
        run("rotate", made["id"])
    run("rotate", made["id"], "--expires", "2099-01-31")
    run("rotate", made["id"], "--expires", "never")
    ends = [key["expires_at"] for key in listed()]
    assert ends[1].startswith("2099-01-31")
    assert ends[2] is None
