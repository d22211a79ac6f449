"""Converts one column of a CSV file by one field of a contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from telemetry_contracts.contract import Field, FieldPath, LogicalType
from telemetry_contracts.conversions import EARLIEST, LATEST, MAX_TEXT, Unreadable, converter
from telemetry_contracts.csv_log import Failure
from telemetry_contracts.csv_text import ROW
from telemetry_contracts.frames import DTYPES, UTC_TIME
from telemetry_contracts.units import IDENTITY, conversion

if TYPE_CHECKING:
    from telemetry_contracts.tokens import KeyRing

_FAST_TIMES = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.fZ")


def convert_column(
    raw: pl.DataFrame, field: Field, path: FieldPath, keyring: KeyRing
) -> tuple[pl.Series, list[Failure]]:
    """Convert the column of `raw` that `path` names.

    Returns:
        The values, null where nothing stands or what stands cannot be read; and why it cannot.
    """
    name = path.path[0]
    text = raw[name].str.strip_chars()
    text = text.set(text == "", None)
    fast = _fast(text, field, path)
    left = pl.DataFrame({ROW: raw[ROW], "value": text}).filter(fast.is_null() & text.is_not_null())
    convert = converter(field, path, keyring)
    found: dict[int, Any] = {}
    failed: list[Failure] = []
    for row, value in left.iter_rows():
        try:
            found[row] = convert(value)
        except Unreadable as error:
            failed.append((row, name, error.rule, value, error.message))
    if found:
        slow = pl.Series([found.get(row) for row in raw[ROW]], strict=False)
        fast = fast.zip_with(fast.is_not_null(), _as_dtype(slow, field))
    return fast, failed


def _fast(text: pl.Series, field: Field, path: FieldPath) -> pl.Series:
    """Convert what can be converted a column at a time; null is left to the edge's converter."""
    frame = text.to_frame("text").lazy()
    value = pl.col("text")
    match field.logical_type:
        case LogicalType.NUMBER:
            change = conversion(path.unit, field.unit)
            value = value.cast(pl.Float64, strict=False)
            value = value if change == IDENTITY else value * change.factor + change.offset
            value = pl.when(value.is_finite()).then(value)
        case LogicalType.INTEGER:
            value = value.cast(pl.Int64, strict=False)
        case LogicalType.TIMESTAMP:
            value = _fast_time(path.time_format)
        case LogicalType.BOOLEAN:
            value = pl.lit(None, pl.Boolean)
        case LogicalType.STRING:
            plain = not (field.restricted or path.prefix)
            sound = (value.str.len_chars() <= MAX_TEXT) & ~value.str.contains("\x00", literal=True)
            value = pl.when(sound).then(value) if plain else pl.lit(None, pl.String)
    return frame.with_columns(value.alias(field.name)).collect()[field.name]


def _fast_time(time_format: str) -> pl.Expr:
    value = pl.col("text")
    if time_format.startswith("epoch"):
        return pl.lit(None, UTC_TIME)
    formats = _FAST_TIMES if time_format == "iso8601" else (time_format,)
    parsed = [value.str.to_datetime(fmt, time_unit="us", strict=False) for fmt in formats]
    moment = pl.coalesce(one.dt.replace_time_zone("UTC") for one in parsed)
    return pl.when((moment >= EARLIEST) & (moment < LATEST)).then(moment)


def _as_dtype(values: pl.Series, field: Field) -> pl.Series:
    if field.logical_type is LogicalType.TIMESTAMP:
        return values.cast(pl.Int64).cast(UTC_TIME)
    return values.cast(DTYPES[field.logical_type])
