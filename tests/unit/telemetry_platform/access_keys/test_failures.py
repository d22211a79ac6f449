"""Addresses that show bad keys learn to wait, and strangers cannot fill the memory."""

from __future__ import annotations

import pytest

from telemetry_platform.access_keys.failures import FailureThrottle

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


def test_the_addresses_that_are_remembered_are_bounded(clock: Clock) -> None:
    throttle = FailureThrottle(1, 60, most_addresses=50, clock=clock)
    for n in range(500):
        throttle.failed(f"10.0.{n // 256}.{n % 256}")
    assert len(throttle) == 50
