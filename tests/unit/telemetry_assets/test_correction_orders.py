"""Corrections in any order: what is true follows from what landed, not from when it was refined."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import example, given, settings
from hypothesis import strategies as st

from telemetry_assets.lakehouse.lake import Lake
from telemetry_assets.lakehouse.tables import DUPLICATES, QUARANTINE
from telemetry_contracts.registry import load_registry
from telemetry_platform.settings import Settings
from tests.unit.telemetry_assets.hour_runs import (
    FIRST,
    HOURS,
    SECOND,
    SOURCE,
    fates,
    heart_beats,
    refine_all,
    silver,
)
from tests.unit.telemetry_assets.landed import land, land_correction, watch

if TYPE_CHECKING:
    from collections.abc import Sequence

RATE = 60


@dataclass(frozen=True)
class Post:
    """An event, or a copy of it, that arrives in an hour."""

    event: str
    hour: str


@dataclass(frozen=True)
class Correction:
    """A replacement by another heart rate, or a deletion without one."""

    event: str
    hour: str
    second: int
    rate: int | None


@dataclass(frozen=True)
class Story:
    """What lands, in that order, whether its hour is refined at once, and the hours at the end."""

    landings: Sequence[tuple[Post | Correction, bool]]
    at_last: Sequence[str]


@st.composite
def stories(draw: st.DrawFn) -> Story:
    hours, events = st.sampled_from(HOURS), st.sampled_from((FIRST, SECOND))
    posts = draw(st.sets(st.builds(Post, events, hours), min_size=1, max_size=3))
    rates = st.none() | st.integers(50, 90)
    made = draw(st.lists(st.tuples(events, hours, rates), min_size=1, max_size=4))
    corrections = [
        Correction(event, hour, 10 + place, rate) for place, (event, hour, rate) in enumerate(made)
    ]
    landings = draw(st.permutations([*sorted(posts, key=str), *corrections]))
    at_once = [draw(st.booleans()) for _ in landings]
    return Story(list(zip(landings, at_once, strict=True)), draw(st.permutations(HOURS)))


AN_HOUR_IS_OVER = Story(
    [
        (Post(FIRST, HOURS[0]), True),
        (Correction(FIRST, HOURS[2], 10, 70), True),
        (Correction(FIRST, HOURS[1], 11, None), True),
        (Correction(SECOND, HOURS[1], 12, 65), True),
        (Post(SECOND, HOURS[0]), True),
    ],
    (),
)


@given(stories())
@example(AN_HOUR_IS_OVER)
@settings(max_examples=6)
def test_any_order_of_landing_and_refining_comes_to_the_last_correction(story: Story) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Settings(home=folder, lake_root=folder), load_registry())
        landed, waiting = {}, set()
        for thing, at_once in story.landings:
            landed[thing] = tell(lake, thing)
            waiting.add(thing.hour)
            if at_once:
                refine_all(lake, thing.hour)
                waiting.discard(thing.hour)
        # An hour in which nothing landed since runs again only when another one asks for it.
        refine_all(lake, *(hour for hour in story.at_last if hour in waiting))
        kept, former, unknown, copies = expected(landed)
        assert silver(lake) == kept
        assert fates(lake) == former
        assert heart_beats(lake) == (len(kept), sum(rate for rate, _ in kept.values()))
        quarantine, duplicates = (
            [row for hour in HOURS for row in lake.read(table, hour)["event_id"]]
            for table in (QUARANTINE, DUPLICATES)
        )
        assert (sorted(quarantine), len(duplicates)) == (sorted(unknown), copies)


def tell(lake: Lake, thing: Post | Correction) -> str:
    """Land it; returns the id of what landed."""
    if isinstance(thing, Post):
        event = watch(0, RATE, event_id=thing.event)
        land(lake.settings, lake.registry, SOURCE, [event], thing.hour, f"r-{thing}")
        return thing.event
    event = None if thing.rate is None else watch(0, thing.rate)
    key = str(thing.second)
    place = (thing.hour, thing.second, key)
    return land_correction(lake.settings, lake.registry, SOURCE, thing.event, event, *place)


def expected(
    landed: dict[Post | Correction, str],
) -> tuple[dict[str, tuple[float, str | None]], dict[str, tuple[str, str | None]], list[str], int]:
    """Return what silver holds, the fates of former versions, unknown corrections, and copies."""
    kept: dict[str, tuple[float, str | None]] = {}
    former: dict[str, tuple[str, str | None]] = {}
    unknown: list[str] = []
    copies = 0
    for event in (FIRST, SECOND):
        arrivals = [each.hour for each in landed if isinstance(each, Post) and each.event == event]
        asked = [each for each in landed if isinstance(each, Correction) and each.event == event]
        asked.sort(key=lambda each: (each.hour, each.second))
        known = [each for each in asked if arrivals and each.hour >= min(arrivals)]
        unknown += [landed[each] for each in asked if each not in known]
        copies += max(len(arrivals) - 1, 0)
        if not known:
            kept |= {event: (float(RATE), None)} if arrivals else {}
            continue
        last = known[-1]
        way = "deleted" if last.rate is None else "replaced"
        former[event] = (way, landed[last])
        for each in known:
            if each.rate is None:
                former[landed[each]] = ("deletion", None)
            elif each is not last:
                former[landed[each]] = (way, landed[last])
        if last.rate is not None:
            kept[event] = (float(last.rate), landed[last])
    return kept, former, unknown, copies
