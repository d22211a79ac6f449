"""A steady load for an hour: the edge must end as it began, in memory and in commits."""

from __future__ import annotations

import statistics
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING

import httpx
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.bodies import EVENT_BYTES
from benchmarks.edge_cases import assert_rows, send, temporary_home, with_key
from benchmarks.figures import Figure
from benchmarks.load import Load
from benchmarks.memory import proportional_bytes
from telemetry_cli.embedded.stack import EmbeddedStack
from telemetry_platform.layout import LANDING_EVENTS
from telemetry_platform.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

EVENTS_A_SECOND = 2_000
_EVENTS_A_POST = 100
_CONNECTIONS = 16
_WARM_UP_SECONDS = 300.0
_WARM_UP_SHARE = 1 / 12
_LONGEST_PAUSE_SECONDS = 5.0
_SAMPLES = 240
_MEBIBYTE = 1024 * 1024
_DRIFT = 0.1


@dataclass(frozen=True, slots=True)
class Sample:
    """What the edge was at one moment.

    Attributes:
        at: Seconds since the load began.
        memory_bytes: Memory of its process.
        commits: Commits to `landing/events` since the edge started.
        commit_seconds: What they took together.
    """

    at: float
    memory_bytes: int
    commits: float
    commit_seconds: float


def edge_soak(seconds: int) -> list[Figure]:
    """Send 2,000 events a second to an edge and compare its end with its beginning.

    Raises:
        LostRowsError: The table does not hold exactly what was acknowledged.
    """
    rate = EVENTS_A_SECOND / _EVENTS_A_POST
    load = Load(
        "", "/v1/events?source=mobile", posts=round(rate * seconds), events=_EVENTS_A_POST,
        connections=_CONNECTIONS, seconds=seconds, rate=rate, lazy=True,
    )  # fmt: skip
    with (
        temporary_home() as home,
        EmbeddedStack(Settings(home=home), only={"s3", "edge"}) as stack,
    ):
        stack.start()
        sampler = _Sampler(stack)
        with ThreadPoolExecutor(1) as pool:
            sampling = pool.submit(
                sampler.run, min(_LONGEST_PAUSE_SECONDS, max(1.0, seconds / _SAMPLES))
            )
            try:
                outcome = send(with_key(stack.settings, load))
            finally:
                sampler.stop.set()
            samples = sampling.result()
        assert_rows(stack.settings, outcome.accepted)
    failed = outcome.broken_connections + sum(
        posts for status, posts in outcome.statuses.items() if status != "202"
    )
    sizes = (
        f"{outcome.posts:,} posts of {_EVENTS_A_POST} events of {EVENT_BYTES} bytes "
        f"in {outcome.seconds:,.0f} s, {failed} of them not acknowledged"
    )
    return judge(samples, seconds, sizes)


def warm_up_seconds(seconds: float) -> float:
    """Return how long an edge that is loaded for `seconds` in all is not judged: 5 min an hour."""
    return min(_WARM_UP_SECONDS, seconds * _WARM_UP_SHARE)


def judge(samples: Sequence[Sample], seconds: float, sizes: str) -> list[Figure]:
    """Compare the first tenth after the warm-up with the last tenth.

    Args:
        samples: In the order of time.
        seconds: How long the load lasted.
        sizes: What it was.

    Returns:
        Memory in both tenths, in MiB; each sample of the last one as a multiple of the median of
        the first one, which promises 1 ± 0.1; and the commits of both, in ms: the mean between two
        samples is a run.

    Raises:
        ValueError: There are too few samples.
    """
    warm_up = warm_up_seconds(seconds)
    tenth = (seconds - warm_up) / 10
    first = [each for each in samples if warm_up <= each.at < warm_up + tenth]
    last = [each for each in samples if seconds - tenth <= each.at <= seconds]
    commits = (_commit_ms(first), _commit_ms(last))
    if not all(commits):
        raise ValueError(f"{len(samples)} samples do not show how the edge began and ended")
    before = statistics.median(each.memory_bytes for each in first)
    return [
        Figure("edge soak, memory at first", "MiB", _mebibytes(first), sizes),
        Figure("edge soak, memory at last", "MiB", _mebibytes(last), sizes),
        Figure(
            "edge soak, memory at last beside first",
            "x",
            tuple(each.memory_bytes / before for each in last),
            sizes,
            target=1.0,
            within=_DRIFT,
        ),
        Figure("edge soak, commit at first", "ms", commits[0], sizes),
        Figure("edge soak, commit at last", "ms", commits[1], sizes),
    ]


def _mebibytes(samples: Sequence[Sample]) -> tuple[float, ...]:
    return tuple(each.memory_bytes / _MEBIBYTE for each in samples)


def _commit_ms(samples: Sequence[Sample]) -> tuple[float, ...]:
    """Return the mean time of the commits between two samples, where there were any."""
    return tuple(
        1_000 * (after.commit_seconds - before.commit_seconds) / (after.commits - before.commits)
        for before, after in pairwise(samples)
        if after.commits > before.commits
    )


class _Sampler:
    """Looks at the edge of a stack now and then, until told to stop."""

    def __init__(self, stack: EmbeddedStack) -> None:
        self.stop = Event()
        self._pid = stack.processes["edge"].pid
        self._url = f"{stack.settings.ingest_url}/metrics"

    def run(self, pause: float) -> list[Sample]:
        began = monotonic()
        samples = []
        with httpx.Client(trust_env=False) as client:
            while not self.stop.wait(pause):
                text = client.get(self._url).raise_for_status().text
                totals = commit_totals(text)
                memory = proportional_bytes([self._pid])
                samples.append(Sample(monotonic() - began, memory, *totals))
        return samples


def commit_totals(text: str) -> tuple[float, float]:
    """Return how many commits to `landing/events` an edge's metrics tell of, and their seconds."""
    found = {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get("table") == LANDING_EVENTS.path
    }
    return found["edge_commit_seconds_count"], found["edge_commit_seconds_sum"]
