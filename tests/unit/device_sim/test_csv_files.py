"""CSV files have the layouts of the archives and say which of their rows are bad."""

import csv
from datetime import UTC, datetime
from pathlib import Path

import pytest

from device_sim.csv_files import LAYOUTS, Layout, write_csv
from device_sim.plan import SOURCES, make_fleets
from device_sim.registries import DEVICE_COLUMNS, USER_COLUMNS, write_devices, write_users

pytestmark = pytest.mark.unit
START = datetime(2026, 1, 5, tzinfo=UTC)
HEADERS = {
    "bme280_sensor": (
        "sensor_id;sensor_type;location;lat;lon;timestamp;pressure;altitude;"
        "pressure_sealevel;temperature;humidity"
    ),
    "bme280sof_sensor": "sensor_id,location,lat,lon,timestamp,pressure,temperature,humidity",
}


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_rows_and_bad_rows_are_as_told(tmp_path: Path, layout: Layout) -> None:
    file = write_csv(tmp_path, layout, seed=1, start=START, rows=500, bad_rate=0.1)
    header, *lines = file.path.read_text(encoding="utf-8").splitlines()
    assert header == HEADERS[layout.name]
    assert len(lines) == file.rows == 500
    found = []
    for number, row in enumerate(
        csv.DictReader([header, *lines], delimiter=layout.delimiter), start=1
    ):
        try:
            datetime.fromisoformat(row["timestamp"])
            good = (
                -50 < float(row["temperature"]) < 60
                and 0 <= float(row["humidity"]) <= 100
                and float(row["pressure"]) > 50_000
            )
        except ValueError:
            good = False
        if not good:
            found.append(number)
    assert tuple(found) == file.bad_rows
    assert 20 < len(found) < 90


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_same_seed_same_file(tmp_path: Path, layout: Layout) -> None:
    first, second = (
        write_csv(tmp_path / name, layout, seed=1, start=START, rows=50) for name in "ab"
    )
    assert first.path.read_bytes() == second.path.read_bytes()


def test_registries_name_every_owner(tmp_path: Path) -> None:
    devices, users = tmp_path / "devices.csv", tmp_path / "users.csv"
    count = write_devices(devices, make_fleets(SOURCES, 1, START))
    write_users(users, 1)
    device_rows = list(csv.DictReader(devices.read_text(encoding="utf-8").splitlines()))
    user_rows = list(csv.DictReader(users.read_text(encoding="utf-8").splitlines()))
    assert len(device_rows) == count == len({row["device_id"] for row in device_rows})
    assert tuple(device_rows[0]) == DEVICE_COLUMNS
    assert tuple(user_rows[0]) == USER_COLUMNS
    assert {row["user_id"] for row in device_rows} <= {row["user_id"] for row in user_rows}
