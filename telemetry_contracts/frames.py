"""The columns that a contract gives to each layer, and how a payload becomes columns."""

from __future__ import annotations

import polars as pl

from telemetry_contracts.contract import (
    CORRECTION_KEY,
    CORRECTS_KEY,
    EXTRAS_KEY,
    FILE_KEY,
    ROW_KEY,
    SHAPE_KEY,
    Contract,
    Field,
    LogicalType,
)

UTC_TIME = pl.Datetime("us", "UTC")
WALL_TIME = pl.Datetime("us")
"""What a clock on the wall shows. Only derived fields have it: devices send moments."""

DTYPES: dict[LogicalType, pl.DataType | type[pl.DataType]] = {
    LogicalType.STRING: pl.String,
    LogicalType.NUMBER: pl.Float64,
    LogicalType.INTEGER: pl.Int64,
    LogicalType.BOOLEAN: pl.Boolean,
    LogicalType.TIMESTAMP: UTC_TIME,
}
"""Column types in frames. A payload holds a timestamp as microseconds since 1970 UTC."""

COMMON_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "event_id": pl.String,
    "source": pl.String,
    "device_id": pl.String,
    "event_time": UTC_TIME,
    "received_at": UTC_TIME,
    "received_hour": pl.String,
    "receipt_id": pl.String,
    "contract_version": pl.String,
    "token_key_version": pl.Int32,
    "shape": pl.String,
    "source_file": pl.String,
    "source_row": pl.Int64,
    "extras": pl.String,
}
"""Columns of every event in bronze, silver and the warehouse, before those of its contract."""

_CORRECTING = {"corrects": pl.String, "correction": pl.String}
"""Of bronze: what a correction corrects and how, `replace` or `delete`; null for other events."""

_CORRECTED = {"correction_id": pl.String}
"""Of silver: the correction that brought the row's values; the row has the id of what it replaced.
Null for events that were never corrected."""

_PROVENANCE = {
    SHAPE_KEY: ("shape", pl.String),
    FILE_KEY: ("source_file", pl.String),
    ROW_KEY: ("source_row", pl.Int64),
    EXTRAS_KEY: ("extras", pl.String),
    CORRECTS_KEY: ("corrects", pl.String),
    CORRECTION_KEY: ("correction", pl.String),
}


def payload_dtype(contract: Contract, *, former: bool = False) -> pl.Struct:
    """Return the dtype of a landed payload: flat, canonical names, provenance keys.

    Args:
        contract: The contract to read by.
        former: Whether fields may have the names they had in earlier versions, too.
    """
    fields: dict[str, pl.DataType | type[pl.DataType]] = {
        column.name: pl.Int64
        if column.logical_type is LogicalType.TIMESTAMP
        else DTYPES[column.logical_type]
        for column in contract.sent_columns
    }
    if former:
        fields |= {old: fields[new] for new, names in _former(contract).items() for old in names}
    fields |= {key: dtype for key, (_, dtype) in _PROVENANCE.items()}
    return pl.Struct(fields)


def _former(contract: Contract) -> dict[str, tuple[str, ...]]:
    """Return the synonyms of each sent column, under which it may have landed."""
    taken = {field.name for field in contract.fields}
    found = {
        column.name: tuple(name for name in column.former_names if name not in taken)
        for column in contract.sent_columns
    }
    return {name: names for name, names in found.items() if names}


def bronze_schema(contract: Contract) -> pl.Schema:
    """Return bronze's columns: common ones, those of corrections, then those that devices send."""
    sent = {column.name: DTYPES[column.logical_type] for column in contract.sent_columns}
    return pl.Schema(COMMON_COLUMNS | _CORRECTING | sent)


def silver_schema(contract: Contract) -> pl.Schema:
    """Return silver's columns: common ones, then sent and derived ones in contract order."""
    columns = {column.name: _silver_dtype(column) for column in contract.columns}
    return pl.Schema(COMMON_COLUMNS | _CORRECTED | columns)


def _silver_dtype(column: Field) -> pl.DataType | type[pl.DataType]:
    if column.logical_type is LogicalType.TIMESTAMP and not column.zoned:
        return WALL_TIME
    return DTYPES[column.logical_type]


def parse_payload(landed: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Turn landed rows into bronze rows.

    Args:
        landed: Rows of `landing/events` of this contract's source.
        contract: The contract to read them by.

    Returns:
        One row for each landed row, in the same order, with `bronze_schema`. A field that was
        renamed since has the value that landed under its former name, which is a synonym now.
    """
    former = landed["contract_version"].unique().to_list() != [contract.version]
    renames = {key: name for key, (name, _) in _PROVENANCE.items()}
    decoded = (
        landed.lazy()
        .with_columns(pl.col("payload").str.json_decode(payload_dtype(contract, former=former)))
        .unnest("payload")
    )
    if former:
        decoded = decoded.with_columns(
            pl.coalesce(name, *names) for name, names in _former(contract).items()
        )
    times = [c.name for c in contract.sent_columns if c.logical_type is LogicalType.TIMESTAMP]
    rows = (
        decoded.rename(renames)
        .with_columns(pl.col(times).cast(UTC_TIME))
        .select(list(bronze_schema(contract)))
    )
    # Decoding needs many times the memory of its text: this way it takes a piece of the rows at a
    # time, on all cores.
    return rows.collect(engine="streaming")
