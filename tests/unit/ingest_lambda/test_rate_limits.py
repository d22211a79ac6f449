"""Rates hold over time, refusals say how long, and strangers cannot fill the memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_lambda.problems import Problem
from ingest_lambda.rate_limits import EventBudget
from telemetry_platform.access_keys.rate_limit import RateLimit

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


def test_the_senders_that_are_remembered_are_bounded(clock: Clock) -> None:
    budget = EventBudget(RateLimit.of(1, 1), most_senders=2, clock=clock)
    for sender in ("a", "b", "c"):
        assert refused_for(budget, sender) is None
    assert refused_for(budget, "c") == 1
    assert refused_for(budget, "a") is None  # quiet longest, so forgotten first
