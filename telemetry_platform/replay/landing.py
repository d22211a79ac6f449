"""Puts repaired events beside those that the edge lands meanwhile, each id once.

Silver looks back in arrival hours to find duplicates, never ahead. An event that joins an old hour
after a copy of it landed later would therefore be in two silver partitions, so ids are looked for
on both sides of its hour, and the commit is given up when another writer landed one of them since.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol

import orjson
import polars as pl

from telemetry_platform.clock import HOUR, hour_key, hour_start
from telemetry_platform.delta import (
    open_table,
    partition_sizes,
    scan_table,
    storage_options,
    table_uri,
)
from telemetry_platform.delta_log import DeltaLog
from telemetry_platform.layout import LANDING_EVENTS, RECEIVED_HOUR, SOURCE

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from telemetry_platform.settings import Settings

_IDS = pl.Schema({"event_id": pl.String})


class Place(NamedTuple):
    """Where repaired events belong, and the hours in which a copy makes them duplicates."""

    source: str
    hour: str
    first_hour: str
    last_hour: str

    def is_near(self, source: str, hour: str) -> bool:
        """Whether events of an arrival partition can be copies."""
        return source == self.source and self.first_hour <= hour <= self.last_hour


def place_of(source: str, hour: str, dedup_window: timedelta) -> Place:
    """Return the place of an arrival partition; silver's window is `dedup_window`, too."""
    begin, reach = hour_start(hour), max(dedup_window, HOUR)
    return Place(source, hour, hour_key(begin - reach), hour_key(begin + reach))


class Landing(Protocol):
    """Takes repaired events of one arrival partition."""

    def land(self, events: pl.DataFrame, place: Place) -> set[str]:
        """Land events that have different ids; return the ids that were there already."""
        ...

    def close(self) -> None:
        """Let go of what is held open."""
        ...


class EventLanding:
    """Lands events in `landing/events`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._log = DeltaLog(settings, LANDING_EVENTS)

    def land(self, events: pl.DataFrame, place: Place) -> set[str]:
        """Land the events whose ids are not near `place` yet, in one commit.

        Args:
            events: Rows of `landing/events` with different ids, all of the partition `place`.
            place: The partition.

        Returns:
            The ids that had landed before, and so were left out.

        Raises:
            OSError, obstore.exceptions.BaseError, deltalake.exceptions.DeltaError: Storage did
                not take them. What was committed is found when they are landed again.
        """
        # The order matters: what is committed after the log's end was looked up is checked below.
        self._log.refresh()
        known = landed_ids(open_table(self._settings, LANDING_EVENTS.path), place, events)
        while not (fresh := events.filter(~pl.col("event_id").is_in(known))).is_empty():
            overtaken = self._commit(fresh, place)
            if not overtaken:
                break
            known |= overtaken
        return known

    def close(self) -> None:
        """Finish a checkpoint under way."""
        self._log.close()

    def _commit(self, fresh: pl.DataFrame, place: Place) -> set[str]:
        """Commit all of the events, or none; return the ids that others landed meanwhile."""
        wanted = set(fresh["event_id"])

        def give_up(entry: bytes) -> None:
            if found := wanted & self._ids_in(entry, place):
                raise _OvertakenError(found)

        try:
            self._log.commit(self._log.prepare(fresh), give_up)
        except _OvertakenError as overtaken:
            return overtaken.event_ids
        return set()

    def _ids_in(self, entry: bytes, place: Place) -> set[str]:
        """Return the ids near `place` that a commit landed."""
        uris = [
            f"{table_uri(self._settings, LANDING_EVENTS.path)}/{add['path']}"
            for add in _added(entry)
            if place.is_near(add["partitionValues"][SOURCE], add["partitionValues"][RECEIVED_HOUR])
        ]
        if not uris:
            return set()
        rows = pl.scan_parquet(
            uris, storage_options=storage_options(self._settings) or None, hive_partitioning=False
        )
        return set(rows.select("event_id").collect()["event_id"])


class Rehearsal:
    """Tells what `EventLanding` would do, and writes nothing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # A database without a name is a private file that is gone at the end; the ids of a long
        # rehearsal need not fit into memory.
        self._landed = sqlite3.connect("")
        self._landed.execute(
            "CREATE TABLE landed (event_id, source, hour, PRIMARY KEY (event_id, source, hour)) "
            "WITHOUT ROWID"
        )

    def land(self, events: pl.DataFrame, place: Place) -> set[str]:
        """Note the events as landed; return the ids that are or would be there already."""
        known = landed_ids(open_table(self._settings, LANDING_EVENTS.path), place, events)
        known |= {event_id for event_id in events["event_id"] if self._noted(event_id, place)}
        fresh = events.filter(~pl.col("event_id").is_in(known))["event_id"]
        self._landed.executemany(
            "INSERT INTO landed VALUES (?, ?, ?)",
            ((event_id, place.source, place.hour) for event_id in fresh),
        )
        return known

    def close(self) -> None:
        """Forget everything."""
        self._landed.close()

    def _noted(self, event_id: str, place: Place) -> bool:
        query = "SELECT 1 FROM landed WHERE event_id = ? AND source = ? AND hour BETWEEN ? AND ?"
        span = (event_id, place.source, place.first_hour, place.last_hour)
        return self._landed.execute(query, span).fetchone() is not None


def landed_ids(delta: DeltaTable | None, place: Place, events: pl.DataFrame) -> set[str]:
    """Return which ids of `events` are in `landing/events` near `place`."""
    if delta is None:
        return set()
    sizes = partition_sizes(delta).select(SOURCE, RECEIVED_HOUR).rows()
    hours = sorted(hour for source, hour in sizes if place.is_near(source, hour))
    if not hours:
        return set()
    found = (
        scan_table(delta, {SOURCE: place.source, RECEIVED_HOUR: hours}, _IDS)
        .join(events.lazy().select("event_id"), on="event_id", how="semi")
        .collect()
    )
    return set(found["event_id"])


class _OvertakenError(Exception):
    """Another writer landed events that were about to land."""

    def __init__(self, event_ids: set[str]) -> None:
        super().__init__(f"{len(event_ids)} events landed meanwhile")
        self.event_ids = event_ids


def _added(entry: bytes) -> Iterable[dict]:
    """Return the files that a log entry adds; those of a compaction hold no new rows."""
    adds = (orjson.loads(line).get("add") for line in entry.splitlines() if b'"add"' in line)
    return (add for add in adds if add is not None and add["dataChange"])
