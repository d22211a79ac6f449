"""Marts with known rows in a real Postgres, and the access API in front of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from telemetry_assets.lakehouse import partitioning
from telemetry_cli.embedded.environment import process_environment
from telemetry_cli.embedded.stack import EmbeddedStack
from telemetry_platform.clock import utc_now
from telemetry_platform.postgres import connect
from telemetry_platform.settings import Settings
from tests.integration.warehouse_rows import DAY, Event, insert, lake, write_partition
from tests.stack_process import stack_home

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).parents[3] / "dbt_project"
WAREHOUSE = Path(__file__).parents[1] / "warehouse_fixture.sql"
SECONDS = 600


@pytest.fixture(scope="package")
def stack() -> Iterator[Settings]:
    """Start Postgres and the access API, and build the marts."""
    servers = {"postgres", "access"}
    with stack_home() as home, EmbeddedStack(Settings(home=home), only=servers) as running:
        running.start()
        fill(running.settings)
        yield running.settings


def fill(settings: Settings) -> None:
    """Write the warehouse and let dbt build the marts from it."""
    events = [*lake(), *recent(), *phones()]
    with connect(settings) as connection:
        connection.execute(WAREHOUSE.read_bytes())
        partitioning.install(connection)
        for hour in {event.arrived for event in events}:
            write_partition(connection, events, hour)
        device = {"device_id": "watch-1", "user_id": "user-001", "place_name": "home"}
        insert(connection, "devices", device)
        user = {"user_id": "user-001", "birth_year": 1981, "sex": "female"}
        insert(connection, "users", user)
    subprocess.run(
        [Path(sys.executable).with_name("dbt"), "--quiet", "run", "--full-refresh"],
        cwd=PROJECT,
        env=process_environment(settings),
        check=True,
        timeout=SECONDS,
    )


def recent() -> list[Event]:
    """Readings of the last hour, and a sensor that has been silent for two."""
    age = utc_now() - DAY
    hour, minute = int(age.total_seconds() // 3600), age.total_seconds() // 60 - 5
    pulse = {"heart_rate_bpm": 60.0, "step_count": 500.0}
    air = {"temperature_celsius": 30.0, "heat_index_celsius": 33.0, "sensor_type": "BME280"}
    here = air | {"location_id": "there"}
    return [
        Event("now-1", "wearable", "watch-1", hour, minute, pulse),
        Event("now-2", "environment", "sensor-1", hour, minute, here, place="there"),
        Event("now-3", "environment", "sensor-3", hour, minute - 120, air),
    ]


def phones() -> list[Event]:
    """Events of a session that say whose phone it is."""
    phone = {"session_id": "long", "device_model": "Pixel 8", "app_version": "4.2.0"}
    person = {"user_email": "tok_1_someone", "battery_charging": False}
    return [Event("m-who", "mobile", "phone-1", 10, 635, phone | person)]
