"""A plan repeats with its seed, shares out its sources, and injects faults at the given rates."""

from collections import Counter
from datetime import UTC, datetime
from itertools import islice

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_sim.faults import FaultRates
from device_sim.plan import SOURCES, make_fleets, plan_posts, take_events
from device_sim.posts import Post

pytestmark = pytest.mark.unit
START = datetime(2026, 1, 5, 10, tzinfo=UTC)
NO_FAULTS = FaultRates().scaled(0)


def posts(seed: int, events: int, rates: FaultRates = NO_FAULTS) -> list[Post]:
    fleets = make_fleets(SOURCES, seed, START)
    plan = plan_posts(fleets, rates, seed=seed, start=START, rate=200)
    return list(take_events(plan, events))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32))
def test_same_seed_same_bytes(seed: int) -> None:
    rates = FaultRates().scaled(3)
    assert posts(seed, 300, rates) == posts(seed, 300, rates)


def test_another_seed_or_start_gives_other_events() -> None:
    assert posts(1, 100) != posts(2, 100)
    later = START.replace(hour=11)
    fleets = make_fleets(SOURCES, 1, later)
    plan = plan_posts(fleets, NO_FAULTS, seed=1, start=later, rate=200)
    first_ids = {
        event["event_id"]
        for post in posts(1, 500)
        if post.headers == {"content-type": "application/json"} and b"event_id" in post.body
        for event in orjson.loads(post.body)
        if "event_id" in event
    }
    assert first_ids
    assert not any(
        identity.encode() in post.body for post in islice(plan, 50) for identity in first_ids
    )


def test_devices_depend_on_the_seed_alone() -> None:
    first, second = (make_fleets(SOURCES, 7, start) for start in (START, START.replace(day=6)))
    assert [fleet.devices() for fleet in first] == [fleet.devices() for fleet in second]


def test_sources_get_equal_shares() -> None:
    sent = Counter()
    for post in posts(3, 6_000):
        sent[post.source] += post.events
    assert set(sent) == set(SOURCES)
    assert max(sent.values()) - min(sent.values()) < 100


def test_every_route_and_encoding_is_used() -> None:
    plan = posts(4, 6_000)
    assert {post.path for post in plan} == {
        "/ingest",
        "/stream",
        *(f"/v1/events?source={source}" for source in SOURCES),
    }
    ingest = [post for post in plan if post.path == "/ingest"]
    assert all(post.body.startswith(b"\x1f\x8b") for post in ingest)
    assert {post.headers.get("content-encoding") for post in ingest} == {None, "gzip"}
    assert {post.headers.get("content-encoding") for post in plan} == {
        None,
        "gzip",
        "zstd",
        "deflate",
    }
    assert all(post.with_key != (post.path == "/stream") for post in plan)


@pytest.mark.parametrize(
    ("kind", "rate"),
    [("late", 0.2), ("clock_skew", 0.2), ("out_of_range", 0.2), ("missing", 0.2),
     ("wrong_type", 0.2), ("duplicate", 0.2)],
)  # fmt: skip
def test_event_faults_come_at_their_rate(kind: str, rate: float) -> None:
    rates = FaultRates(**{**dict.fromkeys(FaultRates.__slots__, 0.0), kind: rate})
    plan = posts(5, 4_000, rates)
    events = sum(post.events for post in plan)
    injected = sum(post.faults.get(kind, 0) for post in plan)
    originals = events - injected if kind == "duplicate" else events
    assert injected / originals == pytest.approx(rate, rel=0.25)
    assert {name for post in plan for name in post.faults} == {kind}


def test_malformed_posts_come_at_their_rate() -> None:
    plan = posts(
        6, 10_000, FaultRates(**{**dict.fromkeys(FaultRates.__slots__, 0.0), "malformed": 0.3})
    )
    assert sum(bool(post.faults) for post in plan) / len(plan) == pytest.approx(0.3, rel=0.25)
    assert {name for post in plan for name in post.faults} == {
        "broken_json",
        "truncated_compression",
        "not_an_object",
    }


def test_a_reposted_post_has_the_same_bytes() -> None:
    plan = posts(
        7, 4_000, FaultRates(**{**dict.fromkeys(FaultRates.__slots__, 0.0), "repost": 0.2})
    )
    seen: set[bytes] = set()
    reposts = 0
    for post in plan:
        if "repost" in post.faults:
            reposts += 1
            assert post.body in seen
        else:
            assert post.body not in seen
        seen.add(post.body)
    assert reposts > 10


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(ValueError, match="no fleet for"):
        make_fleets(["toaster"], 1, START)


@given(st.floats(allow_nan=False).filter(lambda rate: not 0 <= rate <= 1))
def test_a_rate_is_a_share(rate: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        FaultRates(late=rate)
