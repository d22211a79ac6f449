"""Log lines: JSON with the receipt, and never the text of an error."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from telemetry_platform.logs import JsonFormatter

pytestmark = pytest.mark.unit


def line(**record: object) -> dict[str, object]:
    return json.loads(JsonFormatter().format(logging.makeLogRecord(record)))


def test_extra_fields_are_members() -> None:
    shown = line(msg="received", levelname="INFO", receipt_id="rcp_1", accepted=3)
    assert shown["message"] == "received"
    assert (shown["receipt_id"], shown["accepted"]) == ("rcp_1", 3)


def test_an_error_shows_its_kind_and_place_only() -> None:
    try:
        int("someone@example.org")
    except ValueError:
        shown = line(msg="unexpected", exc_info=sys.exc_info())
    assert shown["error"] == "ValueError"
    assert "test_an_error_shows_its_kind_and_place_only" in str(shown["places"])
    assert "someone" not in json.dumps(shown)
