"""Reads a CSV file of device readings by the contracts, whole columns at a time.

The same contract that the edge reads events by says what a column means; a value that the fast
path cannot read is given to the edge's own converter, so both doors refuse for the same reasons.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from telemetry_contracts.contract import (
    DEVICE_ID,
    EVENT_ID,
    EVENT_TIME,
    EXTRAS_KEY,
    FILE_KEY,
    ROW_KEY,
    SHAPE_KEY,
    Contract,
    Field,
    FieldPath,
    LogicalType,
    Shape,
)
from telemetry_contracts.conversions import Unreadable, converter
from telemetry_contracts.frames import DTYPES, UTC_TIME
from telemetry_contracts.reader import derived_event_id
from telemetry_contracts.rules import RECEIVED_AT, contract_rules
from telemetry_contracts.units import conversion

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry
    from telemetry_contracts.tokens import KeyRing

SEPARATORS = (";", ",", "\t", "|")
LOG_SCHEMA = pl.Schema(
    {
        "file": pl.String,
        "row": pl.Int64,
        "column": pl.String,
        "rule": pl.String,
        "value": pl.String,
        "message": pl.String,
    }
)
_ROW = "__row"
_FAST_TIMES = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.fZ")


class UnreadableFile(ValueError):
    """A file as a whole cannot be read; the message says why and what to do."""


@dataclass(frozen=True)
class CsvReading:
    """What a CSV file holds.

    Attributes:
        contract: The contract its header fits.
        rows: Data rows in the file.
        good: One row each: event_id, device_id, event_time (UTC), payload (canonical JSON).
        bad: Refused rows as they stood, personal columns tokenized; first column `row`.
        log: One row for each thing wrong: file, row, column, rule, value, message. Rows count
            from 1 after the header.
    """

    contract: Contract
    rows: int
    good: pl.DataFrame
    bad: pl.DataFrame
    log: pl.DataFrame


def read_csv_events(  # noqa: PLR0913, PLR0917 - all but the source are needed
    data: bytes,
    file: str,
    registry: Registry,
    keyring: KeyRing,
    received_at: datetime,
    source: str | None = None,
) -> CsvReading:
    """Read `data` by the contract that its header fits.

    Args:
        data: The file's bytes.
        file: Its name, kept as provenance of every row.
        registry: Contracts to choose from.
        keyring: Tokenizes personal columns.
        received_at: Arrival of the file, for the timeliness rules.
        source: Only consider this source's contract.

    Raises:
        UnreadableFile: It is no CSV file, or its header fits no contract or several.
    """
    raw = _read_text(data)
    contract, shape = _match(raw.columns, registry, source)
    raw = raw.with_row_index(_ROW, offset=1).with_columns(pl.col(_ROW).cast(pl.Int64))
    paths = _column_paths(contract, shape, raw.columns)
    failures: list[pl.DataFrame] = []
    columns = {}
    for column, path in paths:
        columns[column.name], failed = _convert(raw, column, path, keyring)
        if failed is not None:
            failures.append(failed)
    frame = pl.DataFrame({_ROW: raw[_ROW], **columns})
    failures.extend(_break_rules(frame, raw, contract, dict(_names(paths)), received_at))
    frame = frame.with_columns(_extras(raw, paths))
    log = _log(failures, file, {path.path[0] for column, path in paths if column.restricted})
    bad_rows = log["row"].unique()
    good = frame.filter(~pl.col(_ROW).is_in(bad_rows.implode()))
    return CsvReading(
        contract=contract,
        rows=raw.height,
        good=_events(good, contract, shape, file),
        bad=_hide(raw.filter(pl.col(_ROW).is_in(bad_rows.implode())), paths, keyring),
        log=log,
    )


def _read_text(data: bytes) -> pl.DataFrame:
    body = data.removeprefix(b"\xef\xbb\xbf")
    header = body.split(b"\n", 1)[0]
    if not header.strip():
        raise UnreadableFile("the file has no header line; put the column names in line 1")
    separator = max(SEPARATORS, key=lambda mark: header.count(mark.encode()))
    try:
        frame = pl.read_csv(
            io.BytesIO(body), separator=separator, infer_schema=False, raise_if_empty=False
        )
    except pl.exceptions.PolarsError as error:
        reason = str(error).split("\n", 1)[0]
        raise UnreadableFile(f"the file is not a CSV table: {reason}") from error
    return frame.rename({name: name.strip().strip('"') for name in frame.columns})


def _match(header: list[str], registry: Registry, source: str | None) -> tuple[Contract, Shape]:
    contracts = [registry[source]] if source and source in registry else list(registry.values())
    found = []
    for contract in contracts:
        for shape in contract.shapes:
            if all(len(path) == 1 and path[0] in header for path in shape.requires):
                score = len(_column_paths(contract, shape, header))
                found.append((score, contract, shape))
                break
    if not found:
        raise UnreadableFile(
            f"the columns {', '.join(header)} fit no contract; name at least a device and a time "
            "column as one of the contracts does"
        )
    best = max(score for score, _, _ in found)
    winners = [(contract, shape) for score, contract, shape in found if score == best]
    if len(winners) > 1:
        names = ", ".join(contract.source for contract, _ in winners)
        raise UnreadableFile(f"the columns fit several sources ({names}); use inbox/<source>/")
    return winners[0]


def _column_paths(
    contract: Contract, shape: Shape, header: list[str]
) -> list[tuple[Field, FieldPath]]:
    """Return the first path of each field that is a column of the file."""
    chosen = []
    for column in contract.fields:
        for path in column.paths:
            simple = len(path.path) == 1 and path.when is None
            if path.shape == shape.name and simple and path.path[0] in header:
                chosen.append((column, path))
                break
    return chosen


def _names(paths: list[tuple[Field, FieldPath]]) -> list[tuple[str, str]]:
    return [(column.name, path.path[0]) for column, path in paths]


def _convert(
    raw: pl.DataFrame, column: Field, path: FieldPath, keyring: KeyRing
) -> tuple[pl.Series, pl.DataFrame | None]:
    """Return the converted column and, when there are any, the rows that failed."""
    name = path.path[0]
    text = raw[name].str.strip_chars()
    text = text.set(text == "", None)
    fast = _fast(text, column, path)
    left = pl.DataFrame({_ROW: raw[_ROW], "value": text}).filter(
        fast.is_null() & text.is_not_null()
    )
    if left.is_empty() and column.name not in {DEVICE_ID, EVENT_TIME}:
        return fast, None
    convert = converter(column, path, keyring)
    found: dict[int, Any] = {}
    failed: list[tuple[int, str, str, str, str]] = []
    for row, value in left.iter_rows():
        try:
            found[row] = convert(value)
        except Unreadable as error:
            failed.append((row, name, error.rule, value, error.message))
    if column.required:
        missing = raw[_ROW].filter(text.is_null())
        failed.extend(
            (row, name, "required", "", "expected a value, found none") for row in missing
        )
    if found:
        slow = pl.Series([found.get(row) for row in raw[_ROW]], strict=False)
        fast = fast.zip_with(fast.is_not_null(), _as_dtype(slow, column))
    return fast, _failures(failed) if failed else None


def _fast(text: pl.Series, column: Field, path: FieldPath) -> pl.Series:
    """Convert what can be converted a column at a time; null is left to the edge's converter."""
    frame = text.to_frame("text").lazy()
    value = pl.col("text")
    match column.logical_type:
        case LogicalType.NUMBER:
            factor, offset = conversion(path.unit, column.unit)
            number = value.cast(pl.Float64, strict=False)
            number = pl.when(number.is_finite()).then(number)
            value = number if (factor, offset) == (1.0, 0.0) else number * factor + offset
        case LogicalType.INTEGER:
            value = value.cast(pl.Int64, strict=False)
        case LogicalType.TIMESTAMP:
            value = _fast_time(path.time_format)
        case LogicalType.BOOLEAN:
            value = pl.lit(None, pl.Boolean)
        case LogicalType.STRING:
            plain = not (column.restricted or path.prefix)
            value = value if plain else pl.lit(None, pl.String)
    return frame.select(value.alias(column.name)).collect()[column.name]


