"""SIGKILL of the edge under load: what was acknowledged is in the table exactly once."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import polars as pl
import psutil
import pytest

from telemetry_cli.embedded.stack import EmbeddedStack
from telemetry_platform.delta import open_table
from telemetry_platform.layout import LANDING_EVENTS
from telemetry_platform.settings import Settings
from tests.faults.senders import Sender, edge_key, wait_until_drained
from tests.stack_process import DEADLINE_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.faults

ROUNDS = 3
CLIENTS = 8


def test_acknowledged_events_survive_sigkill_exactly_once(tmp_path: Path) -> None:
    chance = random.Random(7)  # noqa: S311  (a reproducible draw, not a secret)
    with EmbeddedStack(Settings(home=tmp_path), only={"s3", "edge"}) as stack:
        stack.start()
        settings = stack.settings
        key = edge_key(settings)
        stop = threading.Event()
        senders = [Sender(n, settings.ingest_url, key, stop) for n in range(CLIENTS)]
        with ThreadPoolExecutor(CLIENTS) as pool:
            runs = [pool.submit(sender.run) for sender in senders]
            readers: list[psutil.Process] = []
            for _ in range(ROUNDS):
                # The moment of the kill is the experiment, so it is drawn and not waited for.
                threading.Event().wait(chance.uniform(0.3, 1.0))
                readers += psutil.Process(stack.processes["edge"].pid).children(recursive=True)
                stack.kill("edge")
                stack.restart("edge")
            stop.set()
            for run in runs:
                run.result(2 * DEADLINE_SECONDS)
        wait_until_drained(settings)
        acknowledged = set().union(*(sender.acknowledged for sender in senders))
        table = open_table(settings, LANDING_EVENTS.path)
        assert table is not None
        landed = pl.scan_delta(table).select("event_id").collect()["event_id"]
    assert len(readers) >= ROUNDS
    assert not psutil.wait_procs(readers, DEADLINE_SECONDS)[1]
    assert sum(sender.repeated for sender in senders) > 0
    assert len(acknowledged) > 0
    assert landed.n_unique() == landed.len()
    assert set(landed) == acknowledged
