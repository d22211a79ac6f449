"""Faults that real devices have, injected at given rates: what they are and how they look."""

import copy
import random
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, Final

from device_sim.fleet import Body, Event, SpoilableField

BROKEN_JSON: Final = "broken_json"
TRUNCATED: Final = "truncated_compression"
NOT_AN_OBJECT: Final = "not_an_object"
NOT_OBJECTS: Final = (b"42", b'"online"', b"null", b"true")


@dataclass(frozen=True, slots=True)
class FaultRates:
    """How often each fault happens, as a share of events (or of posts where it says so).

    Attributes:
        duplicate: An event is sent twice in its batch.
        repost: A whole post is sent again a little later (share of posts).
        late: An event arrives minutes to days after it was measured.
        clock_skew: A device's clock is one hour to one day ahead.
        out_of_range: A value that cannot be true.
        missing: A value is null or its key is absent.
        wrong_type: A value of another type.
        malformed: The body cannot be read (share of posts).
    """

    duplicate: float = 0.01
    repost: float = 0.02
    late: float = 0.03
    clock_skew: float = 0.005
    out_of_range: float = 0.01
    missing: float = 0.01
    wrong_type: float = 0.01
    malformed: float = 0.04

    def __post_init__(self) -> None:
        """Refuse a rate that is no share.

        Raises:
            ValueError: A rate lies outside 0 to 1.
        """
        for each in fields(self):
            if not 0 <= getattr(self, each.name) <= 1:
                message = f"the rate of {each.name} must lie between 0 and 1"
                raise ValueError(message)

    def scaled(self, factor: float) -> "FaultRates":
        """Return all rates times ``factor``, capped at 1; a factor of 0 means no faults."""
        return FaultRates(
            **{each.name: min(1.0, getattr(self, each.name) * factor) for each in fields(self)}
        )


def shift_moment(
    moment: datetime, rates: FaultRates, rng: random.Random
) -> tuple[datetime, tuple[str, ...]]:
    """Return the moment that a device claims, and the fault if it is not the true one."""
    draw = rng.random()
    if draw < rates.late:
        # Most late phones were out of reach for minutes, a few of them for days.
        minutes = min(rng.lognormvariate(4.0, 1.5), 6 * 24 * 60.0)
        return moment - timedelta(minutes=max(2.0, minutes)), ("late",)
    if draw < rates.late + rates.clock_skew:
        return moment + timedelta(hours=rng.uniform(1.0, 24.0)), ("clock_skew",)
    return moment, ()


def spoil(event: Event, rates: FaultRates, rng: random.Random) -> Event:
    """Return the event, or at the given rates a copy of it with one spoiled value."""
    draw = rng.random()
    for kind, rate in (
        ("out_of_range", rates.out_of_range),
        ("missing", rates.missing),
        ("wrong_type", rates.wrong_type),
    ):
        if draw < rate:
            body = copy.deepcopy(event.body)
            _spoil_value(body, rng.choice(event.shape.spoilable), kind, rng)
            return replace(event, body=body, faults=(*event.faults, kind))
        draw -= rate
    return event


def _spoil_value(body: Body, field: SpoilableField, kind: str, rng: random.Random) -> None:
    parent: dict[str, Any] = body
    for step in field.path[:-1]:
        parent = parent[step]
    name = field.path[-1]
    if kind == "out_of_range":
        parent[name] = rng.choice(field.out_of_range)
    elif kind == "wrong_type":
        parent[name] = rng.choice(field.wrong_type)
    elif rng.random() < 0.5:  # noqa: PLR2004 - null and absent are as common
        parent[name] = None
    else:
        del parent[name]


def garble_lines(lines: Sequence[bytes], rng: random.Random) -> list[bytes]:
    """Return the lines with one cut short, so that their number (the event count) stays true."""
    broken = rng.randrange(len(lines))
    return [
        line[: max(1, len(line) // 2)] if number == broken else line
        for number, line in enumerate(lines)
    ]