def _fast_time(time_format: str) -> pl.Expr:
    value = pl.col("text")
    if time_format.startswith("epoch"):
        return pl.lit(None, UTC_TIME)
    formats = _FAST_TIMES if time_format == "iso8601" else (time_format,)
    parsed = [value.str.to_datetime(fmt, time_unit="us", strict=False) for fmt in formats]
    return pl.coalesce(moment.dt.replace_time_zone("UTC") for moment in parsed)


def _as_dtype(values: pl.Series, column: Field) -> pl.Series:
    if column.logical_type is LogicalType.TIMESTAMP:
        return values.cast(pl.Int64).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return values.cast(DTYPES[column.logical_type])


def _failures(rows: list[tuple[int, str, str, str, str]]) -> pl.DataFrame:
    schema = {name: LOG_SCHEMA[name] for name in ("row", "column", "rule", "value", "message")}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _break_rules(
    frame: pl.DataFrame,
    raw: pl.DataFrame,
    contract: Contract,
    columns: dict[str, str],
    received_at: datetime,
) -> list[pl.DataFrame]:
    """Return one frame of failures for each contract rule that some row breaks."""
    absent = [
        pl.lit(None, DTYPES[column.logical_type]).alias(column.name)
        for column in contract.sent_columns
        if column.name not in frame.columns
    ]
    checked = frame.with_columns(*absent, pl.lit(received_at, UTC_TIME).alias(RECEIVED_AT))
    broken = []
    for rule in contract_rules(contract):
        rows = checked.filter(rule.broken)[_ROW]
        if rows.is_empty():
            continue
        column = columns.get(rule.field or "", "")
        values = raw.filter(pl.col(_ROW).is_in(rows.implode()))
        broken.append(
            values.select(
                pl.col(_ROW).alias("row"),
                pl.lit(column).alias("column"),
                pl.lit(rule.rule).alias("rule"),
                (pl.col(column) if column else pl.lit("")).alias("value"),
                pl.lit(rule.message).alias("message"),
            )
        )
    return broken


