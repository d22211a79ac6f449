"""A start with a filled spool: its events are known again, and a lost key stops nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import polars as pl
import pytest

from ingest_lambda.recent import RecentIds, event_keys
from ingest_lambda.spool import Batch, Spool
from ingest_lambda.warm import recall_spooled
from telemetry_contracts.sealing import SealBox
from tests.unit.ingest_lambda.conftest import Client

if TYPE_CHECKING:
    from pathlib import Path

    from telemetry_platform.settings import Settings

from ingest_lambda.edge import open_edge

pytestmark = pytest.mark.unit

ID = "01890a5d-ac96-774b-bcce-b302099a8057"
OTHER = "01890a5d-ac96-774b-bcce-b302099a8058"


def batch(sequence: int, event_id: str) -> Batch:
    return Batch(sequence, pl.DataFrame({"source": ["mobile"], "event_id": [event_id]}))


def test_events_of_the_spool_are_known(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite3", SealBox.generate(), 10**6)
    spool.append(batch(1, ID))
    recent = RecentIds(10)
    recall_spooled(recent, spool)
    assert recent.fresh(event_keys("mobile", [ID, OTHER]))[0] == [False, True]
    spool.close()


def test_a_batch_whose_key_is_gone_waits_and_the_edge_serves(settings: Settings, key: str) -> None:
    path = settings.spool_dir / "landing-events.sqlite3"
    lost = Spool(path, SealBox.generate(), 10**6)
    lost.append(batch(1, ID))
    lost.close()
    edge = open_edge(settings)
    body = orjson.dumps({"session": {"id": "s", "timestamp": "2026-01-05T10:00:00"}})
    answer = Client(edge, key).post("/ingest", body)
    spools = edge.spools["landing/events"]
    assert answer.status_code == 200
    assert spools.sequences() == [1, 2]
    assert edge.spooling == ["landing/events"]
    edge.close()
