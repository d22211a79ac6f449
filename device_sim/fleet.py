"""What the fleets have in common: a device record, an event, and the shape it is sent in."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeAlias

Body: TypeAlias = dict[str, Any]
"""One event as the client sends it: nested JSON."""


@dataclass(frozen=True, slots=True)
class SpoilableField:
    """A value that a fault may spoil: its path in the body, and what faulty devices send there."""

    path: tuple[str, ...]
    out_of_range: tuple[object, ...]
    wrong_type: tuple[object, ...] = ("n/a", [1, 2], {"value": None})


@dataclass(frozen=True, slots=True)
class Shape:
    """One client's form of an event, and which of its values faults may spoil."""

    name: str
    spoilable: tuple[SpoilableField, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """One simulated event before it is packed into a body."""

    source: str
    shape: Shape
    body: Body
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """One row of the device registry: where a device stands and who owns it.

    Latitude and longitude are degrees (WGS 84), the time zone is an IANA name.
    """

    device_id: str
    user_id: str
    place_name: str
    latitude: float
    longitude: float
    time_zone: str
    registered_at: str


class Fleet(Protocol):
    """A set of devices of one source that measure when they are asked."""

    source: str

    def event(self, moment: datetime) -> Event:
        """Return the next event, measured by one device at ``moment`` (aware, UTC)."""
        ...

    def devices(self) -> tuple[DeviceRecord, ...]:
        """Return the registry rows of the devices that send an id of their own."""
        ...
