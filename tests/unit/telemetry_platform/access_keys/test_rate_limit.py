"""A rate limit lets something pass, and says how much at once."""

from __future__ import annotations

import pytest

from telemetry_platform.access_keys.rate_limit import RateLimit

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(("rate", "burst"), [(0, None), (-1, None), (float("nan"), 1), (1, 0)])
def test_a_limit_that_lets_nothing_pass_is_an_error(rate: float, burst: int | None) -> None:
    with pytest.raises(ValueError, match=r"rate|burst"):
        RateLimit.of(rate, burst)


def test_a_burst_is_ten_seconds_unless_told() -> None:
    assert RateLimit.of(3).burst_events == 30
    assert RateLimit.of(0.01).burst_events == 1
