"""Bulk reading: what it reads, it reads exactly as events are read one by one."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry_contracts.bulk import BulkReader, ReadEvents
from telemetry_contracts.reader import EventReader, Reading, compile_reader

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry
    from telemetry_contracts.tokens import KeyRing

pytestmark = pytest.mark.unit

CASES = json.loads((Path(__file__).parents[2] / "golden" / "events.json").read_text())
REGULAR = {
    "mobile SDK without ids or zone",
    "mobile columns by their own names",
    "NeuraWrist",
    "NeuraWrist out of range is read and left to silver",
    "PulseON",
    "Fitbit hourly steps",
    "smart home",
    "sensor JSON",
}
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6),
    st.sampled_from(["", " ", "7", "-0", "1e999", "2026-01-05T10:00:00", "\x00", "é", "a" * 4097]),
    st.sampled_from([{}, [], {"id": 1}]),
)

Readers = dict[str, tuple[BulkReader, EventReader]]


@pytest.fixture(scope="module")
def readers(registry: Registry, keyring: KeyRing) -> Readers:
    return {
        source: (BulkReader(contract, keyring), compile_reader(contract, keyring))
        for source, contract in registry.items()
    }


def rows(events: ReadEvents) -> list[tuple[Any, ...]]:
    return list(zip(*events, strict=True))


def one_by_one(reader: EventReader, texts: list[bytes]) -> list[Any]:
    return [reader.read(orjson.loads(text)) for text in texts]


def as_row(position: int, reading: Any) -> tuple[Any, ...]:
    assert isinstance(reading, Reading), reading
    return (
        position,
        reading.device_id,
        reading.event_time_us,
        reading.event_id,
        reading.payload,
    )


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_events_of_plain_shapes_are_regular_and_read_the_same(
    readers: Readers, case: dict[str, Any]
) -> None:
    bulk, single = readers[case["source"]]
    text = orjson.dumps(case["event"])
    found = rows(bulk.read_each([text]))
    assert bool(found) == (case["name"] in REGULAR)
    assert found in ([], [as_row(0, single.read(case["event"]))])


@st.composite
def altered_events(draw: st.DrawFn) -> tuple[str, list[bytes]]:
    """Draw events of one source, each a golden event with some values changed, lost or added."""
    source = draw(st.sampled_from(["environment", "mobile", "wearable"]))
    golden = [case["event"] for case in CASES if case["source"] == source]
    texts = []
    for _ in range(draw(st.integers(1, 4))):
        event = copy.deepcopy(draw(st.sampled_from(golden)))
        for _ in range(draw(st.integers(0, 2))):
            node = event
            key = draw(st.sampled_from(sorted(node)))
            while isinstance(node[key], dict) and node[key] and draw(st.booleans()):
                node = node[key]
                key = draw(st.sampled_from(sorted(node)))
            if draw(st.integers(0, 4)) == 0:
                del node[key]
                if not event:
                    break
            else:
                node[key] = copy.deepcopy(draw(LEAVES))
        try:
            texts.append(orjson.dumps(event))
        except TypeError:  # an integer beyond 64 bits, which other encoders do write
            texts.append(json.dumps(event).encode())
    return source, texts


@settings(max_examples=400)
@given(altered=altered_events())
def test_whatever_bulk_reads_is_what_is_read_one_by_one(
    readers: Readers, altered: tuple[str, list[bytes]]
) -> None:
    source, texts = altered
    bulk, single = readers[source]
    readings = one_by_one(single, texts)
    for row in rows(bulk.read_each(texts)):
        assert row == as_row(row[0], readings[row[0]])
    whole = bulk.read_array(b"[" + b",".join(texts) + b"]")
    if whole is not None:
        count, events = whole
        assert count == len(texts)
        assert rows(events) == rows(bulk.read_each(texts))


def test_a_mixed_list_comes_back_in_its_order(readers: Readers) -> None:
    bulk, single = readers["wearable"]
    events = [
        {"Device ID": "w", "timestamp": 1722902400, "Heart Rate": 61},
        {"device_id": "p", "timestamp": "2026-01-05T10:00:00", "hr": 60},
        {"Device ID": "w", "timestamp": "never"},
        {"Id": 2022484408, "ActivityHour": "12/04/2016 13:00", "StepTotal": 5},
        {"Device ID": "w", "timestamp": 1722902460, "Heart Rate": 62},
    ]
    texts = [orjson.dumps(event) for event in events]
    found = rows(bulk.read_each(texts))
    assert [row[0] for row in found] == [0, 3, 4]
    readings = one_by_one(single, texts)
    assert found == [as_row(position, readings[position]) for position in (0, 3, 4)]


def test_one_bad_time_leaves_the_other_events_regular(readers: Readers) -> None:
    bulk, _ = readers["mobile"]
    times = ["2026-01-05T10:00:00", "never", "2026-01-05T10:00:02"]
    found = bulk.read_array(orjson.dumps([{"session": {"id": "s", "timestamp": t}} for t in times]))
    assert found is not None
    assert (found[0], list(found[1].positions)) == (3, [0, 2])


@pytest.mark.parametrize("text", [b"[", b"\xff", b'["\\ud800"]', b"[" * 5000, b"[{}]", b"[1]"])
def test_what_is_no_list_of_events_is_left_alone(readers: Readers, text: bytes) -> None:
    assert readers["mobile"][0].read_array(text) is None


def test_no_events_are_none(readers: Readers) -> None:
    assert readers["mobile"][0].read_array(b"[]") == (0, ReadEvents((), (), (), (), ()))
