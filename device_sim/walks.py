"""Value walks: how a temperature, a heart rate or a battery moves from one event to the next."""

import math
import random
from dataclasses import dataclass
from datetime import datetime

_WARMEST_HOUR = 15.0
_NIGHT_STARTS, _NIGHT_ENDS = 23, 7


@dataclass(slots=True)
class Walk:
    """A mean-reverting random walk (an Ornstein-Uhlenbeck process in discrete steps).

    ``pull`` is the share of the distance to ``mean`` that one step takes back, ``noise`` the
    standard deviation of one step, both in the unit of the value.
    """

    mean: float
    noise: float
    low: float
    high: float
    pull: float = 0.05
    offset: float = 0.0

    def step(self, rng: random.Random) -> float:
        """Return the next value, within ``low`` and ``high``."""
        self.offset += rng.gauss(0.0, self.noise) - self.pull * self.offset
        return min(self.high, max(self.low, self.mean + self.offset))


def daily_swing(moment: datetime, amplitude: float) -> float:
    """Return the distance from the daily mean: ``amplitude`` at 15:00, minus it at 03:00."""
    hour = moment.hour + moment.minute / 60 + moment.second / 3600
    return amplitude * math.cos((hour - _WARMEST_HOUR) / 24 * math.tau)


def sleeps_at(moment: datetime, shift_hours: int) -> bool:
    """Tell whether a wearer sleeps; ``shift_hours`` moves the night (a night worker has 12)."""
    hour = (moment.hour + shift_hours) % 24
    return hour >= _NIGHT_STARTS or hour < _NIGHT_ENDS


@dataclass(slots=True)
class Battery:
    """A battery that drains with use and is put on charge when it gets low."""

    level: float
    charging: bool = False

    def step(self, rng: random.Random) -> int:
        """Return the level in percent after one more event."""
        if self.charging:
            self.level = min(100.0, self.level + rng.uniform(0.2, 1.0))
            self.charging = self.level < rng.uniform(80.0, 100.0)
        else:
            self.level = max(1.0, self.level - rng.uniform(0.0, 0.3))
            self.charging = self.level < rng.uniform(5.0, 25.0)
        return round(self.level)
