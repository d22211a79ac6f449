"""The load generator sends what it says, counts what it got, and stays on loopback."""

import uuid

import orjson
import pytest
import uvloop
import zstandard

from benchmarks.bodies import EVENT_BYTES, mobile_posts
from benchmarks.floors import bare_server
from benchmarks.load import Load, run
from telemetry_contracts.reader import Reading, compile_reader
from telemetry_contracts.registry import load_registry
from telemetry_contracts.tokens import KeyRing

pytestmark = pytest.mark.unit
MOMENT = "2026-01-05T10:00:00.000000"


def test_events_have_their_size_are_new_and_can_be_read() -> None:
    (body,) = mobile_posts(1, 200, uuid.uuid4(), MOMENT)
    assert len(body) == 200 * (EVENT_BYTES + 1) + 1
    reader = compile_reader(load_registry()["mobile"], KeyRing.generate())
    readings = [reader.read(event) for event in orjson.loads(body)]
    ids = {reading.event_id for reading in readings if isinstance(reading, Reading)}
    assert len(ids) == 200


def test_every_post_is_answered_and_counted() -> None:
    with bare_server() as url:
        outcome = uvloop.run(run(Load(url, "/v1/events", posts=200, events=1, connections=8)))
    assert (outcome.posts, outcome.accepted) == (200, 200)
    assert outcome.statuses == {"202": 200}
    assert outcome.broken_connections == 0
    assert 0 < outcome.p50_ms <= outcome.p99_ms <= outcome.longest_ms


def test_a_load_of_any_length_makes_its_bodies_while_it_sends() -> None:
    with bare_server() as url:
        load = Load(url, "/v1/events", 10**9, 1_000, connections=2, seconds=0.2, rate=20, lazy=True)
        outcome = uvloop.run(run(load))
    assert outcome.statuses == {"202": outcome.posts}
    assert 0 < outcome.posts < 20


def test_a_run_ends_with_its_time() -> None:
    with bare_server() as url:
        load = Load(url, "/v1/events", posts=500, events=1, connections=2, seconds=0.0)
        assert uvloop.run(run(load)).posts < 500


@pytest.mark.parametrize("url", ["http://192.0.2.1:80", "http://10.0.0.1:8080"])
def test_it_sends_to_loopback_only(url: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        uvloop.run(run(Load(url, "/", posts=1, events=1, connections=1)))


def test_a_load_fits_into_memory() -> None:
    with pytest.raises(ValueError, match="MB of bodies"):
        uvloop.run(run(Load("http://127.0.0.1:1", "/", 1_000_000, 1_000, 1)))


@pytest.mark.parametrize("percent", [0, 5, 50, 95, 100])
def test_the_share_of_broken_events_is_what_it_says(percent: int) -> None:
    (body,) = mobile_posts(1, 100, uuid.uuid4(), MOMENT, invalid_percent=percent)
    reader = compile_reader(load_registry()["mobile"], KeyRing.generate())
    readings = [reader.read(event) for event in orjson.loads(body)]
    assert sum(not isinstance(reading, Reading) for reading in readings) == percent


def test_lines_hold_the_same_events_as_an_array() -> None:
    run_id = uuid.uuid4()
    (array,) = mobile_posts(1, 20, run_id, MOMENT)
    (lines,) = mobile_posts(1, 20, run_id, MOMENT, lines=True)
    plain = zstandard.ZstdDecompressor().decompress(lines)
    assert [orjson.loads(line) for line in plain.splitlines()] == orjson.loads(array)
