"""Writes the reference registries of the simulated fleets: who owns which device, and where."""

import csv
from collections.abc import Iterable
from dataclasses import astuple, fields
from pathlib import Path

from device_sim.chance import seeded
from device_sim.fleet import DeviceRecord, Fleet
from device_sim.places import USERS, user_id

DEVICE_COLUMNS = tuple(each.name for each in fields(DeviceRecord))
USER_COLUMNS = ("user_id", "birth_year", "sex")


def write_devices(path: Path, fleets: Iterable[Fleet]) -> int:
    """Write devices.csv (one row a device that sends an id) and return the number of rows.

    Columns: device_id, user_id, place_name, latitude, longitude (degrees), time_zone (IANA),
    registered_at (RFC 3339).
    """
    rows = [astuple(device) for fleet in fleets for device in fleet.devices()]
    _write(path, DEVICE_COLUMNS, rows)
    return len(rows)


def write_users(path: Path, seed: int) -> int:
    """Write users.csv (user_id, birth_year, sex) and return the number of rows."""
    rng = seeded(seed, "users")
    rows = [
        (user_id(number), rng.randint(1940, 2008), rng.choice(("female", "male")))
        for number in range(USERS)
    ]
    _write(path, USER_COLUMNS, rows)
    return len(rows)


def _write(path: Path, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
