"""The environment fleet: weather stations, room sensors and smart-home boxes."""

import random
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from device_sim.chance import seeded
from device_sim.fleet import Body, DeviceRecord, Event, Shape, SpoilableField
from device_sim.places import register
from device_sim.walks import Walk, daily_swing

_TEMPERATURES: Final = (900.0, -200.0, 1e9)
_HUMIDITIES: Final = (140.0, -3.0)

STATION: Final = Shape(
    "sensor_json",
    (
        SpoilableField(("temperature",), _TEMPERATURES),
        SpoilableField(("humidity",), _HUMIDITIES),
        SpoilableField(("pressure",), (12.0, 99_999.0)),
        SpoilableField(("timestamp",), ("1970-01-01T00:00:00Z",), ("yesterday", {})),
    ),
)
ROOM: Final = Shape(
    "room_sensor",
    (
        SpoilableField(("value",), (5_000.0, -5_000.0)),
        SpoilableField(("metadata", "type"), ("radiation",), ([], {})),
    ),
)
SMART_HOME: Final = Shape(
    "smart_home",
    (
        SpoilableField(("data", "temp"), _TEMPERATURES),
        SpoilableField(("data", "humidity"), _HUMIDITIES),
        SpoilableField(("data", "co"), (-1.0, 5e6)),
    ),
)
_ROOM_TYPES: Final = (("temperature", "C"), ("temperature", "F"), ("humidity", "%"),
                      ("pressure", "hPa"))  # fmt: skip
_ROOMS: Final = ("Main Entrance", "Server Room", "Workshop", "Lobby", "Canteen", "Archive")


@dataclass(slots=True)
class _Sensor:
    """One sensor, where it stands, and how its values move."""

    record: DeviceRecord
    shape: Shape
    label: str
    temperature: Walk
    humidity: Walk
    pressure: Walk
    gas: Walk
    next_type: int = 0


class EnvironmentFleet:
    """Sensors of three vendors in equal shares, one shape each."""

    source: str = "environment"

    def __init__(self, seed: int, start: datetime, size: int = 24) -> None:
        """Make ``size`` sensors that depend on the seed alone; events depend on ``start`` too."""
        made = seeded(seed, self.source)
        self._sensors = [_make_sensor(made, number) for number in range(size)]
        self._rng = seeded(seed, self.source, start.isoformat())

    def event(self, moment: datetime) -> Event:
        """Return an event of one sensor in its vendor's shape."""
        sensor = self._rng.choice(self._sensors)
        body = _MEASURE[sensor.shape.name](sensor, moment, self._rng)
        return Event(self.source, sensor.shape, body)

    def devices(self) -> tuple[DeviceRecord, ...]:
        """Return all sensors; each sends an id of its own."""
        return tuple(sensor.record for sensor in self._sensors)


def _make_sensor(rng: random.Random, number: int) -> _Sensor:
    shape = (STATION, ROOM, SMART_HOME)[number % 3]
    device_id = {
        STATION.name: f"station-{number + 1:03d}",
        ROOM.name: f"room-{number + 1:03d}",
        SMART_HOME.name: ":".join(f"{rng.getrandbits(8):02x}" for _ in range(6)),
    }[shape.name]
    outdoors = shape is STATION
    return _Sensor(
        record=register(device_id, number, rng),
        shape=shape,
        label=f"iot-device-{number + 1:02d}" if shape is SMART_HOME else rng.choice(_ROOMS),
        temperature=Walk(rng.uniform(4, 18) if outdoors else 21.0, 0.05, -35, 45),
        humidity=Walk(rng.uniform(45, 80), 0.2, 5, 100),
        pressure=Walk(rng.uniform(980, 1025), 0.05, 930, 1060),
        gas=Walk(0.005, 0.0002, 0.001, 0.02),
    )


def _degrees(sensor: _Sensor, moment: datetime, rng: random.Random) -> float:
    return sensor.temperature.step(rng) + daily_swing(moment, 5 if sensor.shape is STATION else 1)


def _station(sensor: _Sensor, moment: datetime, rng: random.Random) -> Body:
    return {
        "device_id": sensor.record.device_id,
        "timestamp": moment.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "temperature": round(_degrees(sensor, moment, rng), 2),
        "humidity": round(sensor.humidity.step(rng), 2),
        "pressure": round(sensor.pressure.step(rng), 2),
        "location": {
            "latitude": sensor.record.latitude,
            "longitude": sensor.record.longitude,
        },
    }


def _room(sensor: _Sensor, moment: datetime, rng: random.Random) -> Body:
    kind, unit = _ROOM_TYPES[sensor.next_type]
    sensor.next_type = (sensor.next_type + 1) % len(_ROOM_TYPES)
    celsius = _degrees(sensor, moment, rng)
    value = {
        "C": celsius,
        "F": celsius * 9 / 5 + 32,
        "%": sensor.humidity.step(rng),
        "hPa": sensor.pressure.step(rng),
    }[unit]
    return {
        "sensor_id": sensor.record.device_id,
        "timestamp": moment.replace(tzinfo=None).isoformat(timespec="microseconds"),
        "value": round(value, 2),
        "metadata": {
            "location": {"lat": sensor.record.latitude, "lng": sensor.record.longitude},
            "unit": unit,
            "type": kind,
            "description": sensor.label,
        },
    }


def _smart_home(sensor: _Sensor, moment: datetime, rng: random.Random) -> Body:
    gas = sensor.gas.step(rng)
    return {
        "data": {
            "co": gas,
            "humidity": sensor.humidity.step(rng),
            "light": 7 <= moment.hour < 21,  # noqa: PLR2004 - lights are on in the day
            "lpg": gas * 1.58,
            "motion": rng.random() < 0.05,  # noqa: PLR2004 - somebody walks by, now and then
            "smoke": gas * 4.2,
            "temp": _degrees(sensor, moment, rng),
        },
        "device_id": sensor.record.device_id,
        "ts": moment.timestamp(),
        "device": sensor.label,
    }


_MEASURE: Final = {
    STATION.name: _station,
    ROOM.name: _room,
    SMART_HOME.name: _smart_home,
}
