"""The lag of table versions, on a real object store: seen, cleared, and unknown in an outage."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import httpx
import orjson
import polars as pl
import pytest

from ingest_lambda.bodies import Sent
from ingest_lambda.edge import Edge, open_edge
from ingest_lambda.version_watch import VersionWatch
from telemetry_cli.embedded.stack import EmbeddedStack
from telemetry_platform.delta import open_table
from telemetry_platform.delta_log import DeltaLog
from telemetry_platform.layout import LANDING_EVENTS
from telemetry_platform.settings import Settings
from tests.stack_process import DEADLINE_SECONDS, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

TABLE = {"table": LANDING_EVENTS.path}
OTHERS = 3


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[EmbeddedStack]:
    with EmbeddedStack(Settings(home=tmp_path), only={"s3", "edge"}) as stack:
        stack.start()
        yield stack


def gauge(edge: Edge, name: str) -> float:
    value = edge.metrics.registry.get_sample_value(name, TABLE)
    assert value is not None
    return value


def post(edge: Edge, number: int) -> None:
    event = {"session": {"id": str(number), "timestamp": "2026-01-05T10:00:00"}}
    answer = asyncio.run(edge.receive("mobile", Sent(orjson.dumps(event))))
    assert answer.accepted == 1


def commit_as_another_writer(settings: Settings, commits: int) -> None:
    log = DeltaLog(settings, LANDING_EVENTS)
    table = open_table(settings, LANDING_EVENTS.path)
    assert table is not None
    rows = pl.scan_delta(table).head(1).collect()
    for _ in range(commits):
        log.commit(log.prepare(rows))
    log.close()


def test_the_lag_shows_what_others_committed_and_an_append_clears_it(stack: EmbeddedStack) -> None:
    settings = stack.settings.model_copy(update={"spool_path": stack.settings.home / "own"})
    edge = open_edge(settings)
    watch = VersionWatch(edge.appenders, edge.metrics, pace_seconds=0.2)
    assert math.isnan(gauge(edge, "edge_table_version_lag"))
    watch.start()
    post(edge, 1)
    wait_until(lambda: gauge(edge, "edge_table_version_lag") == 0, "no lag is seen")
    own = gauge(edge, "edge_table_version")
    commit_as_another_writer(settings, OTHERS)
    wait_until(lambda: gauge(edge, "edge_table_version_lag") == OTHERS, "the lag is seen")
    assert gauge(edge, "edge_table_version") == own
    post(edge, 2)
    assert gauge(edge, "edge_table_version_lag") == 0
    assert gauge(edge, "edge_table_version") == own + OTHERS + 1
    stack.kill("s3")
    wait_until(lambda: math.isnan(gauge(edge, "edge_table_version_lag")), "the lag is unknown")
    stack.restart("s3")
    wait_until(lambda: gauge(edge, "edge_table_version_lag") == 0, "the lag is seen again")
    watch.stop()
    edge.close()


def test_the_edge_shows_the_lag_of_each_table(stack: EmbeddedStack) -> None:
    def lags() -> set[str]:
        url = f"{stack.settings.ingest_url}/metrics"
        text = httpx.get(url, timeout=DEADLINE_SECONDS, trust_env=False).text
        return {line for line in text.splitlines() if line.startswith("edge_table_version_lag{")}

    wanted = {
        f'edge_table_version_lag{{table="landing/{name}"}} 0.0'
        for name in ("events", "rejected", "files")
    }
    wait_until(lambda: lags() == wanted, "every table has its lag")
