"""Converts one column of a CSV file by one field of a contract, and tells decimal commas."""

from __future__ import annotations

from collections.abc import Sequence
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


_NUMBERS = (LogicalType.NUMBER, LogicalType.INTEGER)
_COMMA = r"^\s*[+-]?\d*,\d+\s*$"
_POINT = r"^\s*[+-]?\d*\.\d"
# What no thousands are written like: `1,5`, `0,125`, `1013,250`.
_FRACTION = r"^\s*[+-]?(?:0*,\d+|\d+,\d{1,2}|\d+,\d{4,}|\d{4,},\d+)\s*$"
_SWAPPED = {",": ".", ".": ","}


def assume_decimal(
    raw: pl.DataFrame, places: Sequence[tuple[Field, FieldPath]]
) -> tuple[str, tuple[str, ...]]:
    """Tell whether numbers are written with decimal commas.

    They are when some number can only be read so and none has a decimal point. `1,500` alone may
    be thousands.

    Returns:
        `,` or `.`, and what to tell of it.
    """
    names = {path.path[0] for field, path in places if field.logical_type in _NUMBERS}
    commas = [
        raw[name] for name in sorted(names) if raw[name].str.contains(",", literal=True).any()
    ]
    commas = [values for values in commas if values.str.contains(_COMMA).any()]
    if not commas:
        return ".", ()
    if any(raw[name].str.contains(_POINT).any() for name in names):
        return ".", ("decimal points, so numbers with a comma are refused",)
    if any(values.str.contains(_FRACTION).any() for values in commas):
        return ",", ("decimal commas",)
    return ".", (
        "decimal points, so numbers such as 1,500 are refused; a YAML file beside it may say "
        "`decimal: ','`",
    )


def convert_column(
    raw: pl.DataFrame, field: Field, path: FieldPath, keyring: KeyRing, decimal: str = "."
) -> tuple[pl.Series, list[Failure]]:
    """Convert the column of `raw` that `path` names.

    Args:
        raw: Rows of text.
        field: What the column is.
        path: Which column, and how it is written.
        keyring: Tokenizes personal values.
        decimal: What stands before a fraction; a comma makes a point unreadable in numbers.

    Returns:
        The values, null where nothing stands or what stands cannot be read; and why it cannot.
    """
    name = path.path[0]
    text = raw[name].str.strip_chars()
    text = text.set(text == "", None)
    written = text
    if decimal == "," and (field.logical_type in _NUMBERS or path.time_format.startswith("epoch")):
        text = text.str.replace_many(_SWAPPED)
    fast = _fast(text, field, path)
    left = pl.DataFrame({ROW: raw[ROW], "value": text, "written": written}).filter(
        fast.is_null() & text.is_not_null()
    )
    convert = converter(field, path, keyring)
    found: dict[int, Any] = {}
    failed: list[Failure] = []
    for row, value, original in left.iter_rows():
        try:
            found[row] = convert(value)
        except Unreadable as error:
            failed.append((row, name, error.rule, original, error.message))
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
