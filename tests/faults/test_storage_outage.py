"""The object store dies under load: posts are still taken, and each event lands exactly once."""

from __future__ import annotations

import json
import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx
import polars as pl
import pytest

from telemetry_cli.embedded.stack import EmbeddedStack
from telemetry_platform.delta import open_table
from telemetry_platform.layout import LANDING_EVENTS
from telemetry_platform.settings import Settings
from tests.faults.senders import Sender, ask, edge_key, wait_until_drained
from tests.stack_process import DEADLINE_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.faults

# `make faults` asks for 20; each takes about five seconds.
ROUNDS = int(os.environ.get("FAULT_ROUNDS", "3"))
CLIENTS = 6
VICTIMS = (("s3",), ("edge",), ("s3", "edge"))


def landed(settings: Settings) -> pl.Series:
    table = open_table(settings, LANDING_EVENTS.path)
    assert table is not None
    return pl.scan_delta(table).select("event_id").collect()["event_id"]


def test_posts_are_taken_through_an_outage_and_land_once(tmp_path: Path) -> None:
    with EmbeddedStack(Settings(home=tmp_path), only={"s3", "edge"}) as stack:
        stack.start()
        settings = stack.settings
        sender = Sender(0, settings.ingest_url, edge_key(settings), threading.Event())
        sender.deliver(0)
        stack.kill("s3")
        for batch in (1, 2, 3):
            sender.deliver(batch)
        refused = httpx.post(
            f"{settings.ingest_url}/ingest",
            content=b'{"battery":{}}',
            headers={"x-api-key": edge_key(settings)},
            timeout=DEADLINE_SECONDS,
            trust_env=False,
        )
        assert refused.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
        assert sender.repeated == 0
        state = ask(settings, "/readyz").json()
        assert state["ready"] is True
        assert LANDING_EVENTS.path in json.dumps(state["spooling"])
        stack.restart("s3")
        wait_until_drained(settings)
        sender.deliver(4)
        wait_until_drained(settings)
        stored = landed(settings)
    assert stored.len() == stored.n_unique()
    assert set(stored) == sender.acknowledged


def test_killing_edge_store_and_both_loses_and_doubles_nothing(tmp_path: Path) -> None:
    chance = random.Random(11)  # noqa: S311  (a reproducible draw, not a secret)
    with EmbeddedStack(Settings(home=tmp_path), only={"s3", "edge"}) as stack:
        stack.start()
        settings = stack.settings
        stop = threading.Event()
        senders = [
            Sender(number, settings.ingest_url, edge_key(settings), stop)
            for number in range(CLIENTS)
        ]
        with ThreadPoolExecutor(CLIENTS) as pool:
            runs = [pool.submit(sender.run) for sender in senders]
            for number in range(ROUNDS):
                victims = VICTIMS[number % len(VICTIMS)]
                # The moment of the kill is the experiment, so it is drawn and not waited for.
                threading.Event().wait(chance.uniform(0.2, 0.8))
                for victim in victims:
                    stack.kill(victim)
                threading.Event().wait(chance.uniform(0.0, 0.5))
                for victim in victims:
                    stack.restart(victim)
            stop.set()
            for run in runs:
                run.result(2 * DEADLINE_SECONDS)
        wait_until_drained(settings)
        stored = landed(settings)
    acknowledged = set().union(*(sender.acknowledged for sender in senders))
    assert sum(sender.repeated for sender in senders) > 0
    assert stored.len() == stored.n_unique()
    assert set(stored) == acknowledged
