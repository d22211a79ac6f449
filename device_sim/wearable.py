"""The wearable fleet: watches of two vendors, NeuraWrist and PulseON."""

import random
import string
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from device_sim.chance import seeded
from device_sim.fleet import Body, DeviceRecord, Event, Shape, SpoilableField
from device_sim.places import register
from device_sim.walks import Walk, sleeps_at

NEURAWRIST: Final = Shape(
    "neurawrist",
    (
        SpoilableField(("Heart Rate",), (400, -1, 0), ("fast", [61])),
        SpoilableField(("Step Count",), (-12, 9_999_999), ("many", {})),
        SpoilableField(("Sleeping State",), ("dreaming",), ([1], {})),
        SpoilableField(("timestamp",), (0.0,), ("noon", [])),
    ),
)
PULSEON: Final = Shape(
    "pulseon",
    (
        SpoilableField(("hr",), (400, -1, 0), ("fast", [70])),
        SpoilableField(("steps",), (-12, 9_999_999), ("many", {})),
        SpoilableField(("state",), ("dreaming",), ([1], {})),
    ),
)
_ALPHABET: Final = string.ascii_uppercase + string.digits
_NIGHT_WORKER_HOURS: Final = 12


@dataclass(slots=True)
class _Watch:
    """One watch, its wearer's rhythm and heart."""

    record: DeviceRecord
    shape: Shape
    shift_hours: int
    awake: Walk
    asleep: Walk
    text_values: bool


class WearableFleet:
    """Watches of both vendors in equal shares; one in ten sends its numbers as text."""

    source: str = "wearable"

    def __init__(self, seed: int, start: datetime, size: int = 24) -> None:
        """Make ``size`` watches that depend on the seed alone; events depend on ``start`` too."""
        made = seeded(seed, self.source)
        self._watches = [_make_watch(made, number) for number in range(size)]
        self._rng = seeded(seed, self.source, start.isoformat())

    def event(self, moment: datetime) -> Event:
        """Return an event of one watch in its vendor's shape."""
        watch = self._rng.choice(self._watches)
        return Event(self.source, watch.shape, _measure(watch, moment, self._rng))

    def devices(self) -> tuple[DeviceRecord, ...]:
        """Return all watches; each sends an id of its own."""
        return tuple(watch.record for watch in self._watches)


def _make_watch(rng: random.Random, number: int) -> _Watch:
    shape = NEURAWRIST if number % 2 == 0 else PULSEON
    vendor = "NeuraWrist" if shape is NEURAWRIST else "PulseON"
    device_id = f"{vendor}_{''.join(rng.choices(_ALPHABET, k=12))}"
    resting = rng.uniform(50, 70)
    return _Watch(
        record=register(device_id, number, rng),
        shape=shape,
        # Every third wearer works at night, so that any hour of a run sees both states.
        shift_hours=_NIGHT_WORKER_HOURS if number % 3 == 0 else 0,
        awake=Walk(resting + 22, 2.5, 45, 190),
        asleep=Walk(resting - 4, 0.8, 38, 100),
        text_values=number % 10 == 9,  # noqa: PLR2004 - one in ten
    )


def _measure(watch: _Watch, moment: datetime, rng: random.Random) -> Body:
    asleep = sleeps_at(moment, watch.shift_hours)
    heart: int | str = round((watch.asleep if asleep else watch.awake).step(rng))
    steps: int | str = 0 if asleep or rng.random() < 0.4 else rng.randint(1, 120)  # noqa: PLR2004 - rests
    if watch.text_values:
        heart, steps = str(heart), str(steps)
    state = "asleep" if asleep else "awake"
    if watch.shape is NEURAWRIST:
        return {
            "Device ID": watch.record.device_id,
            "timestamp": moment.timestamp(),
            "Heart Rate": heart,
            "Step Count": steps,
            "Sleeping State": state,
        }
    return {
        "device_id": watch.record.device_id,
        "date": moment.strftime("%Y-%m-%d %H:%M:%S.%f"),
        "hr": heart,
        "steps": steps,
        "state": state,
    }
