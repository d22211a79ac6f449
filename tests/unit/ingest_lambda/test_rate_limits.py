"""Rates hold over time, refusals say how long, and strangers cannot fill the memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_lambda.problems import Problem
from ingest_lambda.rate_limits import EventBudget, FailureThrottle, RateLimit

pytestmark = pytest.mark.unit


class Clock:
    """A time that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def refused_for(budget: EventBudget, sender: str, limit: RateLimit | None = None) -> int | None:
    """Return the seconds that a post of `sender` is told to wait, None when it is admitted."""
    try:
        budget.admit(sender, limit)
    except Problem as problem:
        assert problem.status == 429
        return problem.retry_after
    return None


def test_a_burst_passes_and_then_the_rate(clock: Clock) -> None:
    budget = EventBudget(RateLimit.of(2, 5), clock=clock)
    assert [refused_for(budget, "a") for _ in range(6)] == [None] * 5 + [1]
    clock.now += 0.5
    assert [refused_for(budget, "a") for _ in range(2)] == [None, 1]


def test_a_large_post_is_made_good_before_the_next(clock: Clock) -> None:
    budget = EventBudget(RateLimit.of(10, 20), clock=clock)
    assert refused_for(budget, "a") is None
    budget.charge("a", 120)
    assert refused_for(budget, "a") == 11  # 100 events of debt and one to post
    clock.now += 10.1
    assert refused_for(budget, "a") is None


def test_senders_do_not_share_a_bucket_and_may_have_their_own_limit(clock: Clock) -> None:
    budget = EventBudget(RateLimit.of(1, 1), clock=clock)
    assert refused_for(budget, "a") is None
    assert refused_for(budget, "a") == 1
    assert refused_for(budget, "b") is None
    wide = RateLimit.of(100, 100)
    assert [refused_for(budget, "c", wide) for _ in range(100)] == [None] * 100
    assert refused_for(budget, "c", wide) == 1


def test_without_a_limit_nothing_is_refused_or_remembered() -> None:
    budget = EventBudget(None)
    for _ in range(1000):
        assert refused_for(budget, "a") is None
        budget.charge("a", 10_000)


@given(
    rate=st.floats(0.1, 1000),
    burst=st.integers(1, 500),
    posts=st.lists(st.tuples(st.floats(0, 5), st.integers(1, 300)), min_size=1, max_size=40),
)
def test_no_sender_brings_more_than_burst_rate_and_one_post(
    rate: float, burst: int, posts: list[tuple[float, int]]
) -> None:
    clock = Clock()
    budget = EventBudget(RateLimit.of(rate, burst), clock=clock)
    taken = 0
    for pause, events in posts:
        clock.now += pause
        if refused_for(budget, "a") is None:
            allowed = burst + rate * (clock.now - 1000.0)
            assert taken + 1 <= allowed * (1 + 1e-9) + 1e-6
            budget.charge("a", events)
            taken += events


@pytest.mark.parametrize(("rate", "burst"), [(0, None), (-1, None), (float("nan"), 1), (1, 0)])
def test_a_limit_that_lets_nothing_pass_is_an_error(rate: float, burst: int | None) -> None:
    with pytest.raises(ValueError, match=r"rate|burst"):
        RateLimit.of(rate, burst)


def test_a_burst_is_ten_seconds_unless_told() -> None:
    assert RateLimit.of(3).burst_events == 30
    assert RateLimit.of(0.01).burst_events == 1


def test_failures_are_throttled_until_their_window_ends(clock: Clock) -> None:
    throttle = FailureThrottle(3, 60, clock=clock)
    assert [throttle.failed("10.0.0.1") for _ in range(3)] == [None] * 3
    clock.now += 20
    assert throttle.failed("10.0.0.1") == 40
    assert throttle.failed("10.0.0.2") is None
    clock.now += 40
    assert throttle.failed("10.0.0.1") is None


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        (None, None, True),
        ("::1", "127.0.0.1", False),
    ],
)
def test_a_network_counts_as_one_client(
    first: str | None, second: str | None, same: bool, clock: Clock
) -> None:
    throttle = FailureThrottle(1, 60, clock=clock)
    throttle.failed(first)
    assert (throttle.failed(second) is not None) == same


def test_what_is_remembered_is_bounded(clock: Clock) -> None:
    throttle = FailureThrottle(1, 60, most_addresses=50, clock=clock)
    for n in range(500):
        throttle.failed(f"10.0.{n // 256}.{n % 256}")
    assert len(throttle) == 50
    budget = EventBudget(RateLimit.of(1, 1), most_senders=2, clock=clock)
    for sender in ("a", "b", "c"):
        assert refused_for(budget, sender) is None
    assert refused_for(budget, "c") == 1
    assert refused_for(budget, "a") is None  # quiet longest, so forgotten first
