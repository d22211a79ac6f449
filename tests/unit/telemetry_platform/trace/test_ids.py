"""Ids: what the edge gives out can be traced, and nothing else is taken for it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest

from telemetry_platform.clock import utc_now
from telemetry_platform.ids import new_receipt_id
from telemetry_platform.trace.ids import EVENT, RECEIPT, NotTraceable, parse_id

pytestmark = pytest.mark.unit


def test_a_receipt_carries_the_time_it_was_given() -> None:
    found = parse_id(new_receipt_id())
    assert found.kind == RECEIPT
    assert found.at is not None
    assert abs(found.at - utc_now()) < timedelta(minutes=1)


@pytest.mark.parametrize("form", [str, lambda each: each.hex.upper(), lambda each: f" {each}\n"])
def test_an_event_id_is_found_however_it_is_written(form: Callable[[uuid.UUID], str]) -> None:
    event = uuid.UUID("00120740-aace-8ae7-95c3-96eb0baacd3a")
    found = parse_id(form(event))
    assert (found.kind, found.text, found.at) == (EVENT, str(event), None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kitchen",
        "rcp_",
        "rcp_01KAMZ3V9G",
        f"rcp_{uuid.UUID(int=0).hex}",
        "rcp_ffffffffffff7fff8fffffffffffffff",
        f"{new_receipt_id()}0",
        "00120740-aace-8ae7-95c3",
    ],
)
def test_other_texts_are_refused_with_what_an_id_looks_like(text: str) -> None:
    with pytest.raises(NotTraceable, match=r"a receipt .* or an event id"):
        parse_id(text)
