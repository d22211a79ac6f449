"""Clients that repeat each batch until it is acknowledged, as a device would."""

from __future__ import annotations

import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx
import pytest

from telemetry_cli.embedded.secrets import DEVELOPMENT_KEY_FILE
from tests.stack_process import DEADLINE_SECONDS, wait_until

if TYPE_CHECKING:
    from telemetry_platform.settings import Settings

BATCH = 10


def ask(settings: Settings, path: str) -> httpx.Response:
    """Get a page of the edge."""
    return httpx.get(f"{settings.ingest_url}{path}", timeout=DEADLINE_SECONDS, trust_env=False)


def wait_until_drained(settings: Settings) -> None:
    """Wait until all that the edge has acknowledged is in its tables."""
    log = settings.home / "logs" / "edge.log"

    def drained() -> bool:
        state = ask(settings, "/readyz").json()
        assert state["ready"] is True, state
        return state["spooling"] == []

    wait_until(drained, "the spool is drained", lambda: log.read_text()[-4_000:])


def edge_key(settings: Settings) -> str:
    """Return the key of the embedded stack."""
    return (settings.secrets_dir / DEVELOPMENT_KEY_FILE).read_text().strip()


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
        """Deliver batches until told to stop."""
        batch = 0
        while not self._stop.is_set():
            self.deliver(batch)
            batch += 1

    def deliver(self, batch: int) -> None:
        """Post a batch until it is acknowledged."""
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
                    timeout=DEADLINE_SECONDS,
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
