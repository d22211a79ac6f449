"""The Postgres tables that gold and silver are loaded into, and their DDL.

Tables of events are partitioned by day of arrival, so that a day can be dropped whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from telemetry_assets.lakehouse import registered
from telemetry_assets.lakehouse.tables import (
    DEVICE_PROFILES,
    DUPLICATES,
    HOUR_PARTIALS,
    LEDGER,
    METRIC_PARTIALS,
    QUARANTINE,
    QUARANTINE_REPLAYS,
    RULE_OUTCOMES,
    SUPERSEDED,
)
from telemetry_contracts.contract import Contract
from telemetry_contracts.frames import UTC_TIME, WALL_TIME, silver_schema
from telemetry_contracts.registry import Registry
from telemetry_platform.layout import (
    LANDING_FILE_ERRORS,
    LANDING_FILES,
    LANDING_REJECTED,
    RECEIVED_HOUR,
    SOURCE,
)

SCHEMA = "warehouse"

_SQL_TYPES: dict[type[pl.DataType], str] = {
    pl.String: "text",
    pl.Float64: "double precision",
    pl.Int64: "bigint",
    pl.Int32: "integer",
    pl.Boolean: "boolean",
    pl.Datetime: "timestamptz",
    pl.List: "text[]",
}
_REQUIRED = frozenset(
    {SOURCE, RECEIVED_HOUR, "device_id", "event_time", "metric", "event_minute", "event_hour", "n"}
)
_NULLABLE_HERE = {"quarantine", "rejected", "files", "file_errors", "superseded"}


@dataclass(frozen=True)
class Index:
    """An index of a warehouse table; `where` makes it a partial one."""

    columns: str
    where: str = ""
    unique: bool = False
    method: str = "btree"


_BY_HOUR = Index(RECEIVED_HOUR)
_BY_HOUR_WRITTEN = Index(RECEIVED_HOUR, method="brin")
"""For large tables: a tenth of a B-tree's cost for each row. An hour lies together as written."""


@dataclass(frozen=True)
class WarehouseTable:
    """A table of schema `warehouse`.

    Attributes:
        name: Name without the schema.
        columns: Polars types by column; `received_hour` is a timestamp here.
        json: Text columns that are stored as jsonb.
        indexes: Column lists to index, beside `received_hour`.
        by_day: Whether the table is partitioned by day of arrival. Tables that are searched by
            other keys are not: each search would try every day.
        key: Columns that tell a row of an arrival hour from its others. Only the rows that changed
            are then written; without a key the hour is written whole.
        tombstones: Whether a key that vanished is kept with n = 0, so that the marts can find what
            it had touched.
    """

    name: str
    columns: dict[str, pl.DataType | type[pl.DataType]]
    json: tuple[str, ...] = ()
    indexes: tuple[Index, ...] = ()
    key: tuple[str, ...] = ()
    tombstones: bool = False
    by_day: bool = True

    @property
    def qualified(self) -> str:
        """Name with the schema."""
        return f"{SCHEMA}.{self.name}"

    @property
    def searched(self) -> tuple[str, ...]:
        """Columns that have an index, in the order of the indexes."""
        names = [name for index in self.indexes for name in index.columns.split(", ")]
        return tuple(dict.fromkeys(names))

    def ddl(self) -> list[str]:
        """Return statements that create the table and its indexes where they are missing."""
        columns = ", ".join(self._column(name, dtype) for name, dtype in self.columns.items())
        tail = f" PARTITION BY RANGE ({RECEIVED_HOUR})" if self.by_day else ""
        statements = [f"CREATE TABLE IF NOT EXISTS {self.qualified} ({columns}){tail}"]
        return statements + [self._index(index) for index in self.indexes]

    def column_ddl(self, name: str) -> str:
        """Return the statement that adds a column to a table that was created without it."""
        column = self._column(name, self.columns[name])
        return f"ALTER TABLE {self.qualified} ADD COLUMN IF NOT EXISTS {column}"

    def _column(self, name: str, dtype: pl.DataType | type[pl.DataType]) -> str:
        sql = "jsonb" if name in self.json else _SQL_TYPES[dtype.base_type()]
        if dtype == WALL_TIME:
            sql = "timestamp"
        required = name in _REQUIRED and self.name not in _NULLABLE_HERE
        return f"{name} {sql}{' NOT NULL' if required else ''}"

    def _index(self, index: Index) -> str:
        name = f"{self.name}_by_{index.columns.replace(', ', '_')}"[:63]
        unique = "UNIQUE " if index.unique else ""
        where = f" WHERE {index.where}" if index.where else ""
        # Otherwise what was written since the last vacuum is read whole for each hour.
        kept = " WITH (autosummarize = on)" if index.method == "brin" else ""
        return (
            f"CREATE {unique}INDEX IF NOT EXISTS {name} "
            f"ON {self.qualified} USING {index.method} ({index.columns}){kept}{where}"
        )


