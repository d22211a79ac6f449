"""Runs of hours with corrections, without an orchestrator, and what they leave in the lake."""

from __future__ import annotations

from typing import Any

import polars as pl

from telemetry_assets.lakehouse.aggregating import hour_partials, metric_partials
from telemetry_assets.lakehouse.lake import Lake
from telemetry_assets.lakehouse.reconciling import judge_lake
from telemetry_assets.lakehouse.tables import (
    CORRECTIONS,
    DUPLICATES,
    METRIC_PARTIALS,
    QUARANTINE,
    SUPERSEDED,
    silver_table,
)
from tests.unit.telemetry_assets.landed import HOUR, NEXT_HOUR

SOURCE = "wearable"
THIRD_HOUR = "2026-01-05T16"
HOURS = (HOUR, NEXT_HOUR, THIRD_HOUR)
FIRST, SECOND = (f"00000000-0000-7000-8000-{number:012}" for number in (1, 2))


def refine_hour(lake: Lake, hour: str) -> list[str]:
    """Refine one hour as a run does; returns the hours that are out of date by it."""
    lake.build_bronze(SOURCE, hour)
    refined = lake.refined(SOURCE, hour)
    contract = lake.registry[SOURCE]
    lake.write(silver_table(contract), refined.silver, hour)
    lake.write_corrections(SOURCE, hour)
    overtaken = lake.overtaken(SOURCE, hour)
    lake.write(QUARANTINE, lake.together(QUARANTINE, [refined.quarantine]), hour, [SOURCE])
    lake.write(DUPLICATES, lake.together(DUPLICATES, [refined.duplicates]), hour, [SOURCE])
    lake.write_superseded(hour, [SOURCE])
    silver = lake.gold_input(SOURCE, hour)
    made = {
        "gold/metric_partials": metric_partials(silver, contract),
        "gold/hour_partials": hour_partials(silver, contract),
    }
    lake.write(METRIC_PARTIALS, made["gold/metric_partials"], hour, [SOURCE])
    judged = judge_lake(lake.ledger(SOURCE, hour, made))
    assert judged["adds_up"].all(), judged
    return overtaken


def refine_all(lake: Lake, *first: str) -> None:
    """Refine hours in an order, each in a process of its own, and then what these ask for."""
    waiting = list(first)
    for _ in range(20):
        if not waiting:
            return
        asked = refine_hour(Lake(lake.settings, lake.registry), waiting.pop(0))
        waiting += [hour for hour in asked if hour not in waiting]
    raise AssertionError("hours ask for each other without end")


def state(lake: Lake) -> dict[str, list[tuple[Any, ...]]]:
    """Return everything that the lake says of events, without regard to order."""
    fresh = Lake(lake.settings, lake.registry)
    tables = (silver_table(lake.registry[SOURCE]), QUARANTINE, DUPLICATES, SUPERSEDED, CORRECTIONS)
    return {
        table.path: sorted(
            (
                row
                for hour in HOURS
                for row in fresh.read(table, hour).drop("landing_version", strict=False).rows()
            ),
            key=str,
        )
        for table in tables
    }


def silver(lake: Lake) -> dict[str, tuple[float, str | None]]:
    """Return heart rate and correction by event id; ids are unique over the hours."""
    table = silver_table(lake.registry[SOURCE])
    frames = [Lake(lake.settings, lake.registry).read(table, hour) for hour in HOURS]
    rows = pl.concat(frames).select("event_id", "heart_rate_bpm", "correction_id").rows()
    assert len({row[0] for row in rows}) == len(rows), rows
    return {row[0]: (row[1], row[2]) for row in rows}


def fates(lake: Lake) -> dict[str, tuple[str, str | None]]:
    frames = [Lake(lake.settings, lake.registry).read(SUPERSEDED, hour) for hour in HOURS]
    rows = pl.concat(frames).select("event_id", "fate", "correction_id").rows()
    return {row[0]: (row[1], row[2]) for row in rows}


def heart_beats(lake: Lake) -> tuple[int, float]:
    """Return what gold says of heart rates over the hours: how many values, and their sum."""
    frames = [Lake(lake.settings, lake.registry).read(METRIC_PARTIALS, hour) for hour in HOURS]
    rates = pl.concat(frames).filter(pl.col("metric") == "heart_rate_bpm")
    return int(rates["n"].sum()), float((rates["n"] * rates["mean"]).sum())
