"""A soak is judged by the first tenth after the warm-up and by the last tenth, by nothing else."""

import pytest

from benchmarks.soak import Sample, commit_totals, judge, warm_up_seconds
from ingest_lambda.metrics import Metrics

pytestmark = pytest.mark.unit
MEBIBYTE = 1024 * 1024
HOUR = 3_600


def hour(memory: dict[float, int], commit_ms: dict[float, float]) -> list[Sample]:
    """Return samples 5 s apart, five commits a second; values hold from their second on."""
    samples, seconds = [], 0.0
    for at in range(5, HOUR + 1, 5):
        mebibytes = memory[max(since for since in memory if since < at)]
        seconds += 25 * commit_ms[max(since for since in commit_ms if since < at)] / 1_000
        samples.append(Sample(at, mebibytes * MEBIBYTE, at * 5, seconds))
    return samples


def test_the_warm_up_is_five_minutes_of_an_hour_and_shrinks_with_it() -> None:
    assert [warm_up_seconds(each) for each in (7_200, HOUR, 120)] == [300, 300, 10]


def test_memory_is_the_last_tenth_beside_the_first_after_the_warm_up() -> None:
    samples = hour({0: 90, 299: 200, 700: 999, 3_260: 210, 3_500: 216}, {0: 10, 3_200: 20})
    at_first, at_last, ratio, commit_first, commit_last = judge(samples, HOUR, "n")
    assert (at_first.median, at_last.median) == (200, 210)
    assert (ratio.median, min(ratio.runs), max(ratio.runs)) == pytest.approx((1.05, 1.05, 1.08))
    assert ratio.met
    assert (commit_first.median, commit_last.median) == pytest.approx((10, 20))
    assert commit_first.met is None


@pytest.mark.parametrize(("at_last", "met"), [(178, False), (181, True), (219, True), (222, False)])
def test_memory_may_end_a_tenth_higher_or_lower(at_last: int, met: bool) -> None:
    ratio = judge(hour({0: 200, 2_000: at_last}, {0: 10}), HOUR, "n")[2]
    assert ratio.met is met


def test_too_few_samples_say_nothing() -> None:
    with pytest.raises(ValueError, match="do not show"):
        judge(hour({0: 1}, {0: 10})[:100], HOUR, "n")


def test_the_commits_of_an_edge_are_read_from_its_metrics() -> None:
    metrics = Metrics()
    metrics.on_commit("landing/rejected")(1, 9.0)
    observe = metrics.on_commit("landing/events")
    observe(100, 0.25)
    observe(100, 0.5)
    assert commit_totals(metrics.exposition().decode()) == (2, 0.75)
