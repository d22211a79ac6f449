"""The reader: every shape devices send, nothing lost, nothing personal let through, no surprise."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_contracts.canonical import (
    MAX_EXTRAS_BYTES,
    MAX_EXTRAS_DEPTH,
    MAX_EXTRAS_KEYS,
)
from telemetry_contracts.contract import EXTRAS_KEY
from telemetry_contracts.frames import DTYPES, parse_payload, payload_dtype
from telemetry_contracts.reader import EventReader, Reading, Refusal, compile_reader
from telemetry_contracts.tokens import KeyRing

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "events.json").read_text())
SOURCES = ("environment", "mobile", "wearable")
SHAPED = [case for case in GOLDEN if not case["name"].startswith("room sensor, ")]
WATCH = {"Device ID": "w", "timestamp": 1722902400, "Heart Rate": 61}
PHONE = {"session": {"id": "s", "timestamp": "2026-01-05T10:00:00"}}

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def readers(registry: Registry, keyring: KeyRing) -> dict[str, EventReader]:
    return {source: compile_reader(registry[source], keyring) for source in registry}


def read(readers: dict[str, EventReader], source: str, event: Any) -> Reading:
    reading = readers[source].read(event)
    assert isinstance(reading, Reading), reading
    return reading


def refuse(readers: dict[str, EventReader], source: str, event: Any) -> list[tuple[str, str]]:
    refusal = readers[source].read(event)
    assert isinstance(refusal, Refusal), refusal
    return [(violation.rule, violation.field or "") for violation in refusal.violations]


def places(event: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every leaf of an event."""
    if not isinstance(event, dict):
        return [path]
    return [place for key, value in event.items() for place in places(value, (*path, key))]


def changed(event: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    copy = json.loads(json.dumps(event))
    node = copy
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return copy


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reordered(inner) for key, inner in reversed(value.items())}
    return value


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"])
def test_each_shape_is_read_as_it_always_was(
    readers: dict[str, EventReader], case: dict[str, Any]
) -> None:
    reading = read(readers, case["source"], case["event"])
    moment = datetime.fromtimestamp(reading.event_time_us / 1e6, UTC).isoformat()
    found = (reading.device_id, moment, reading.event_id, json.loads(reading.payload))
    assert found == (case["device_id"], case["event_time"], case["event_id"], case["payload"])


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"])
def test_an_event_id_does_not_depend_on_the_order_of_keys(
    readers: dict[str, EventReader], case: dict[str, Any]
) -> None:
    assert read(readers, case["source"], reordered(case["event"])).event_id == case["event_id"]


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"])
def test_a_derived_event_id_is_a_version_8_uuid(
    readers: dict[str, EventReader], case: dict[str, Any]
) -> None:
    reading = read(readers, case["source"], case["event"])
    parsed = uuid.UUID(reading.event_id)
    assert str(parsed) == reading.event_id
    assert parsed.variant == uuid.RFC_4122
    assert parsed.version == (7 if reading.has_client_id else 8)


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"])
def test_a_payload_becomes_the_columns_it_was_made_of(
    registry: Registry, case: dict[str, Any]
) -> None:
    contract = registry[case["source"]]
    payload = case["payload"]
    landed = pl.DataFrame(
        [
            {
                "event_id": case["event_id"],
                "source": case["source"],
                "device_id": case["device_id"],
                "payload": json.dumps(payload),
            }
        ]
    ).with_columns(
        pl.lit(datetime.fromisoformat(case["event_time"])).alias("event_time"),
        *(
            pl.lit(None).alias(name)
            for name in (
                *("received_at", "received_hour", "receipt_id"),
                *("contract_version", "token_key_version"),
            )
        ),
    )
    row = parse_payload(landed, contract).row(0, named=True)
    columns = {field.name: row[field.name] for field in contract.sent_columns}
    assert {name: value for name, value in columns.items() if value is not None} == {
        name: value for name, value in payload.items() if not name.startswith("_")
    }
    assert row["shape"] == payload["_shape"]
    assert row["extras"] == payload.get(EXTRAS_KEY)


@given(source=st.sampled_from(SOURCES), event=json_values)
def test_no_json_value_makes_the_reader_fail(
    readers: dict[str, EventReader], source: str, event: Any
) -> None:
    assert isinstance(readers[source].read(event), Reading | Refusal)


@given(case=st.sampled_from(SHAPED), value=json_values, data=st.data())
def test_a_known_shape_with_any_value_anywhere_is_read_or_refused_and_lands_typed(
    readers: dict[str, EventReader], case: dict[str, Any], value: Any, data: st.DataObject
) -> None:
    place = data.draw(st.sampled_from(places(case["event"])))
    reading = readers[case["source"]].read(changed(case["event"], place, value))
    if isinstance(reading, Refusal):
        return
    wanted: dict[Any, type] = {
        pl.Float64: float,
        pl.Int64: int,
        pl.String: str,
        pl.Boolean: bool,
    }
    fields = {field.name: field for field in readers[case["source"]].contract.sent_columns}
    for name, found in orjson.loads(reading.payload).items():
        if name in fields:
            assert type(found) is wanted[DTYPES[fields[name].logical_type]]


