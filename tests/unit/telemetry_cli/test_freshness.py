"""Freshness figures are what a person would compute from the list of seconds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_cli.freshness import Figures

pytestmark = pytest.mark.unit


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=200))
def test_figures_lie_in_order_between_least_and_most(seconds: list[float]) -> None:
    figures = Figures.of(seconds)
    assert figures is not None
    assert figures.posts == len(seconds)
    assert figures.longest == max(seconds)
    slack = 1e-9 * max(seconds)
    assert min(seconds) - slack <= figures.p50 <= figures.p95 + slack
    assert figures.p95 <= figures.longest + slack


def test_the_middle_of_known_values() -> None:
    figures = Figures.of([1.0, 2.0, 3.0, 4.0, 100.0])
    assert figures is not None
    assert figures.p50 == 3.0


def test_no_posts_no_figures() -> None:
    assert Figures.of([]) is None