def _log(failures: list[pl.DataFrame], file: str, restricted: set[str]) -> pl.DataFrame:
    if not failures:
        return LOG_SCHEMA.to_frame()
    hidden = pl.col("column").is_in(list(restricted))
    return (
        pl.concat(failures)
        .with_columns(
            pl.lit(file).alias("file"),
            pl.when(hidden).then(pl.lit("(personal)")).otherwise(pl.col("value")).alias("value"),
        )
        .select(list(LOG_SCHEMA))
        .sort("row", maintain_order=True)
    )


def _extras(raw: pl.DataFrame, paths: list[tuple[Field, FieldPath]]) -> list[pl.Series]:
    """Return the columns that no contract field reads, as one JSON text a row."""
    known = {path.path[0] for _, path in paths} | {_ROW}
    unknown = [name for name in raw.columns if name not in known and raw[name].is_not_null().any()]
    if not unknown:
        return []
    return [raw.select(pl.struct(unknown).struct.json_encode().alias(EXTRAS_KEY))[EXTRAS_KEY]]


def _events(frame: pl.DataFrame, contract: Contract, shape: Shape, file: str) -> pl.DataFrame:
    content = sorted(
        name
        for name in frame.columns
        if name not in (_ROW, DEVICE_ID, EVENT_TIME, EVENT_ID) and frame[name].is_not_null().any()
    )
    frame = frame.with_columns(pl.lit(shape.name).alias(SHAPE_KEY), pl.lit(file).alias(FILE_KEY))
    frame = frame.rename({_ROW: ROW_KEY})
    encoded = frame.select(
        pl.col(DEVICE_ID),
        pl.col(EVENT_TIME),
        pl.struct([SHAPE_KEY, *content]).struct.json_encode().alias("content"),
        pl.struct([SHAPE_KEY, *content, FILE_KEY, ROW_KEY]).struct.json_encode().alias("payload"),
    )
    salt = contract.source.encode()
    ids = [
        derived_event_id(b"%b\x00%b\x00%d\x00%b" % (salt, device.encode(), moment, text.encode()))
        for device, moment, text in zip(
            encoded[DEVICE_ID], encoded[EVENT_TIME].to_physical(), encoded["content"], strict=True
        )
    ]
    return encoded.select(pl.Series(EVENT_ID, ids, pl.String), DEVICE_ID, EVENT_TIME, "payload")


def _hide(
    bad: pl.DataFrame, paths: list[tuple[Field, FieldPath]], keyring: KeyRing
) -> pl.DataFrame:
    personal = [path.path[0] for column, path in paths if column.restricted]
    tokens = [
        pl.Series(name, [keyring.token(v) if v else v for v in bad[name]], pl.String)
        for name in personal
    ]
    return bad.with_columns(tokens).rename({_ROW: "row"})
