"""`telemetry up --mqtt`: a broker beside the edge, and what is published there in the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from telemetry_cli.embedded.stack import EmbeddedStack
from telemetry_platform.delta import open_table
from telemetry_platform.layout import LANDING_EVENTS
from telemetry_platform.settings import Settings
from tests.integration.mqtt_parts import Publisher, session_event
from tests.stack_process import command_lines_of, telemetry, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

TOPIC = "telemetry/mobile/phone"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[EmbeddedStack]:
    with EmbeddedStack(Settings(home=tmp_path), only={"s3", "edge"}, mqtt=True) as stack:
        stack.start()
        yield stack


def device(stack: EmbeddedStack) -> Publisher:
    password = (stack.settings.secrets_dir / "mqtt_password").read_text().strip()
    return Publisher(stack.settings.mqtt_port, username="telemetry", password=password)


def landed(stack: EmbeddedStack) -> pl.Series:
    table = open_table(stack.settings, LANDING_EVENTS.path)
    assert table is not None
    return pl.scan_delta(table).select("event_id").collect()["event_id"]


def subscriptions(stack: EmbeddedStack) -> int:
    return (stack.settings.home / "logs" / "edge.log").read_text().count('"subscribed"')


def test_messages_land_through_restarts_of_edge_and_broker(stack: EmbeddedStack) -> None:
    events = [session_event("stack", number) for number in range(1000)]
    with device(stack) as phone:
        wait_until(lambda: subscriptions(stack) == 1, "the bridge subscribes")
        phone.send(TOPIC, *events[:300])
        stack.kill("edge")
        phone.send(TOPIC, *events[300:600])
        stack.restart("edge")
        # This broker drops what is on its way to a client that dies; a device repeats it.
        phone.send(TOPIC, *events[:300])
        wait_until(lambda: landed(stack).len() == 600, "what waited at the broker lands")
        # It forgets its sessions too, so the device waits until the bridge is back.
        before = subscriptions(stack)
        stack.kill("mqtt")
        stack.restart("mqtt")
        wait_until(lambda: subscriptions(stack) > before, "the bridge comes back")
        phone.send(TOPIC, *events[600:])
        wait_until(lambda: landed(stack).len() >= 1000, "all land")
        assert landed(stack).n_unique() == landed(stack).len() == 1000
    shown = telemetry(stack.settings.home, "status").stdout
    assert "mqtt" in shown


def test_the_broker_asks_for_the_password_and_ends_with_the_stack(tmp_path: Path) -> None:
    with EmbeddedStack(Settings(home=tmp_path), only={"s3"}, mqtt=True) as stack:
        stack.start()
        port = stack.settings.mqtt_port
        with Publisher(port, username="telemetry", password="guess") as phone:
            wait_until(lambda: phone.refused, "the guess is refused")
        with Publisher(port) as nobody:
            wait_until(lambda: nobody.refused, "nobody is refused")
    wait_until(lambda: command_lines_of(tmp_path) == [], "nothing is left running", seconds=30)
