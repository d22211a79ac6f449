"""Keeps what corrections came to, and finds hours whose silver does not follow them yet.

Most sources never have a correction: whatever is asked about those is answered from the logs of two
small tables, which stay open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from telemetry_assets.lakehouse.correcting import (
    APPLIED,
    DELETION,
    UNKNOWN,
    former,
    winners,
)
from telemetry_assets.lakehouse.tables import CORRECTIONS, SUPERSEDED, silver_table
from telemetry_platform.delta import (
    ensure_table,
    open_table,
    partition_sizes,
    replace_partition,
    scan_table,
)
from telemetry_platform.layout import RECEIVED_HOUR, SOURCE, Table

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from telemetry_contracts.contract import Contract
    from telemetry_platform.settings import Settings

_VERSION = pl.Schema(
    {
        "event_id": pl.String,
        "corrected_event_id": pl.String,
        RECEIVED_HOUR: pl.String,
        "is_correction": pl.Boolean,
    }
)


class CorrectionLog:
    """The tables `silver/corrections` and `silver/superseded` of one lake."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open: dict[str, DeltaTable] = {}

    def since(self, source: str, hour: str) -> pl.DataFrame:
        """Return the corrections of a source that landed in `hour` or later."""
        return self._rows(CORRECTIONS, source, hour)

    def replace(
        self, table: Table, rows: pl.DataFrame, hour: str, sources: list[str]
    ) -> int | None:
        """Replace an hour of one of the two tables.

        Only runs of this hour write it, and the hour was refined in this process: what was seen
        of corrections then still holds.

        Returns:
            The version that was written; None when there is nothing to write and nothing to remove.
        """
        if rows.is_empty() and not self._held(table, sources, hour):
            return None
        where = {RECEIVED_HOUR: hour, SOURCE: sources}
        return replace_partition(self._settings, table, rows, where)

    def count(self, table: Table, source: str, hour: str) -> int:
        """Return how many rows one of the two tables has of an hour, from its log."""
        if table is SUPERSEDED and not self._corrected([source], look=True):
            return 0
        here = (pl.col(SOURCE) == source) & (pl.col(RECEIVED_HOUR) == hour)
        return int(self._sizes(table).filter(here)["rows"].sum())

    def behind(self, contract: Contract, hour: str, landed: pl.DataFrame) -> set[str]:
        """Return other hours whose silver does not follow the corrections of `hour`.

        Args:
            contract: The source's contract.
            hour: The hour, whose own corrections are written already.
            landed: Where the events landed that they name; see `correcting.Elsewhere.landed`.
        """
        if not self._held(CORRECTIONS, [contract.source], hour):
            return set()
        all_hours = self._rows(CORRECTIONS, contract.source)
        own = all_hours.filter(pl.col(RECEIVED_HOUR) == hour)
        named = own.select("corrected_event_id").unique()
        every = all_hours.join(named, on="corrected_event_id", how="semi")
        holding = winners(every)
        versions = _versions(every, landed).filter(pl.col(RECEIVED_HOUR) != hour)
        gone = former(versions.join(holding, on="corrected_event_id"))
        return self._still_in_silver(contract, gone) | self._superseded_otherwise(
            contract.source, hour, named, holding
        )

    def _still_in_silver(self, contract: Contract, gone: pl.DataFrame) -> set[str]:
        table = silver_table(contract)
        delta = None if gone.is_empty() else open_table(self._settings, table.path)
        if delta is None:
            return set()
        names = ("event_id", "correction_id", RECEIVED_HOUR)
        schema = pl.Schema({name: table.schema[name] for name in names})
        hours = gone[RECEIVED_HOUR].unique().to_list()
        held = scan_table(delta, {RECEIVED_HOUR: hours}, schema).select(
            pl.coalesce("correction_id", "event_id").alias("event_id"), RECEIVED_HOUR
        )
        still = held.join(gone.lazy(), on=["event_id", RECEIVED_HOUR], how="semi").collect()
        return set(still[RECEIVED_HOUR])

    def _superseded_otherwise(
        self, source: str, hour: str, named: pl.DataFrame, holding: pl.DataFrame
    ) -> set[str]:
        """Return hours that say of an event that another correction holds, or one that does not."""
        said = (
            self._rows(SUPERSEDED, source)
            .filter(pl.col("fate") != DELETION, pl.col(RECEIVED_HOUR) != hour)
            .join(named, on="corrected_event_id", how="semi")
        )
        true = holding.select("corrected_event_id", "correction_id")
        other = said.join(true, on=["corrected_event_id", "correction_id"], how="anti")
        return set(other[RECEIVED_HOUR])

    def _rows(self, table: Table, source: str, first: str = "") -> pl.DataFrame:
        held = self._sizes(table).filter(
            pl.col(SOURCE) == source, pl.col(RECEIVED_HOUR) >= first, pl.col("rows") > 0
        )
        if held.is_empty():
            return table.schema.to_frame()
        where = {SOURCE: source, RECEIVED_HOUR: held[RECEIVED_HOUR].to_list()}
        return scan_table(self._open[table.path], where, table.schema).collect()

    def _held(self, table: Table, sources: list[str], hour: str) -> bool:
        """Tell whether an hour has rows; about corrections, as far as this process has looked."""
        if not self._corrected(sources, look=False):
            return False
        sizes = self._sizes(table, look=table is not CORRECTIONS)
        held = sizes.filter(pl.col(SOURCE).is_in(sources), pl.col(RECEIVED_HOUR) == hour)
        return bool(held["rows"].sum())

    def _corrected(self, sources: list[str], *, look: bool) -> bool:
        """Tell whether any of the sources ever had a correction: without one, nothing is held."""
        sizes = self._sizes(CORRECTIONS, look=look)
        return bool(sizes.filter(pl.col(SOURCE).is_in(sources))["rows"].sum())

    def _sizes(self, table: Table, *, look: bool = True) -> pl.DataFrame:
        """Return the rows of each partition; without a look, as of the last one."""
        if table.path not in self._open:
            self._open[table.path] = ensure_table(self._settings, table)
        elif look:
            self._open[table.path].update_incremental()
        return partition_sizes(self._open[table.path])


def waiting(corrections: pl.DataFrame, hour: str, events: pl.Series) -> set[str]:
    """Return later hours with a correction that had not found its event, which is here.

    Args:
        corrections: Rows of `tables.CORRECTIONS`.
        hour: The hour of the events.
        events: Ids of its events, corrections not among them.
    """
    found = corrections.filter(
        pl.col("outcome") == UNKNOWN,
        pl.col(RECEIVED_HOUR) > hour,
        pl.col("corrected_event_id").is_in(events.implode()),
    )
    return set(found[RECEIVED_HOUR])


def _versions(corrections: pl.DataFrame, landed: pl.DataFrame) -> pl.DataFrame:
    """Return what landed of the corrected events: themselves and the replacements that count."""
    events = landed.select(
        "event_id",
        pl.col("event_id").alias("corrected_event_id"),
        RECEIVED_HOUR,
        pl.lit(value=False).alias("is_correction"),
    )
    counted = corrections.filter(pl.col("outcome") == APPLIED).select(
        pl.col("correction_id").alias("event_id"),
        "corrected_event_id",
        RECEIVED_HOUR,
        pl.lit(value=True).alias("is_correction"),
    )
    return pl.concat([_VERSION.to_frame(), events, counted])
