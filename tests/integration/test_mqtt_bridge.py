"""The MQTT bridge between a real broker and a real object store: nothing lost, nothing twice."""

from __future__ import annotations

import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import polars as pl
import pytest

from telemetry_cli.embedded.stack import EmbeddedStack
from telemetry_platform.delta import open_table
from telemetry_platform.layout import LANDING_EVENTS, LANDING_REJECTED
from telemetry_platform.settings import Settings
from tests.integration.mqtt_parts import (
    MOSQUITTO,
    Publisher,
    bridge,
    connected,
    metric,
    mosquitto,
    session_event,
)
from tests.integration.tls_files import write_tls_files
from tests.stack_process import DEADLINE_SECONDS, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from telemetry_platform.layout import Table

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(MOSQUITTO is None, reason="needs Mosquitto: apt-get install mosquitto"),
]

TOPIC = "telemetry/mobile/phone"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    with EmbeddedStack(Settings(home=tmp_path_factory.mktemp("mqtt")), only={"s3"}) as stack:
        stack.start()
        yield stack


def rows(store: EmbeddedStack, table: Table) -> pl.DataFrame:
    delta = open_table(store.settings, table.path)
    return pl.scan_delta(delta).collect() if delta else pl.DataFrame(schema=table.schema)


def landed(store: EmbeddedStack, session: str) -> pl.Series:
    events = rows(store, LANDING_EVENTS)
    return events.filter(pl.col("device_id") == f"session:{session}")["event_id"]


def assert_exactly_once(store: EmbeddedStack, session: str, count: int) -> None:
    wait_until(lambda: landed(store, session).len() >= count, f"{count} rows of {session}")
    ids = landed(store, session)
    assert (ids.len(), ids.n_unique()) == (count, count)


def test_a_thousand_messages_survive_a_killed_bridge_and_a_restarted_broker(
    store: EmbeddedStack, tmp_path: Path
) -> None:
    events = [session_event("restarts", number) for number in range(1000)]
    # However slow the machine is, there is something left to send when the broker goes.
    broker_is_away = threading.Event()
    with (
        mosquitto(tmp_path) as broker,
        bridge(store.settings, tmp_path, broker) as door,
        Publisher(broker.port) as device,
        ThreadPoolExecutor(1) as pool,
    ):
        wait_until(lambda: connected(door), "the bridge subscribes")

        def publish() -> None:
            device.send(TOPIC, *events[:700], pause=0.01)
            assert broker_is_away.wait(DEADLINE_SECONDS)
            device.send(TOPIC, *events[700:], pause=0.01)

        sending = pool.submit(publish)
        wait_until(lambda: landed(store, "restarts").len() > 150, "some rows land")
        door.end(signal.SIGKILL)
        door.start()
        wait_until(lambda: landed(store, "restarts").len() > 450, "more rows land")
        assert not sending.done()
        broker.end()
        broker_is_away.set()
        broker.start()
        sending.result(DEADLINE_SECONDS)
        assert_exactly_once(store, "restarts", 1000)


def test_messages_that_a_killed_broker_lost_and_its_devices_repeat_add_nothing(
    store: EmbeddedStack, tmp_path: Path
) -> None:
    events = [session_event("repeats", number) for number in range(300)]
    with (
        mosquitto(tmp_path) as broker,
        bridge(store.settings, tmp_path, broker) as door,
        Publisher(broker.port) as device,
    ):
        wait_until(lambda: connected(door), "the bridge subscribes")
        device.send(TOPIC, *events)
        broker.end(signal.SIGKILL)
        broker.start()
        device.send(TOPIC, *events)
        assert_exactly_once(store, "repeats", 300)
        wait_until(lambda: metric(door, "edge_mqtt_in_flight") == 0, "all are acknowledged")
        assert_exactly_once(store, "repeats", 300)


def test_nothing_is_acknowledged_while_storage_is_away(
    store: EmbeddedStack, tmp_path: Path
) -> None:
    events = [session_event("outage", number) for number in range(20)]
    with mosquitto(tmp_path) as broker, Publisher(broker.port) as device:
        door = bridge(store.settings, tmp_path, broker, spool_max_bytes=0)
        with door:
            wait_until(lambda: connected(door), "the bridge subscribes")
            store.kill("s3")
            device.send(TOPIC, *events)
            wait_until(lambda: metric(door, "edge_mqtt_in_flight") == 20, "all are taken")
            # Had the bridge acknowledged one of them, it would be gone with the process.
            door.end(signal.SIGKILL)
            store.restart("s3")
            assert landed(store, "outage").is_empty()
            door.start()
            assert_exactly_once(store, "outage", 20)


