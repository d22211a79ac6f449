"""SIGKILL of the edge under load: what was acknowledged is in the table exactly once."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx
import polars as pl
import pytest

from telemetry_cli.embedded.secrets import DEVELOPMENT_KEY_FILE
from telemetry_cli.embedded.stack import EmbeddedStack
from telemetry_platform.delta import open_table
from telemetry_platform.layout import LANDING_EVENTS
from telemetry_platform.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.faults

ROUNDS = 5
CLIENTS = 8
BATCH = 10
DEADLINE_SECONDS = 120.0


class Sender:
    """A client that posts batches one after another and repeats each until it is acknowledged."""

    def __init__(self, number: int, url: str, key: str, stop: threading.Event) -> None:
        self.acknowledged: set[str] = set()
        self.repeated = 0
        self._number = number
        self._url = url
        self._key = key
        self._stop = stop

    def run(self) -> None:
        batch = 0
        while not self._stop.is_set():
            self._deliver(batch)
            batch += 1

    def _deliver(self, batch: int) -> None:
        session = f"{self._number}-{batch}"
        events = [
            {"session": {"id": session, "timestamp": f"2026-01-05T10:00:00.{n:06d}"}}
            for n in range(BATCH)
        ]
        end = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < end:
            try:
                answer = httpx.post(
                    f"{self._url}/ingest",
                    json=events,
                    headers={"x-api-key": self._key},
                    timeout=30,
                    trust_env=False,
                )
            except httpx.TransportError:
                self.repeated += 1
                self._stop.wait(0.05)
                continue
            if answer.status_code == HTTPStatus.OK:
                self.acknowledged |= {event["event_id"] for event in answer.json()["events"]}
                return
        pytest.fail("the edge did not take a batch in time")


def test_acknowledged_events_survive_sigkill_exactly_once(tmp_path: Path) -> None:
    chance = random.Random(7)  # noqa: S311  (a reproducible draw, not a secret)
    with EmbeddedStack(Settings(home=tmp_path), only={"s3", "edge"}) as stack:
        stack.start()
        settings = stack.settings
        key = (settings.secrets_dir / DEVELOPMENT_KEY_FILE).read_text().strip()
        stop = threading.Event()
        senders = [Sender(n, settings.ingest_url, key, stop) for n in range(CLIENTS)]
        with ThreadPoolExecutor(CLIENTS) as pool:
            runs = [pool.submit(sender.run) for sender in senders]
            for _ in range(ROUNDS):
                # The moment of the kill is the experiment, so it is drawn and not waited for.
                threading.Event().wait(chance.uniform(0.3, 1.0))
                stack.kill("edge")
                stack.restart("edge")
            stop.set()
            for run in runs:
                run.result(DEADLINE_SECONDS)
        acknowledged = set().union(*(sender.acknowledged for sender in senders))
        table = open_table(settings, LANDING_EVENTS.path)
        assert table is not None
        landed = pl.scan_delta(table).select("event_id").collect()["event_id"]
    assert sum(sender.repeated for sender in senders) > 0
    assert len(acknowledged) > 0
    assert landed.n_unique() == landed.len()
    assert set(landed) == acknowledged
