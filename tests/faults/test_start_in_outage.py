"""An edge that starts while storage is away takes events, and each of them lands exactly once."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import orjson
import polars as pl
import pytest

from ingest_lambda.bodies import Sent
from ingest_lambda.edge import Edge, open_edge
from ingest_lambda.probe import StoreAway, UnsafeStore
from ingest_lambda.problems import Problem
from telemetry_cli.embedded.stack import EmbeddedStack
from telemetry_platform.delta import open_table
from telemetry_platform.layout import LANDING_EVENTS, LANDING_FILES
from telemetry_platform.settings import Settings
from tests.faults.senders import Sender, ask, edge_key, wait_until_drained
from tests.faults.store_proxy import Fault, StoreProxy
from tests.stack_process import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.faults

HEADER = "sensor_id,location,lat,lon,timestamp,pressure,temperature,humidity"
READING = "7,3,48.1,11.5,2026-11-20T08:00:00,94000,20.5,40.1"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    home = tmp_path_factory.mktemp("outage")
    with EmbeddedStack(Settings(home=home), only={"s3", "edge"}) as stack:
        stack.start()
        yield stack


@pytest.fixture
def behind(stack: EmbeddedStack, tmp_path: Path) -> Iterator[tuple[Settings, StoreProxy]]:
    """Return settings of another edge, on tables of its own, behind a proxy."""
    assert stack.settings.s3_endpoint
    with StoreProxy(stack.settings.s3_endpoint, seed=3) as proxy:
        changes = {
            "s3_endpoint": proxy.endpoint,
            "spool_path": tmp_path / "spool",
            "lake_root": f"{stack.settings.root}/{tmp_path.name}",
        }
        yield stack.settings.model_copy(update=changes), proxy


def landed(settings: Settings) -> pl.Series:
    table = open_table(settings, LANDING_EVENTS.path)
    assert table is not None
    return pl.scan_delta(table).select("event_id", "source").collect()["event_id"]


def version(settings: Settings, path: str) -> int:
    table = open_table(settings, path)
    return 0 if table is None else table.version()


def post(edge: Edge, session: str) -> str:
    event = {"session": {"id": session, "timestamp": "2026-01-05T10:00:00"}}
    answer = asyncio.run(edge.receive("mobile", Sent(orjson.dumps(event))))
    return orjson.loads(answer.body)["events"][0]["event_id"]


def test_an_edge_that_starts_in_an_outage_takes_events_that_land_once(
    stack: EmbeddedStack,
) -> None:
    settings = stack.settings
    sender = Sender(0, settings.ingest_url, edge_key(settings), threading.Event())
    for batch in range(3):
        sender.deliver(batch)
    stack.kill("s3")
    stack.restart("edge")
    state = ask(settings, "/readyz").json()
    assert state["ready"] is True
    assert LANDING_EVENTS.path in state["spooling"]
    for batch in (3, 4):
        sender.deliver(batch)
    assert 'edge_table_open{table="landing/events"} 0.0' in ask(settings, "/metrics").text
    stack.kill("edge")
    stack.restart("edge")
    sender.deliver(5)
    sender.deliver(4)
    assert settings.inbox_dir is not None
    (settings.inbox_dir / "room.csv").write_text(f"{HEADER}\n{READING}\n")
    stack.restart("s3")
    wait_until_drained(settings)
    assert 'edge_table_open{table="landing/events"} 1.0' in ask(settings, "/metrics").text
    # An event from before the outage is known again.
    sender.deliver(2)
    sender.deliver(6)
    assert sender.repeated == 0
    wait_until(lambda: version(settings, LANDING_FILES.path) > 0, "the file landed")
    wait_until_drained(settings)
    table = open_table(settings, LANDING_EVENTS.path)
    assert table is not None
    stored = pl.scan_delta(table).select("event_id", "source").collect()
    phones = stored.filter(source="mobile")["event_id"]
    assert phones.len() == phones.n_unique()
    assert set(phones) == sender.acknowledged
    assert stored.filter(source="environment").height == 1


def test_a_store_that_comes_back_unsafe_is_never_committed_to(
    stack: EmbeddedStack, behind: tuple[Settings, StoreProxy]
) -> None:
    settings, proxy = behind
    proxy.faults = (Fault.DROP,)
    edge = open_edge(settings)
    taken = [post(edge, "0")]
    assert edge.unready() == []
    proxy.every_writer_wins = True
    proxy.faults = (Fault.NONE,)
    wait_until(lambda: edge.unready() != [], "the store is refused")
    assert "concurrent create-if-absent PUTs won" in edge.unready()[0]

    def refused() -> bool:
        try:
            taken.append(post(edge, str(len(taken))))
        except Problem as problem:
            return problem.retry_after is not None
        return False

    wait_until(refused, "events are refused")
    # The verdict is final, however the store behaves from now on.
    proxy.every_writer_wins = False
    assert LANDING_EVENTS.path in edge.spooling
    edge.close()
    direct = settings.model_copy(update={"s3_endpoint": stack.settings.s3_endpoint})
    assert open_table(direct, LANDING_EVENTS.path) is None
    edge = open_edge(settings)
    wait_until(lambda: not edge.spooling, "the spool is drained")
    edge.close()
    stored = landed(direct)
    assert sorted(stored) == sorted(taken)


def test_a_store_that_is_unsafe_at_the_start_is_refused(
    behind: tuple[Settings, StoreProxy],
) -> None:
    settings, proxy = behind
    proxy.every_writer_wins = True
    with pytest.raises(UnsafeStore, match="concurrent create-if-absent PUTs won"):
        open_edge(settings)


def test_without_a_spool_an_edge_does_not_start_in_an_outage(
    behind: tuple[Settings, StoreProxy],
) -> None:
    settings, proxy = behind
    proxy.faults = (Fault.DROP,)
    with pytest.raises(StoreAway, match="does not answer"):
        open_edge(settings.model_copy(update={"spool_max_bytes": 0}))
