"""Where simulated devices stand, and whose they are."""

import random
from dataclasses import dataclass
from typing import Final

from device_sim.fleet import DeviceRecord

USERS: Final = 24
_REGISTERED: Final = ("2025-11-03T08:00:00Z", "2025-12-14T13:30:00Z", "2026-01-02T09:15:00Z")


@dataclass(frozen=True, slots=True)
class Place:
    """A town: name, degrees (WGS 84), IANA time zone."""

    name: str
    latitude: float
    longitude: float
    time_zone: str


PLACES: Final = (
    Place("Aberdeen", 57.149, -2.094, "Europe/London"),
    Place("Sofia", 42.698, 23.322, "Europe/Sofia"),
    Place("Tampere", 61.498, 23.761, "Europe/Helsinki"),
    Place("Bilbao", 43.263, -2.935, "Europe/Madrid"),
    Place("Leipzig", 51.340, 12.375, "Europe/Berlin"),
    Place("Denver", 39.739, -104.990, "America/Denver"),
    Place("Sapporo", 43.062, 141.354, "Asia/Tokyo"),
    Place("Wellington", -41.287, 174.776, "Pacific/Auckland"),
)


def user_id(number: int) -> str:
    """Return the id of the n-th simulated user."""
    return f"user-{number % USERS + 1:03d}"


def register(device_id: str, number: int, rng: random.Random) -> DeviceRecord:
    """Return a registry row for a device, some hundred metres off the middle of a town."""
    place = PLACES[number % len(PLACES)]
    return DeviceRecord(
        device_id=device_id,
        user_id=user_id(number),
        place_name=place.name,
        latitude=round(place.latitude + rng.uniform(-0.02, 0.02), 4),
        longitude=round(place.longitude + rng.uniform(-0.02, 0.02), 4),
        time_zone=place.time_zone,
        registered_at=rng.choice(_REGISTERED),
    )
