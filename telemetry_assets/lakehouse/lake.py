"""Reads and writes the partitions of landing, bronze, silver and gold.

Decides nothing: what rows mean is in `refining` and `aggregating`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl
from deltalake.exceptions import DeltaError

from telemetry_assets.lakehouse.aggregating import required_columns
from telemetry_assets.lakehouse.refining import Refined, refine
from telemetry_assets.lakehouse.tables import (
    DUPLICATES,
    LEDGER,
    QUARANTINE,
    bronze_table,
    silver_table,
)
from telemetry_contracts.frames import parse_payload
from telemetry_platform.clock import HOUR, hour_key, hour_start, utc_now
from telemetry_platform.delta import (
    Partition,
    ensure_table,
    input_version,
    open_table,
    replace_partition,
    scan_partition,
)
from telemetry_platform.layout import LANDING_EVENTS, RECEIVED_HOUR, SOURCE, Table

if TYPE_CHECKING:
    from telemetry_contracts.contract import Contract
    from telemetry_contracts.registry import Registry
    from telemetry_platform.settings import Settings

_ARRIVAL_COLUMNS = ("event_id", "receipt_id", "received_at")


@dataclass(frozen=True)
class Bronze:
    """One written bronze partition: its rows, and the versions of both tables."""

    rows: pl.DataFrame
    version: int
    landing_version: int


class Lake:
    """The Delta tables of one bucket, by arrival hour.

    Hours are partition keys such as `2026-11-22T14` (UTC). Writing a partition replaces it whole,
    in one commit.
    """

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self.settings = settings
        self.registry = registry
        self._refined: dict[tuple[str, str, int], Refined] = {}
        self._gold_inputs: dict[tuple[str, str, int], pl.DataFrame] = {}

    def landed_count(self, source: str, hour: str, version: int | None = None) -> int:
        """Return how many events of one source landed in one hour, as of a table version."""
        where: Partition = {SOURCE: source, RECEIVED_HOUR: hour}
        schema = pl.Schema({"receipt_id": pl.String})
        rows = scan_partition(self.settings, LANDING_EVENTS.path, where, schema, version)
        return rows.select(pl.len()).collect().item()

    def read(self, table: Table, hour: str, sources: list[str] | None = None) -> pl.DataFrame:
        """Return one hour of `table`, of all sources or of some."""
        return self.scan(table, hour, sources).collect()

    def scan(self, table: Table, hour: str, sources: list[str] | None = None) -> pl.LazyFrame:
        """Return one hour of `table` as a lazy frame."""
        where: Partition = {RECEIVED_HOUR: hour}
        if sources is not None and SOURCE in table.partition_by:
            where[SOURCE] = sources
        return scan_partition(self.settings, table.path, where, table.schema)

    def write(
        self, table: Table, frame: pl.DataFrame, hour: str, sources: list[str] | None = None
    ) -> int:
        """Replace one hour of `table`; returns the table's new version."""
        where: Partition = {RECEIVED_HOUR: hour}
        if sources is not None and SOURCE in table.partition_by:
            where[SOURCE] = sources
        return replace_partition(self.settings, table, frame, where)

    def build_bronze(self, source: str, hour: str) -> Bronze:
        """Derive bronze of one hour from landing.

        The landing version that was read is noted in bronze's log: an open hour goes on growing,
        and the ledger must count what bronze saw.
        """
        contract = self.registry[source]
        delta = ensure_table(self.settings, LANDING_EVENTS)
        where: Partition = {SOURCE: source, RECEIVED_HOUR: hour}
        landing_version = delta.version()
        landed = scan_partition(
            self.settings, LANDING_EVENTS.path, where, LANDING_EVENTS.schema, landing_version
        ).collect()
        bronze = parse_payload(landed, contract)
        table = bronze_table(contract)
        inputs = {_landing_input(source, hour): landing_version}
        version = replace_partition(self.settings, table, bronze, {RECEIVED_HOUR: hour}, inputs)
        return Bronze(bronze, version, landing_version)

    def refined(self, source: str, hour: str) -> Refined:
        """Split one bronze partition; the same version is split once in a process."""
        contract = self.registry[source]
        table = bronze_table(contract)
        delta = open_table(self.settings, table.path)
        key = (source, hour, delta.version() if delta else -1)
        if key not in self._refined:
            bronze = self.read(table, hour)
            earlier = self._earlier_arrivals(contract, hour, bronze["event_id"])
            self._refined = {kept: v for kept, v in self._refined.items() if kept[1] == hour}
            self._refined[key] = refine(bronze, earlier, contract)
        return self._refined[key]

    def silver(self, source: str, hour: str, columns: list[str] | None = None) -> pl.DataFrame:
        """Return silver rows of one hour, all columns or some."""
        frame = self.scan(silver_table(self.registry[source]), hour)
        return (frame.select(columns) if columns else frame).collect()

    def gold_input(self, source: str, hour: str) -> pl.DataFrame:
        """Return the silver columns that gold reads; those of the last hour are kept."""
        delta = open_table(self.settings, silver_table(self.registry[source]).path)
        key = (source, hour, delta.version() if delta else -1)
        if key not in self._gold_inputs:
            columns = required_columns(self.registry[source])
            self._gold_inputs = {
                kept: v for kept, v in self._gold_inputs.items() if kept[1] == hour
            }
            self._gold_inputs[key] = self.silver(source, hour, columns)
        return self._gold_inputs[key]

    def rule_outcomes(self, source: str, hour: str) -> pl.DataFrame:
        """Return what each rule checked and failed; columns of `tables.RULE_OUTCOMES`."""
        return self.refined(source, hour).outcomes.with_columns(
            pl.lit(source).alias(SOURCE), pl.lit(hour).alias(RECEIVED_HOUR)
        )

    @staticmethod
    def together(table: Table, frames: list[pl.DataFrame]) -> pl.DataFrame:
        """Return frames of one table as one, also when there is none."""
        columns = list(table.schema)
        return pl.concat([table.schema.to_frame(), *(frame.select(columns) for frame in frames)])

    def ledger(self, source: str, hour: str) -> pl.DataFrame:
        """Count what became of the accepted events of one source and hour.

        Each figure is read from its own table, so that a row lost between two layers shows.
        """
        silver = self.scan(silver_table(self.registry[source]), hour)
        counts = {
            "silver": silver,
            "quarantined": self.scan(QUARANTINE, hour, [source]),
            "duplicates": self.scan(DUPLICATES, hour, [source]),
        }
        row = {
            SOURCE: source,
            RECEIVED_HOUR: hour,
            "accepted": self._accepted(source, hour),
            "erased": 0,
            "refined_at": utc_now(),
        }
        row |= {name: rows.select(pl.len()).collect().item() for name, rows in counts.items()}
        return pl.DataFrame([row], schema=LEDGER.schema)

    def _accepted(self, source: str, hour: str) -> int:
        """Count what had landed when bronze was derived; all of it once that log is cleaned up."""
        noted = input_version(
            self.settings,
            bronze_table(self.registry[source]).path,
            _landing_input(source, hour),
        )
        try:
            return self.landed_count(source, hour, noted)
        except DeltaError:
            return self.landed_count(source, hour)

    def _earlier_arrivals(self, contract: Contract, hour: str, ids: pl.Series) -> pl.DataFrame:
        """Return earlier landed events of the dedup window that share an id with this hour."""
        schema = pl.Schema({name: LANDING_EVENTS.schema[name] for name in _ARRIVAL_COLUMNS})
        hours = _hours_before(hour, contract.dedup_window)
        where: Partition = {SOURCE: contract.source}
        delta = open_table(self.settings, LANDING_EVENTS.path)
        if delta is None or ids.is_empty():
            return schema.to_frame()
        rows = scan_partition(
            self.settings,
            LANDING_EVENTS.path,
            where,
            pl.Schema({**schema, RECEIVED_HOUR: pl.String}),
        )
        return (
            rows.filter(
                pl.col(RECEIVED_HOUR) >= pl.lit(hours[0]), pl.col(RECEIVED_HOUR) < pl.lit(hours[1])
            )
            .join(pl.LazyFrame({"event_id": ids.unique()}), on="event_id", how="semi")
            .select(_ARRIVAL_COLUMNS)
            .collect()
        )


def _landing_input(source: str, hour: str) -> str:
    return f"landing:{source}:{hour}"


def _hours_before(hour: str, window: timedelta) -> tuple[str, str]:
    """Return the first hour of the window and the hour that ends it."""
    start = hour_start(hour)
    return hour_key(start - max(window, HOUR)), hour
