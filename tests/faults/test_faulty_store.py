"""An object store that errs, stalls and cuts its answers: each acknowledged event lands once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING

import orjson
import polars as pl
import pytest

from ingest_lambda.bodies import Sent
from ingest_lambda.edge import Edge, open_edge
from ingest_lambda.problems import Problem
from telemetry_cli.embedded.stack import EmbeddedStack
from telemetry_platform import clock
from telemetry_platform.delta import open_table
from telemetry_platform.layout import LANDING_EVENTS
from telemetry_platform.settings import Settings
from tests.faults.store_proxy import Fault, StoreProxy
from tests.stack_process import DEADLINE_SECONDS, stack_home, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.faults

BATCH = 5
POSTS = 12
CASES = {
    "500": (Fault.ERROR_500, Fault.NONE),
    "503": (Fault.ERROR_503, Fault.NONE),
    "slow": (Fault.SLOW, Fault.NONE, Fault.NONE),
    "half an answer": (Fault.HALF, Fault.NONE),
    "dropped": (Fault.DROP, Fault.NONE),
    "everything": tuple(Fault),
    "nothing but errors": (Fault.ERROR_500, Fault.HALF),
}


@pytest.fixture(scope="module")
def store() -> Iterator[Settings]:
    with stack_home() as home, EmbeddedStack(Settings(home=home), only={"s3"}) as stack:
        stack.start()
        yield stack.settings


class Poster:
    """Posts to an edge and notes what was acknowledged."""

    def __init__(self, edge: Edge) -> None:
        self.acknowledged: set[str] = set()
        self.sent = 0
        self._edge = edge
        self._numbers = count()

    async def post(self) -> None:
        events = [
            {"session": {"id": str(next(self._numbers)), "timestamp": "2026-01-05T10:00:00"}}
            for _ in range(BATCH)
        ]
        self.sent += BATCH
        body = Sent(orjson.dumps(events))
        while True:
            try:
                answer = await self._edge.receive("mobile", body)
            except Problem:
                await asyncio.sleep(0.2)
                continue
            self.acknowledged |= {e["event_id"] for e in orjson.loads(answer.body)["events"]}
            return

    def post_many(self, posts: int) -> None:
        async def all_of() -> None:
            for _ in range(posts // 3):
                await asyncio.gather(*(self.post() for _ in range(3)))

        asyncio.run(all_of())


def edge_behind(settings: Settings, proxy: StoreProxy, folder: Path, table_root: str) -> Edge:
    """Open an edge that reaches the store through the proxy, on tables of its own."""
    return open_edge(
        settings.model_copy(
            update={
                "s3_endpoint": proxy.endpoint,
                "spool_path": folder,
                "lake_root": f"{settings.root}/{table_root}",
            }
        )
    )


def landed(edge: Edge, settings: Settings, column: str = "event_id") -> pl.Series:
    direct = edge.settings.model_copy(update={"s3_endpoint": settings.s3_endpoint})
    table = open_table(direct, LANDING_EVENTS.path)
    assert table is not None
    return pl.scan_delta(table).select(column).collect()[column]


@pytest.mark.parametrize("case", CASES)
def test_a_faulty_store_loses_and_doubles_nothing(
    store: Settings, tmp_path: Path, case: str
) -> None:
    assert store.s3_endpoint
    with StoreProxy(store.s3_endpoint, seed=3) as proxy:
        edge = edge_behind(store, proxy, tmp_path / "spool", f"faulty-{list(CASES).index(case)}")
        poster = Poster(edge)
        proxy.faults = CASES[case]
        poster.post_many(POSTS)
        # Faults are drawn: a few requests may have met none.
        while not all(proxy.met[fault] for fault in CASES[case]):
            poster.post_many(3)
        proxy.faults = (Fault.NONE,)
        wait_until(lambda: not edge.spooling, "the spool is drained")
        stored = landed(edge, store)
        edge.close()
    assert len(poster.acknowledged) == poster.sent
    assert stored.len() == stored.n_unique()
    assert set(stored) == poster.acknowledged


def test_a_clock_that_jumps_loses_and_doubles_nothing(
    store: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.s3_endpoint
    with StoreProxy(store.s3_endpoint, seed=3) as proxy:
        edge = edge_behind(store, proxy, tmp_path / "spool", "clock")
        poster = Poster(edge)
        now = clock.utc_now()
        for jump in (timedelta(), timedelta(hours=5), timedelta(days=-2), timedelta()):
            monkeypatch.setattr("ingest_lambda.edge.utc_now", lambda jump=jump: now + jump)
            poster.post_many(3)
        wait_until(lambda: not edge.spooling, "the spool is drained")
        stored = landed(edge, store)
        hours = landed(edge, store, "received_hour").n_unique()
        edge.close()
    assert hours == 3
    assert stored.len() == stored.n_unique()
    assert set(stored) == poster.acknowledged


def test_a_full_disk_refuses_and_keeps_what_it_took(tmp_path: Path) -> None:
    program = """
import pathlib, resource, sys
import polars as pl
from ingest_lambda.spool import Batch, Spool, SpoolFull
from telemetry_contracts.sealing import SealBox
spool = Spool(pathlib.Path(sys.argv[1]), SealBox.generate(), 10**9)
frame = pl.DataFrame({"n": pl.int_range(50_000, eager=True).hash()})
spool.append(Batch(1, frame))
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    spool.append(Batch(2, frame))
    spool.append(Batch(3, frame))
except SpoolFull:
    first = spool.first()
    assert first is not None and first.sequence == 1 and first.frame.equals(frame)
    sys.exit(7)
"""
    file = tmp_path / "spool" / "events.sqlite3"
    done = subprocess.run(
        [sys.executable, "-c", program, str(file)], check=False, timeout=DEADLINE_SECONDS
    )
    assert done.returncode == 7
