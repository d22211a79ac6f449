"""Reads and writes the partitions of landing, bronze, silver and gold.

Decides nothing: what rows mean is in `refining` and `aggregating`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from telemetry_assets.lakehouse.accounting import account, count_accepted
from telemetry_assets.lakehouse.aggregating import required_columns
from telemetry_assets.lakehouse.arrivals import earlier_arrivals, hours_before, later_hours
from telemetry_assets.lakehouse.correcting import Elsewhere
from telemetry_assets.lakehouse.correction_hours import corrected_otherwise, elsewhere
from telemetry_assets.lakehouse.correction_log import CorrectionLog
from telemetry_assets.lakehouse.hourly_tables import ROWS_KEPT, HourlyTables
from telemetry_assets.lakehouse.reference import DeviceRegistry
from telemetry_assets.lakehouse.refining import Refined, refine
from telemetry_assets.lakehouse.tables import (
    CORRECTIONS,
    SUPERSEDED,
    bronze_table,
    silver_table,
)
from telemetry_contracts.frames import parse_payload
from telemetry_platform.delta import (
    Partition,
    ensure_table,
    partition_sizes,
    replace_partition,
    scan_table,
)
from telemetry_platform.layout import (
    LANDING_EVENTS,
    RECEIVED_HOUR,
    SOURCE,
    landing_input,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deltalake import DeltaTable

    from telemetry_contracts.contract import Contract
    from telemetry_contracts.registry import Registry
    from telemetry_platform.settings import Settings


@dataclass(frozen=True)
class Bronze:
    """One written bronze partition: its rows, and the versions of both tables."""

    rows: pl.DataFrame
    version: int
    landing_version: int


class Lake(HourlyTables):
    """What becomes of the events of one bucket, by source and arrival hour."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        super().__init__(settings)
        self.registry = registry
        self._refined: dict[tuple[str, str, int], Refined] = {}
        self._earlier: dict[tuple[str, str], tuple[pl.DataFrame, pl.DataFrame]] = {}
        self._before: dict[tuple[str, str], pl.DataFrame] = {}
        self._elsewhere: dict[tuple[str, str], Elsewhere] = {}
        self._corrections = CorrectionLog(settings)
        self._landing: DeltaTable | None = None
        self._accepted: dict[tuple[str, str, int], int] = {}
        self._devices = DeviceRegistry(settings)

    def build_bronze(self, source: str, hour: str) -> Bronze:
        """Derive bronze of one hour from landing; see `build_bronze_hours`."""
        return self.build_bronze_hours(source, [hour])[hour]

    def build_bronze_hours(self, source: str, hours: Sequence[str]) -> dict[str, Bronze]:
        """Derive bronze of these hours from landing, in one commit.

        The landing version that was read is noted in bronze's log: an open hour goes on growing,
        and the ledger must count what bronze saw.
        """
        table = bronze_table(self.registry[source])
        landing = self._landing_table()
        noted = landing.version()
        where: Partition = {SOURCE: source, RECEIVED_HOUR: list(hours)}
        landed = scan_table(landing, where, LANDING_EVENTS.schema).collect()
        sizes = dict(partition_sizes(landing).filter(pl.col(SOURCE) == source).drop(SOURCE).rows())
        here = pl.col(RECEIVED_HOUR)
        rows = {
            hour: parse_payload(
                landed if len(hours) == 1 else landed.filter(here == hour), self.registry[source]
            )
            for hour in hours
        }
        inputs = {landing_input(source, hour): noted for hour in hours}
        part: Partition = {RECEIVED_HOUR: list(hours)}
        whole = pl.concat(rows.values())
        version = replace_partition(self.settings, table, whole, part, inputs)
        for hour, bronze in rows.items():
            self._accepted[source, hour, noted] = sizes.get(hour, 0)
            self.keep(table, hour, version, bronze)
        return {hour: Bronze(bronze, version, noted) for hour, bronze in rows.items()}

    def groups(self, hours: Sequence[str]) -> list[list[str]]:
        """Return hours in groups that can be refined together: of few rows, or of one hour."""
        if len(hours) == 1:
            return [list(hours)]
        sizes = partition_sizes(self._landing_table()).group_by(RECEIVED_HOUR)
        landed = dict(sizes.agg(pl.col("rows").sum()).rows())
        found: list[list[str]] = []
        held = ROWS_KEPT
        for hour in hours:
            held += landed.get(hour, 0)
            if held >= ROWS_KEPT:
                found.append([])
                held = landed.get(hour, 0)
            found[-1].append(hour)
        return found

    def look_back(self, source: str, hours: Sequence[str]) -> None:
        """Read once what arrived before these hours, for `refined`; their windows overlap."""
        contract, landing = self.registry[source], self._landing_table()
        before = {hour: hours_before(landing, contract, hour) for hour in hours}
        ids = [self.columns(bronze_table(contract), hour, ["event_id"]) for hour in hours]
        window = pl.concat(before.values()).unique(RECEIVED_HOUR)
        found = earlier_arrivals(landing, contract, window, pl.concat(ids)["event_id"])
        self._earlier = {
            (source, hour): (
                there,
                found.filter(pl.col(RECEIVED_HOUR).is_in(there[RECEIVED_HOUR].implode())),
            )
            for hour, there in before.items()
        }

    def refined(self, source: str, hour: str) -> Refined:
        """Split one bronze partition; the same version is split once in a process."""
        contract = self.registry[source]
        table = bronze_table(contract)
        key = (source, hour, self.written_version(table, hour))
        if key not in self._refined:
            bronze = self.read(table, hour)
            if (source, hour) not in self._earlier:
                self.look_back(source, [hour])
            before, earlier = self._earlier.pop((source, hour))
            noted = self._noted(source, hour)
            self._before[source, hour] = before
            self._forget_refined(hour)
            elsewhere = self._known_elsewhere(source, hour, bronze)
            self._elsewhere[source, hour] = elsewhere
            devices = self._known(contract)
            self._refined[key] = refine(bronze, earlier, contract, devices, noted, elsewhere)
        return self._refined[key]

    def _forget_refined(self, hour: str) -> None:
        """Let go of splits of other hours, the oldest first, until little is held."""
        others = [key for key in self._refined if key[1] != hour]
        held = sum(self._refined[key].silver.height for key in others)
        for key in others:
            if held <= ROWS_KEPT:
                break
            held -= self._refined.pop(key).silver.height

    def rehearsed(self, source: str, hour: str) -> Refined:
        """Split what has landed in one hour by today's contract, and write nothing."""
        contract = self.registry[source]
        landing = self._landing_table()
        where: Partition = {SOURCE: source, RECEIVED_HOUR: hour}
        landed = scan_table(landing, where, LANDING_EVENTS.schema).collect()
        bronze = parse_payload(landed, contract)
        before = hours_before(landing, contract, hour)
        earlier = earlier_arrivals(landing, contract, before, bronze["event_id"])
        elsewhere = self._known_elsewhere(source, hour, bronze)
        devices = self._known(contract)
        return refine(bronze, earlier, contract, devices, landing.version(), elsewhere)

    def write_superseded(self, hour: str, sources: list[str]) -> tuple[pl.DataFrame, int | None]:
        """Replace the hour of `silver/superseded`; returns its rows and the version, if any.

        Corrections are rare: an hour without any is not written.
        """
        frames = [self.refined(source, hour).superseded for source in sources]
        rows = self.together(SUPERSEDED, frames)
        version = self._corrections.replace(SUPERSEDED, rows, hour, sources)
        self.keep(SUPERSEDED, hour, version or 0, rows, sources)
        return rows, version

    def write_corrections(self, source: str, hour: str) -> None:
        """Replace what the corrections of an hour came to.

        Do so before `overtaken` is asked, and before earlier hours are refined: these follow then.
        """
        rows = self.refined(source, hour).corrections
        self._corrections.replace(CORRECTIONS, rows, hour, [source])

    def overtaken(self, source: str, hour: str) -> list[str]:
        """Return the hours whose silver is out of date by what has landed in other hours.

        It keeps an event of which a copy arrived earlier, or does not follow a correction. Events
        join an hour that is over when a spool drains or refused ones are put right, and later hours
        were refined without them; a correction is about hours that are over. Call this once silver
        of `hour` and its corrections are written: `hour` itself is among the hours when another
        one grew meanwhile.
        """
        return self.overtaken_hours(source, [hour])[hour]

    def overtaken_hours(self, source: str, hours: Sequence[str]) -> dict[str, list[str]]:
        """Return, for each of these hours, what `overtaken` returns."""
        contract, landing = self.registry[source], self._landing_table()
        table = bronze_table(contract)
        bronze = {hour: self.columns(table, hour, ["event_id", "corrects"]) for hour in hours}
        ids = {hour: rows["event_id"] for hour, rows in bronze.items()}
        copied = later_hours(self.settings, contract, ids)
        found = {hour: {*others} for hour, others in copied.items()}
        self._corrections.look()
        for hour in hours:
            relied_on = self._elsewhere.get((source, hour), Elsewhere())
            found[hour] |= corrected_otherwise(
                self._corrections, contract, hour, bronze[hour], relied_on
            )
            before = hours_before(landing, contract, hour)
            if not before.equals(self._before.get((source, hour), before.clear())):
                kept = self.silver(source, hour, ["event_id", "correction_id"])
                ours = kept.filter(pl.col("correction_id").is_null())["event_id"]
                if not earlier_arrivals(landing, contract, before, ours).is_empty():
                    found[hour].add(hour)
        return {hour: sorted(others) for hour, others in found.items()}

    def silver(self, source: str, hour: str, columns: list[str] | None = None) -> pl.DataFrame:
        """Return silver rows of one hour, all columns or some."""
        table = silver_table(self.registry[source])
        return self.columns(table, hour, columns or list(table.schema))

    def gold_input(self, source: str, hour: str) -> pl.DataFrame:
        """Return the silver columns that gold reads."""
        return self.silver(source, hour, required_columns(self.registry[source]))

    def rule_outcomes(self, source: str, hour: str) -> pl.DataFrame:
        """Return what each rule checked and failed; columns of `tables.RULE_OUTCOMES`."""
        return self.refined(source, hour).outcomes.with_columns(
            pl.lit(source).alias(SOURCE), pl.lit(hour).alias(RECEIVED_HOUR)
        )

    def ledger(
        self, source: str, hour: str, made: Mapping[str, pl.DataFrame] | None = None
    ) -> pl.DataFrame:
        """Count what became of the accepted events of one source and hour.

        Each figure is read from its own table, so that a row lost between two layers shows; `made`
        has the rows, by path, of tables that are being written with the ledger.
        """
        contract = self.registry[source]
        accepted = self._count_accepted(source, hour)
        superseded = self._corrections.superseded(source, hour)
        return account(self, contract, hour, (accepted, superseded), made or {})

    def _noted(self, source: str, hour: str) -> int | None:
        """Return the landing version that bronze was derived from."""
        here = [noted for *of, noted in self._accepted if of == [source, hour]]
        return here[-1] if here else self._noted_in_log(source, hour)

    def _noted_in_log(self, source: str, hour: str) -> int | None:
        bronze = self.opened(bronze_table(self.registry[source]).path)
        return None if bronze is None else bronze.transaction_version(landing_input(source, hour))

    def _count_accepted(self, source: str, hour: str) -> int:
        """Count what had landed when bronze was derived."""
        noted = self._noted_in_log(source, hour)
        if noted is not None and (source, hour, noted) in self._accepted:
            return self._accepted[source, hour, noted]
        return count_accepted(self.settings, source, hour, noted)

    def _known_elsewhere(self, source: str, hour: str, bronze: pl.DataFrame) -> Elsewhere:
        """Return what other hours know that decides about corrections in this one."""
        return elsewhere(self._corrections, self._landing_table, source, hour, bronze)

    def _known(self, contract: Contract) -> pl.DataFrame | None:
        """Return the registered devices when the contract asks for them."""
        return self._devices.current() if contract.asks_registry else None

    def _landing_table(self) -> DeltaTable:
        """Return landing as it is now; reopening it would read its log again."""
        if self._landing is None:
            self._landing = ensure_table(self.settings, LANDING_EVENTS)
        else:
            self._landing.update_incremental()
        return self._landing