def event_table(contract: Contract) -> WarehouseTable:
    """Return the table of one source's silver events.

    Nothing looks for one event here: `marts.fct_events` has those of built-in sources by id.
    """
    sessions = any(column.name == "session_id" for column in contract.columns)
    by_session = (Index("session_id", "session_id IS NOT NULL"),) if sessions else ()
    return WarehouseTable(
        contract.source,
        _loaded(dict(silver_schema(contract))),
        indexes=(_BY_HOUR_WRITTEN, *by_session),
        key=("event_id",),
    )


def _loaded(
    columns: dict[str, pl.DataType | type[pl.DataType]],
) -> dict[str, pl.DataType | type[pl.DataType]]:
    """Return a Delta table's columns as they are loaded: the hour as its first moment."""
    return {**columns, RECEIVED_HOUR: UTC_TIME}


PARTIALS = WarehouseTable(
    "metric_partials",
    _loaded(METRIC_PARTIALS.columns),
    indexes=(
        # The largest table by far, so its indexes are small. Nothing but a load writes it, which
        # writes a key of an hour once.
        Index("device_id, event_minute"),
        _BY_HOUR_WRITTEN,
    ),
    key=(SOURCE, "device_id", "source_file", "metric", "event_minute"),
    by_day=False,
)
HOURS = WarehouseTable(
    "hour_partials",
    _loaded(HOUR_PARTIALS.columns),
    indexes=(
        Index(
            f"{SOURCE}, device_id, metric, event_hour, {RECEIVED_HOUR}, source_file", unique=True
        ),
        _BY_HOUR,
        Index(f"source_file, {SOURCE}, device_id, metric", "source_file <> ''"),
    ),
    key=(SOURCE, "device_id", "source_file", "metric", "event_hour"),
    tombstones=True,
    by_day=False,
)
PROFILES = WarehouseTable(
    "device_profiles",
    _loaded(DEVICE_PROFILES.columns),
    json=("attributes",),
    indexes=(
        Index(f"{SOURCE}, device_id"),
        Index(f"{RECEIVED_HOUR}, {SOURCE}, device_id"),
    ),
    by_day=False,
)
QUARANTINED = WarehouseTable(
    "quarantine",
    _loaded(QUARANTINE.columns),
    json=("reasons",),
    indexes=(_BY_HOUR, Index("event_id")),
)
DUPLICATED = WarehouseTable(
    "duplicates", _loaded(DUPLICATES.columns), indexes=(_BY_HOUR, Index("event_id"))
)
SUPERSEDED_EVENTS = WarehouseTable(
    "superseded",
    _loaded(SUPERSEDED.columns),
    indexes=(_BY_HOUR, Index("event_id"), Index("corrected_event_id"), Index("correction_id")),
)
REJECTED = WarehouseTable(
    "rejected",
    _loaded(
        {
            name: dtype
            for name, dtype in LANDING_REJECTED.columns.items()
            if name not in ("body_sealed", "violations")
        }
    ),
    indexes=(_BY_HOUR, Index("receipt_id")),
)
FILES = WarehouseTable("files", _loaded(LANDING_FILES.columns), indexes=(_BY_HOUR, Index("file")))
FILE_ERRORS = WarehouseTable(
    "file_errors",
    _loaded(LANDING_FILE_ERRORS.columns),
    indexes=(_BY_HOUR, Index("file"), Index("receipt_id")),
)
LEDGERS = WarehouseTable(
    "ledger", _loaded(LEDGER.columns), indexes=(Index(f"{RECEIVED_HOUR}, {SOURCE}", unique=True),)
)
OUTCOMES = WarehouseTable("rule_outcomes", _loaded(RULE_OUTCOMES.columns), indexes=(_BY_HOUR,))

DEVICES = WarehouseTable(
    "devices",
    dict(registered.DEVICES),
    by_day=False,
)
USERS = WarehouseTable(
    "users",
    {"user_id": pl.String, "birth_year": pl.Int32, "sex": pl.String},
    by_day=False,
)
QUARANTINE_ATTEMPTS = WarehouseTable(
    "quarantine_replays", _loaded(QUARANTINE_REPLAYS.columns), by_day=False
)
"""Replaced whole by each replay, like a registry."""

HOURLY = (
    *(PARTIALS, HOURS, PROFILES, QUARANTINED, DUPLICATED, SUPERSEDED_EVENTS),
    *(REJECTED, FILES, FILE_ERRORS, LEDGERS, OUTCOMES),
)
REGISTRIES = (DEVICES, USERS)
REPLACED_WHOLE = (*REGISTRIES, QUARANTINE_ATTEMPTS)


def all_tables(registry: Registry) -> tuple[WarehouseTable, ...]:
    """Return every table of the warehouse."""
    events = tuple(event_table(contract) for contract in registry.values())
    return (*events, *HOURLY, *REPLACED_WHOLE)