@given(
    case=st.sampled_from(GOLDEN),
    secret=st.text("abcdefghijkl", min_size=12, max_size=12),
    data=st.data(),
)
def test_a_refusal_repeats_nothing_of_the_event(
    readers: dict[str, EventReader], case: dict[str, Any], secret: str, data: st.DataObject
) -> None:
    place = data.draw(st.sampled_from(places(case["event"])))
    for value in (secret, {secret: secret}, [secret]):
        reading = readers[case["source"]].read(changed(case["event"], place, value))
        if isinstance(reading, Refusal):
            assert secret not in repr(reading)


@given(
    case=st.sampled_from(GOLDEN),
    secret=st.text("abcdefghijkl", min_size=12, max_size=12),
    data=st.data(),
)
def test_no_personal_value_reaches_a_payload_wherever_the_contract_knows_it(
    readers: dict[str, EventReader],
    registry: Registry,
    case: dict[str, Any],
    secret: str,
    data: st.DataObject,
) -> None:
    personal = [
        path.path for f in registry[case["source"]].fields if f.restricted for path in f.paths
    ]
    if not personal:
        return
    path = data.draw(st.sampled_from(personal))
    event = json.loads(json.dumps(case["event"]))
    node = event
    for key in path[:-1]:
        node = node.setdefault(key, {})
    node[path[-1]] = secret
    reading = readers[case["source"]].read(event)
    assert secret not in repr(reading)
    if isinstance(reading, Reading):
        assert b"tok_1_" in reading.payload


def test_unknown_fields_are_kept_as_they_came(readers: dict[str, EventReader]) -> None:
    event = WATCH | {"Firmware": {"v": [1, "two", None, {"deep": True}]}, "Note": ""}
    extras = json.loads(json.loads(read(readers, "wearable", event).payload)[EXTRAS_KEY])
    assert extras == {"Firmware": event["Firmware"], "Note": ""}


def test_the_clients_uuid_is_the_event_id_in_every_shape(readers: dict[str, EventReader]) -> None:
    given_id = "01890a5d-ac96-774b-bcce-b302099a8057"
    for case in GOLDEN:
        reading = read(readers, case["source"], case["event"] | {"event_id": given_id.upper()})
        assert (reading.event_id, reading.has_client_id) == (given_id, True)


def test_a_clients_id_that_is_no_uuid_makes_the_same_event_whatever_else_changes(
    readers: dict[str, EventReader],
) -> None:
    one = read(readers, "wearable", WATCH | {"event_id": "reading 7"})
    two = read(readers, "wearable", WATCH | {"event_id": "reading 7", "Heart Rate": 62})
    other = read(readers, "wearable", WATCH | {"event_id": "reading 7", "Device ID": "v"})
    assert one.event_id == two.event_id != other.event_id
    assert json.loads(json.loads(one.payload)[EXTRAS_KEY]) == {"event_id": "reading 7"}


def test_the_same_reading_of_another_source_is_another_event(
    readers: dict[str, EventReader],
) -> None:
    event = {"device_id": "d", "event_time": "2026-01-05T10:00:00Z"}
    ids = {read(readers, source, event).event_id for source in SOURCES}
    assert len(ids) == len(SOURCES)


@given(number=st.integers(-1000, 1000))
def test_a_number_as_text_is_the_same_event(readers: dict[str, EventReader], number: int) -> None:
    ids = {
        read(readers, "wearable", WATCH | {"Heart Rate": value}).event_id
        for value in (number, float(number), str(number), f" {number}.0 ")
    }
    assert len(ids) == 1


@pytest.mark.parametrize(
    "written",
    [
        "2026-01-05T10:00:00",
        "2026-01-05T10:00:00Z",
        "2026-01-05 10:00:00.000000",
        "2026-01-05T12:00:00+02:00",
        "2026-01-05T04:30:00.000-05:30",
        "20260105T100000Z",
        " 2026-01-05T10:00 ",
    ],
)
def test_a_time_is_read_in_every_iso_spelling_and_is_utc_without_a_zone(
    readers: dict[str, EventReader], written: str
) -> None:
    event = {"device_id": "w", "date": written, "hr": 60}
    moment = datetime.fromtimestamp(read(readers, "wearable", event).event_time_us / 1e6, UTC)
    assert moment == datetime(2026, 1, 5, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    ["yesterday", "2026-13-01", "05/01/2026", 5, True, [], {}, "1969-12-31T23:59:59", "2200-01-01"],
)
def test_what_is_no_time_is_refused(readers: dict[str, EventReader], written: Any) -> None:
    event = {"device_id": "w", "date": written, "hr": 60}
    assert refuse(readers, "wearable", event) == [("time", "event_time")]


