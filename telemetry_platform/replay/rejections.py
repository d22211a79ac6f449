"""Which refused events a replay is about, and reading them from the lake bit by bit.

Nothing is judged here, and sealed bodies stay sealed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl

from telemetry_platform.clock import HOUR, hour_start
from telemetry_platform.delta import open_table, scan_partition, storage_options, table_uri
from telemetry_platform.layout import LANDING_REJECTED, LANDING_REPLAYS, RECEIVED_HOUR, SOURCE
from telemetry_platform.replay.outcomes import SETTLED

if TYPE_CHECKING:
    from telemetry_platform.settings import Settings

EVENT_KEY = ("receipt_id", "event_index")
"""What names one refused event."""

_COLUMNS = (*EVENT_KEY, "received_at", "rule", "body_sealed")
# A body may have megabytes, so few are held at a time.
_ROWS_AT_ONCE = 200


def parse_moment(text: str) -> datetime:
    """Return the moment that an ISO 8601 text means; an hour or a day means its beginning.

    Raises:
        ValueError: It is no such text.
    """
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


@dataclass(frozen=True)
class Selection:
    """Which refused events are meant. What is empty leaves none out.

    Attributes:
        sources: Sources of the events.
        rules: Rules that refused them at first.
        receipts: Receipts of the posts that brought them.
        since: They were received at this moment or later.
        until: They were received before this moment.
    """

    sources: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    receipts: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None

    def wants_partition(self, source: str, hour: str) -> bool:
        """Whether an arrival partition can hold events that are meant."""
        begin = hour_start(hour)
        return (
            (not self.sources or source in self.sources)
            and (self.since is None or begin + HOUR > self.since)
            and (self.until is None or begin < self.until)
        )

    def condition(self) -> pl.Expr:
        """Return what holds for the rows that are meant, inside a wanted partition."""
        tests = [pl.lit(value=True)]
        if self.rules:
            tests.append(pl.col("rule").is_in(self.rules))
        if self.receipts:
            tests.append(pl.col("receipt_id").is_in(self.receipts))
        if self.since is not None:
            tests.append(pl.col("received_at") >= self.since)
        if self.until is not None:
            tests.append(pl.col("received_at") < self.until)
        return pl.all_horizontal(tests)


class Rejections:
    """The selected rows of `landing/rejected`, as they were when this was made."""

    def __init__(self, settings: Settings, selection: Selection) -> None:
        self._settings = settings
        self._selection = selection
        self._files: dict[tuple[str, str], list[str]] = {}
        for source, hour, path in _files(settings):
            if selection.wants_partition(source, hour):
                uri = f"{table_uri(settings, LANDING_REJECTED.path)}/{path}"
                self._files.setdefault((source, hour), []).append(uri)

    def partitions(self) -> list[tuple[str, str]]:
        """Return source and arrival hour of the partitions that can hold selected events.

        Older hours come first: of several copies of one event the first arrival shall land.
        """
        return sorted(self._files, key=lambda partition: (partition[1], partition[0]))

    def batches(self, source: str, hour: str) -> Iterator[pl.DataFrame]:
        """Yield the selected events of one partition, some hundred at a time.

        Yields:
            Frames of `receipt_id`, `event_index`, `received_at`, `rule` and `body_sealed`, in
            order of arrival as far as files and frames tell it.
        """
        rows = pl.scan_parquet(
            self._files[source, hour],
            storage_options=storage_options(self._settings) or None,
            hive_partitioning=False,
        )
        wanted = rows.select(_COLUMNS).filter(self._selection.condition())
        for batch in wanted.collect_batches(
            chunk_size=_ROWS_AT_ONCE, maintain_order=True, lazy=True, engine="streaming"
        ):
            yield batch.sort("received_at", *EVENT_KEY)

    def settled(self, source: str, hour: str) -> pl.DataFrame:
        """Return `EVENT_KEY` of the partition's events that an earlier replay put right."""
        where: dict[str, str | list[str]] = {SOURCE: source, RECEIVED_HOUR: hour}
        return (
            scan_partition(self._settings, LANDING_REPLAYS.path, where, LANDING_REPLAYS.schema)
            .filter(pl.col("outcome").is_in(SETTLED))
            .select(EVENT_KEY)
            .unique()
            .collect()
        )


def _files(settings: Settings) -> list[tuple[str, str, str]]:
    """Return source, hour and path of every file of `landing/rejected`, oldest first."""
    delta = open_table(settings, LANDING_REJECTED.path)
    if delta is None:
        return []
    files = pl.DataFrame(delta.get_add_actions(flatten=True))
    if files.is_empty():
        return []
    columns = (f"partition.{SOURCE}", f"partition.{RECEIVED_HOUR}", "path")
    return files.sort("modification_time", "path").select(columns).rows()
