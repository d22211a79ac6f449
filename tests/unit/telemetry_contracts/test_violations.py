"""Examining many events at once finds what reading each of them finds, in the same order."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry_contracts.reader import EventReader, Reading, Refusal, Violation, compile_reader

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry
    from telemetry_contracts.tokens import KeyRing

pytestmark = pytest.mark.unit

CASES = json.loads((Path(__file__).parents[2] / "golden" / "events.json").read_text())
LEAVES: list[Any] = [
    *(None, True, 0, -1, 2**63, 2**64 - 1, -(2**63), 0.0, 1e300, 1.5),
    *("", " ", "7", "full", "1e999", "2026-01-05T10:00:00", "\x00", "é", "a" * 4097),
    *({}, [], {"id": 1}, [1]),
]
GOOD = {"session": {"id": "s", "timestamp": "2026-01-05T10:00:00"}}

Readers = dict[str, tuple[EventReader, EventReader]]


@pytest.fixture(scope="module")
def readers(registry: Registry, keyring: KeyRing) -> Readers:
    """Return two readers a source, so that what one has seen is unknown to the other."""
    return {
        source: (compile_reader(contract, keyring), compile_reader(contract, keyring))
        for source, contract in registry.items()
    }


def alter(draw: st.DrawFn, event: dict[str, Any]) -> None:
    node = event
    key = draw(st.sampled_from(sorted(node)))
    while isinstance(node[key], dict) and node[key] and draw(st.booleans()):
        node = node[key]
        key = draw(st.sampled_from(sorted(node)))
    match draw(st.integers(0, 5)):
        case 0:
            node.pop(key)
        case 1:
            node["new"] = node.pop(key)
        case 2:
            node[key] = node.pop(key)  # the same, but last
        case _:
            node[key] = copy.deepcopy(draw(st.sampled_from(LEAVES)))


@st.composite
def altered_events(draw: st.DrawFn) -> tuple[str, list[Any]]:
    """Draw events of one source, most of one shape, with values changed, lost, moved or added."""
    source = draw(st.sampled_from(["environment", "mobile", "wearable"]))
    golden = [case["event"] for case in CASES if case["source"] == source]
    chosen = draw(st.lists(st.sampled_from(golden), min_size=1, max_size=2))
    events: list[Any] = []
    for _ in range(draw(st.integers(3, 8))):
        event = copy.deepcopy(draw(st.sampled_from(chosen)))
        for _ in range(draw(st.integers(0, 3))):
            if event:
                alter(draw, event)
        events.append(event)
    return source, events


@settings(max_examples=400)
@given(altered=altered_events())
def test_events_read_together_are_read_or_refused_as_each_is_alone(
    readers: Readers, altered: tuple[str, list[Any]]
) -> None:
    source, events = altered
    together, alone = readers[source]
    expected = [alone.read(event) for event in events]
    # The first time, refusals are not expected; the second time they are.
    assert together.read_each(events) == expected
    assert together.read_each(events) == expected


def test_every_reason_is_found_in_the_order_of_the_event(readers: Readers) -> None:
    reader, _ = readers["mobile"]
    events: list[Any] = [
        {"battery": {"level": "full"}, "session": {"id": "s", "timestamp": "never"}, "app": 3},
        {"app": 3, "session": {"timestamp": "never", "id": "s"}, "battery": {"level": "full"}},
        {"session": {"timestamp": "2026-01-05T10:00:00"}, "battery": [1]},
        GOOD,
        "no object",
        {"battery": {"level": 3}},
    ]
    reader.read_each(events)
    found = [
        [violation[:2] for violation in each.violations] if isinstance(each, Refusal) else None
        for each in reader.read_each(events)
    ]
    level, time, app = ("type", "battery_level_percent"), ("time", "event_time"), ("type", "app")
    assert found[:4] == [
        [level, time, app],
        [app, time, level],
        [("type", "battery"), ("required", "device_id")],
        None,
    ]
    assert [each and each[0] for each in found[4:]] == [("object", None), ("shape", None)]


def test_no_value_of_an_event_is_in_what_is_said_of_it(readers: Readers) -> None:
    reader, _ = readers["mobile"]
    secret = "somebody@mail.example.org"
    events: list[Any] = [
        GOOD | {"user": {"email": {secret: secret}}, "battery": {"level": secret}, "app": secret}
    ] * 5
    reader.read_each(events)
    for refusal in reader.read_each(events):
        assert isinstance(refusal, Refusal)
        assert len(refusal.violations) == 3
        assert secret not in str(refusal)


def test_a_refusal_does_not_hinder_the_readable_events_around_it(readers: Readers) -> None:
    reader, _ = readers["mobile"]
    bad: dict[str, Any] = GOOD | {"battery": {"level": "full"}}
    new = GOOD | {"new": 1}
    reader.read_each([bad] * 5)
    outcomes = reader.read_each([new, bad, GOOD, bad, new])
    assert [isinstance(each, Reading) for each in outcomes] == [True, False, True, False, True]
    assert outcomes[1] == Refusal(
        (Violation("type", "battery_level_percent", "expected a number, found other text"),)
    )


@pytest.mark.parametrize(("text", "rule"), [("a\x00", "text"), ("a" * 4097, "length")])
def test_text_that_is_no_good_is_found_among_good_text(
    readers: Readers, text: str, rule: str
) -> None:
    reader, _ = readers["mobile"]
    # With one reason alone the event would be read by itself, and that would find it too.
    bad: dict[str, Any] = GOOD | {"device": {"model": text}, "battery": {"level": "full"}}
    reader.read_each([bad] * 3)
    good = GOOD | {"device": {"model": "Pixel 8"}}
    outcomes = reader.read_each([good, bad, good])
    assert [isinstance(each, Refusal) for each in outcomes] == [False, True, False]
    assert isinstance(outcomes[1], Refusal)
    assert [violation[:2] for violation in outcomes[1].violations] == [
        (rule, "device_model"),
        ("type", "battery_level_percent"),
    ]