@pytest.mark.parametrize("seconds", [-1, 1e12, 1e308, 2**63, "1e400", "soon"])
def test_an_epoch_outside_any_clock_is_refused(
    readers: dict[str, EventReader], seconds: Any
) -> None:
    (violation,) = refuse(readers, "wearable", WATCH | {"timestamp": seconds})
    assert violation[1] == "event_time"


def test_epoch_seconds_keep_their_microseconds(readers: dict[str, EventReader]) -> None:
    event = WATCH | {"timestamp": 1594512094.385975}
    assert read(readers, "wearable", event).event_time_us == 1_594_512_094_385_975


@pytest.mark.parametrize("event", [None, True, 1, "text", [], [{}]])
def test_what_is_no_object_is_refused(readers: dict[str, EventReader], event: Any) -> None:
    assert refuse(readers, "mobile", event) == [("object", "")]


def test_an_object_of_no_known_shape_is_told_which_keys_it_needs(
    readers: dict[str, EventReader],
) -> None:
    refusal = readers["wearable"].read({"hr": 60})
    assert isinstance(refusal, Refusal)
    assert "pulseon: device_id, date" in refusal.violations[0].message


def test_every_reason_of_a_refusal_is_told(readers: dict[str, EventReader]) -> None:
    event = {"Device ID": None, "timestamp": "soon", "Heart Rate": "fast", "Step Count": [1]}
    found = refuse(readers, "wearable", event)
    assert sorted(found) == [
        ("required", "device_id"),
        ("type", "event_time"),
        ("type", "heart_rate_bpm"),
        ("type", "step_count"),
    ]


def test_a_value_where_an_object_belongs_is_refused(readers: dict[str, EventReader]) -> None:
    assert refuse(readers, "mobile", PHONE | {"network": "home"}) == [("type", "network")]


def test_an_unknown_unit_is_refused_with_the_known_ones(readers: dict[str, EventReader]) -> None:
    event = changed(
        next(c["event"] for c in GOLDEN if "kelvin" in c["name"]), ("metadata", "unit"), "Rankine"
    )
    refusal = readers["environment"].read(event)
    assert isinstance(refusal, Refusal)
    assert refusal.violations[0].rule == "unit"
    assert "kelvin" in refusal.violations[0].message


def test_a_session_stands_for_a_phone_without_an_id_and_yields_to_one(
    readers: dict[str, EventReader],
) -> None:
    assert read(readers, "mobile", PHONE).device_id == "session:s"
    assert read(readers, "mobile", PHONE | {"device": {"id": "p"}}).device_id == "p"


def nested(levels: int) -> Any:
    return [nested(levels - 1)] if levels else 1


@pytest.mark.parametrize(
    ("unknown", "rule"),
    [
        ({"deep": nested(MAX_EXTRAS_DEPTH)}, "depth"),
        ({"deep": nested(500)}, "depth"),
        ({str(number): 1 for number in range(MAX_EXTRAS_KEYS + 1)}, "keys"),
        ({"many": [{"a": 1}] * MAX_EXTRAS_KEYS}, "keys"),
        ({"long": "x" * MAX_EXTRAS_BYTES}, "size"),
        ({"text": "a\x00"}, "text"),
        ({"key\x00": 1}, "text"),
        ({"text": ["\\\x00"]}, "text"),
    ],
)
def test_unknown_fields_that_no_table_could_hold_are_refused(
    readers: dict[str, EventReader], unknown: dict[str, Any], rule: str
) -> None:
    assert refuse(readers, "wearable", WATCH | unknown) == [(rule, "")]


@pytest.mark.parametrize(
    "unknown",
    [
        {"deep": nested(MAX_EXTRAS_DEPTH - 1)},
        {str(number): 1 for number in range(MAX_EXTRAS_KEYS)},
        {"long": "x" * (MAX_EXTRAS_BYTES - 20)},
        {"text": "\\u0000"},
    ],
    ids=["depth", "keys", "size", "text"],
)
def test_unknown_fields_are_kept_up_to_their_limits(
    readers: dict[str, EventReader], unknown: dict[str, Any]
) -> None:
    payload = orjson.loads(read(readers, "wearable", WATCH | unknown).payload)
    assert orjson.loads(payload[EXTRAS_KEY]) == unknown


def test_events_are_read_the_same_by_every_reader_with_the_same_keys(
    registry: Registry, readers: dict[str, EventReader]
) -> None:
    again = compile_reader(registry["mobile"], KeyRing({1: bytes(range(32))}))
    for case in GOLDEN:
        if case["source"] == "mobile":
            assert again.read(case["event"]) == readers["mobile"].read(case["event"])


def test_each_payload_key_has_a_dtype(registry: Registry) -> None:
    for case in GOLDEN:
        known = {field.name for field in payload_dtype(registry[case["source"]]).fields}
        assert set(case["payload"]) <= known