def test_what_is_refused_is_sealed_and_does_not_come_back(
    store: EmbeddedStack, tmp_path: Path
) -> None:
    with (
        mosquitto(tmp_path) as broker,
        bridge(store.settings, tmp_path, broker) as door,
        Publisher(broker.port) as device,
    ):
        wait_until(lambda: connected(door), "the bridge subscribes")
        before = rows(store, LANDING_REJECTED).height
        device.send(TOPIC, b"ann@example.org is no JSON")
        device.send("telemetry/toaster/kitchen", b'{"crumbs": 7}')
        wait_until(lambda: rows(store, LANDING_REJECTED).height == before + 2, "both are kept")
        door.end()
        door.start()
        wait_until(lambda: connected(door), "the bridge is back")
        device.send(TOPIC, session_event("after-refusals", 1))
        assert_exactly_once(store, "after-refusals", 1)
        kept = rows(store, LANDING_REJECTED).sort("received_at").tail(2)
        assert kept.height == rows(store, LANDING_REJECTED).height - before
        assert set(kept.select("source", "rule").rows()) == {
            ("mobile", "unreadable-body"),
            ("unknown", "unknown-source"),
        }
        assert not any(b"example.org" in body for body in kept["body_sealed"])
        assert "example.org" not in door.log.read_text()


def test_bridges_of_one_group_share_the_messages(store: EmbeddedStack, tmp_path: Path) -> None:
    events = [session_event("shared", number) for number in range(200)]
    (tmp_path / "other").mkdir()
    with (
        mosquitto(tmp_path) as broker,
        bridge(store.settings, tmp_path, broker, mqtt_shared_group="edges") as one,
        bridge(
            store.settings,
            tmp_path / "other",
            broker,
            mqtt_shared_group="edges",
            mqtt_client_id="other",
        ) as two,
        Publisher(broker.port) as device,
    ):
        wait_until(lambda: connected(one) and connected(two), "both subscribe")
        device.send(TOPIC, *events)
        assert_exactly_once(store, "shared", 200)
        taken = 'edge_messages_total{door="mqtt",outcome="taken"}'
        # A bridge counts a message when its commit is known to be done.
        wait_until(lambda: metric(one, taken) + metric(two, taken) >= 200, "all are counted")
        shares = metric(one, taken), metric(two, taken)
        assert min(shares) > 0
        assert sum(shares) == 200


def test_a_bridge_logs_in_over_tls(store: EmbeddedStack, tmp_path: Path) -> None:
    tls = write_tls_files(tmp_path)
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o600)
    subprocess.run(
        ["mosquitto_passwd", "-b", str(passwords), "edge", "a secret"],
        check=True,
        timeout=DEADLINE_SECONDS,
    )
    credentials = {"username": "edge", "password": "a secret", "ca_file": tls.authority}
    with (
        mosquitto(
            tmp_path,
            f"certfile {tls.certificate}",
            f"keyfile {tls.key}",
            "allow_anonymous false",
            f"password_file {passwords}",
        ) as broker,
        bridge(
            store.settings,
            tmp_path,
            broker,
            mqtt_url=f"mqtts://localhost:{broker.port}",
            mqtt_username="edge",
            mqtt_password="a secret",
            mqtt_ca_file=tls.authority,
            mqtt_version="3.1.1",
        ) as door,
        Publisher(broker.port, **credentials) as device,
    ):
        wait_until(lambda: connected(door), "the bridge subscribes")
        device.send(TOPIC, session_event("tls", 1))
        assert_exactly_once(store, "tls", 1)
        assert "a secret" not in door.log.read_text()


def test_a_refused_password_is_told_and_tried_again(store: EmbeddedStack, tmp_path: Path) -> None:
    with (
        mosquitto(tmp_path, "allow_anonymous false") as broker,
        bridge(store.settings, tmp_path, broker) as door,
    ):
        wait_until(lambda: door.log.read_text().count("Not authorized") > 1, "it is told")
        assert not connected(door)
