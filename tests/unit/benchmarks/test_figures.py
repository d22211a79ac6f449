"""A figure is a median, and says whether its promise is kept."""

import pytest

from benchmarks.figures import Figure, machine, markdown, rows

pytestmark = pytest.mark.unit
RATE = Figure("rate", "events/s", (3, 1, 2), "n", target=2, higher_is_better=True, floor=4)
DELAY = Figure("delay", "s", (3.0, 1.0, 2.5), "n", target=2)


def test_the_median_decides() -> None:
    assert (RATE.median, RATE.met, RATE.ratio) == (2, True, 0.5)
    assert (DELAY.median, DELAY.met, DELAY.ratio) == (2.5, False, None)
    assert Figure("size", "B", (1,), "n").met is None


def test_a_promise_may_have_two_sides() -> None:
    near = Figure("ratio", "x", (0.91, 1.2, 1.08), "n", target=1, within=0.1)
    assert (near.met, rows([near])[0][3]) == (True, "1 ± 0.1")
    assert Figure("ratio", "x", (0.89,), "n", target=1, within=0.1).met is False


def test_the_markdown_table_has_one_line_a_figure() -> None:
    text = markdown([RATE, DELAY], machine())
    assert len([line for line in text.splitlines() if line.startswith("|")]) == 4
    assert "| delay | 2.5 s |" in text
    assert {len(row) for row in rows([RATE, DELAY])} == {7}
