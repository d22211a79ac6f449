"""The columns that a contract gives to each layer, and how a payload becomes columns."""

from __future__ import annotations

import polars as pl

from telemetry_contracts.contract import (
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

_PROVENANCE = {
    SHAPE_KEY: ("shape", pl.String),
    FILE_KEY: ("source_file", pl.String),
    ROW_KEY: ("source_row", pl.Int64),
    EXTRAS_KEY: ("extras", pl.String),
}


def payload_dtype(contract: Contract) -> pl.Struct:
    """Return the dtype of a landed payload: flat, canonical names, provenance keys."""
    fields: dict[str, pl.DataType | type[pl.DataType]] = {
        column.name: pl.Int64
        if column.logical_type is LogicalType.TIMESTAMP
        else DTYPES[column.logical_type]
        for column in contract.sent_columns
    }
    fields |= {key: dtype for key, (_, dtype) in _PROVENANCE.items()}
    return pl.Struct(fields)


def bronze_schema(contract: Contract) -> pl.Schema:
    """Return bronze's columns: common ones, then those that devices send."""
    sent = {column.name: DTYPES[column.logical_type] for column in contract.sent_columns}
    return pl.Schema(COMMON_COLUMNS | sent)


def silver_schema(contract: Contract) -> pl.Schema:
    """Return silver's columns: common ones, then sent and derived ones in contract order."""
    columns = {column.name: _silver_dtype(column) for column in contract.columns}
    return pl.Schema(COMMON_COLUMNS | columns)


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
        One row for each landed row, in the same order, with `bronze_schema`.
    """
    renames = {key: name for key, (name, _) in _PROVENANCE.items()}
    decoded = landed.with_columns(
        pl.col("payload").str.json_decode(payload_dtype(contract))
    ).unnest("payload")
    times = [c.name for c in contract.sent_columns if c.logical_type is LogicalType.TIMESTAMP]
    return (
        decoded.rename(renames)
        .with_columns(pl.col(times).cast(UTC_TIME))
        .select(list(bronze_schema(contract)))
    )
