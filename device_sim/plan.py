"""The plan of a run: an endless, repeatable sequence of posts of the chosen fleets."""

import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from device_sim.chance import seeded
from device_sim.environment import EnvironmentFleet
from device_sim.faults import FaultRates, shift_moment, spoil
from device_sim.fleet import Event, Fleet
from device_sim.mobile import SDK, MobileFleet
from device_sim.posts import BATCH_PACKINGS, SDK_PACKINGS, Packing, Post, pack
from device_sim.wearable import WearableFleet

FLEETS: Final = {
    "mobile": MobileFleet,
    "environment": EnvironmentFleet,
    "wearable": WearableFleet,
}
SOURCES: Final[tuple[str, ...]] = tuple(FLEETS)
_LARGEST_BATCH: Final = 40
_SDK_ALONE_SHARE: Final = 0.8
_STREAMED_SHARE: Final = 0.7


@dataclass(slots=True)
class _Sequencer:
    """Hands out the moments of events: the n-th event of a run is measured at start + n/rate."""

    start: datetime
    rate: float
    handed_out: int = 0

    def next(self) -> datetime:
        moment = self.start + timedelta(seconds=self.handed_out / self.rate)
        self.handed_out += 1
        return moment


@dataclass(slots=True)
class _Lane:
    """One fleet on its way: what it sent, and posts that wait to be sent again."""

    fleet: Fleet
    rng: random.Random
    sent: int = 0
    reposts: deque[Post] = field(default_factory=deque)
    waiting: deque[Event] = field(default_factory=deque)


def make_fleets(sources: Sequence[str], seed: int, start: datetime) -> list[Fleet]:
    """Return the fleets of the given sources.

    Raises:
        ValueError: A source has no simulated fleet.
    """
    unknown = set(sources) - set(FLEETS)
    if unknown:
        message = f"no fleet for {sorted(unknown)}; there are {', '.join(SOURCES)}"
        raise ValueError(message)
    return [FLEETS[source](seed, start) for source in sources]


def plan_posts(
    fleets: Sequence[Fleet],
    rates: FaultRates,
    *,
    seed: int,
    start: datetime,
    rate: float,
) -> Iterator[Post]:
    """Yield posts for ever, the same ones for the same arguments.

    Each fleet gets an equal share of the events. ``rate`` is in events per second and sets the
    times that events carry; the sender keeps to it.
    """
    sequencer = _Sequencer(start, rate)
    lanes = [
        _Lane(fleet, seeded(seed, "posts", fleet.source, start.isoformat())) for fleet in fleets
    ]
    while True:
        lane = min(lanes, key=lambda each: each.sent)
        post = _next_post(lane, rates, sequencer)
        lane.sent += post.events
        yield post


def take_events(posts: Iterator[Post], events: int) -> Iterator[Post]:
    """Yield posts until at least ``events`` events are in them."""
    taken = 0
    while taken < events:
        post = next(posts)
        taken += post.events
        yield post


def _next_post(lane: _Lane, rates: FaultRates, sequencer: _Sequencer) -> Post:
    rng = lane.rng
    if lane.reposts and rng.random() < 0.2:  # noqa: PLR2004 - some posts later, not at once
        post = lane.reposts.popleft()
        return replace(post, faults={"repost": post.events})
    malformed = rng if rng.random() < rates.malformed else None
    events, path, packing, with_key = _route(lane, rates, sequencer)
    post = pack(events, path, packing, with_key=with_key, malformed=malformed)
    if malformed is None and rng.random() < rates.repost:
        lane.reposts.append(post)
    return post


def _route(
    lane: _Lane, rates: FaultRates, sequencer: _Sequencer
) -> tuple[list[Event], str, Packing, bool]:
    """Return the events of the next post and how they travel."""
    rng, fleet = lane.rng, lane.fleet
    batch_path = f"/v1/events?source={fleet.source}"
    if fleet.source == "mobile":
        event = _faulty_event(lane, rates, sequencer)
        if event.shape is SDK and not lane.waiting and rng.random() < _SDK_ALONE_SHARE:
            return [event], "/ingest", rng.choice(SDK_PACKINGS), True
        lane.waiting.append(event)
    elif fleet.source == "wearable" and rng.random() < _STREAMED_SHARE:
        return [_faulty_event(lane, rates, sequencer)], "/stream", Packing(), False
    size = rng.randint(2, _LARGEST_BATCH)
    return _batch(lane, rates, sequencer, size), batch_path, rng.choice(BATCH_PACKINGS), True


def _faulty_event(lane: _Lane, rates: FaultRates, sequencer: _Sequencer) -> Event:
    moment, faults = shift_moment(sequencer.next(), rates, lane.rng)
    event = lane.fleet.event(moment)
    return spoil(replace(event, faults=faults), rates, lane.rng)


def _batch(lane: _Lane, rates: FaultRates, sequencer: _Sequencer, size: int) -> list[Event]:
    """Return events of one batch, some of them twice; waiting events go first."""
    events: list[Event] = []
    while len(events) < size:
        event = lane.waiting.popleft() if lane.waiting else _faulty_event(lane, rates, sequencer)
        events.append(event)
        if lane.rng.random() < rates.duplicate:
            events.append(replace(event, faults=("duplicate",)))
    return events
