"""The mobile fleet: phones with the Flutter SDK, and phones with an SDK that names itself."""

import random
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from device_sim.chance import random_uuid, seeded
from device_sim.fleet import Body, DeviceRecord, Event, Shape, SpoilableField
from device_sim.places import register
from device_sim.privacy import EMAILS, IP_ADDRESSES, WIFI_NAMES
from device_sim.walks import Battery, Walk

_MODELS: Final = (
    ("Pixel 8", "Google", 34),
    ("Pixel 6a", "Google", 33),
    ("SM-G991B", "samsung", 33),
    ("SM-A546B", "samsung", 34),
    ("FP5", "Fairphone", 33),
    ("2201117TY", "Xiaomi", 31),
)
_APPS: Final = (("1.0.0", "1"), ("1.1.0", "7"), ("1.1.2", "9"))
_SPOILABLE: Final = (
    SpoilableField(("battery", "level"), (140, -5, 1000), ("full", [81], {"percent": 81})),
    SpoilableField(("sensor", "accelerometer", "x"), (9_999.0, -5_000.0), ("left", [0.1])),
    SpoilableField(("session", "timestamp"), ("0001-01-01T00:00:00",), ("soon", [2026, 1, 5])),
    SpoilableField(("session", "id"), ("",), ([], {"id": 1})),
)
SDK: Final = Shape("flutter_sdk", _SPOILABLE)
NAMED: Final = Shape("named_device", _SPOILABLE)


@dataclass(slots=True)
class _Phone:
    """One phone: what it is, and what it remembers between two events."""

    device_id: str
    model: tuple[str, str, int]
    app: tuple[str, str]
    email: str
    wifi_name: str
    wifi_ip: str
    named: bool
    battery: Battery
    session_id: str = ""
    left_in_session: int = 0
    sway: tuple[Walk, Walk, Walk] = field(
        default_factory=lambda: (
            Walk(0.0, 0.2, -40, 40),
            Walk(9.6, 0.2, -40, 40),
            Walk(0.4, 0.2, -40, 40),
        )
    )


class MobileFleet:
    """Phones; every second one sends the richer shape with an event id and a device id."""

    source: str = "mobile"

    def __init__(self, seed: int, start: datetime, size: int = 24) -> None:
        """Make ``size`` phones that depend on the seed alone; events depend on ``start`` too."""
        made = seeded(seed, self.source)
        self._phones = [_make_phone(made, number) for number in range(size)]
        self._records = tuple(
            register(phone.device_id, number, made)
            for number, phone in enumerate(self._phones)
            if phone.named
        )
        self._rng = seeded(seed, self.source, start.isoformat())

    def event(self, moment: datetime) -> Event:
        """Return an event of one phone in the shape that this phone's SDK sends."""
        phone = self._rng.choice(self._phones)
        body = _measure(phone, moment, self._rng)
        return Event(self.source, NAMED if phone.named else SDK, body)

    def devices(self) -> tuple[DeviceRecord, ...]:
        """Return the phones that send a device id."""
        return self._records


def _make_phone(rng: random.Random, number: int) -> _Phone:
    return _Phone(
        device_id=f"phone-{number + 1:04d}-{rng.getrandbits(24):06x}",
        model=rng.choice(_MODELS),
        app=rng.choice(_APPS),
        email=rng.choice(EMAILS),
        wifi_name=rng.choice(WIFI_NAMES),
        wifi_ip=rng.choice(IP_ADDRESSES),
        named=number % 2 == 1,
        battery=Battery(rng.uniform(20, 100)),
    )


def _measure(phone: _Phone, moment: datetime, rng: random.Random) -> Body:
    if phone.left_in_session == 0:
        phone.session_id = random_uuid(rng)
        phone.left_in_session = rng.randint(5, 60)
    phone.left_in_session -= 1
    model, manufacturer, sdk = phone.model
    on_wifi = rng.random() < 0.8  # noqa: PLR2004 - the share of time a phone is on Wi-Fi
    axes = [round(walk.step(rng), 3) for walk in phone.sway]
    body: Body = {
        "device": {"model": model, "manufacturer": manufacturer, "sdk": sdk},
        "battery": {"level": phone.battery.step(rng)},
        "network": {
            "wifiName": f'"{phone.wifi_name}"' if on_wifi else None,
            "wifiIP": phone.wifi_ip if on_wifi else None,
            "connectivity": "wifi" if on_wifi else "mobile",
        },
        "app": {"name": "telemetry_app", "version": phone.app[0], "buildNumber": phone.app[1]},
        "sensor": {"accelerometer": dict(zip("xyz", axes, strict=True))},
        "session": {
            "id": phone.session_id,
            # The SDK writes local time without a zone.
            "timestamp": moment.replace(tzinfo=None).isoformat(timespec="microseconds"),
        },
    }
    if phone.named:
        body = {
            "event_id": random_uuid(rng),
            **body,
            "device": {"id": phone.device_id, **body["device"]},
            "user": {"email": phone.email},
        }
    return body
