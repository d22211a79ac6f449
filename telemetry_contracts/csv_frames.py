"""Reads a CSV file of device readings by the contracts, whole columns at a time.

The same contract that the edge reads events by says what a column means; a value that the fast
path cannot read is given to the edge's own converter, so both doors refuse for the same reasons.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl

from telemetry_contracts.canonical import derived_event_id, given_event_id, identifying_content
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
    Severity,
    Shape,
)
from telemetry_contracts.csv_columns import convert_column
from telemetry_contracts.csv_log import (
    LOG_SCHEMA,
    Failure,
    bad_rows,
    build_log,
    failures_frame,
    ragged_failures,
)
from telemetry_contracts.csv_text import ROW, UnreadableFile, read_csv_text
from telemetry_contracts.frames import DTYPES, UTC_TIME
from telemetry_contracts.rules import RECEIVED_AT, contract_rules

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry
    from telemetry_contracts.tokens import KeyRing

__all__ = ["LOG_SCHEMA", "CsvReading", "UnreadableFile", "read_csv_events"]


@dataclass(frozen=True)
class CsvReading:
    """What a CSV file holds.

    Attributes:
        contract: The contract its header fits.
        rows: Data rows in the file; each is in `good` or in `bad`.
        good: One row each: event_id, device_id, event_time (UTC), payload (canonical JSON). What
            a row becomes depends on the row and the header alone, not on other rows.
        bad: Refused rows as they stood, personal columns tokenized; see `csv_log.bad_rows`.
        log: One row for each thing wrong: file, row, column, rule, value, message. Rows count
            from 1 after the header.
    """

    contract: Contract
    rows: int
    good: pl.DataFrame
    bad: pl.DataFrame
    log: pl.DataFrame


@dataclass(frozen=True)
class _Layout:
    """How a file's columns are read: the places of each field, best first."""

    contract: Contract
    shape: Shape
    places: tuple[tuple[Field, FieldPath], ...]

    @property
    def column_of(self) -> dict[str, str]:
        """The best column of each field."""
        return {field.name: path.path[0] for field, path in reversed(self.places)}

    @property
    def personal(self) -> set[str]:
        """Columns that hold personal values."""
        return {path.path[0] for field, path in self.places if field.restricted}

    @property
    def score(self) -> int:
        """How many fields the file has."""
        return len(self.column_of)


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
    text = read_csv_text(data)
    layout = _match(text.columns, registry, source)
    raw = text.regular
    frame, failures = _convert_columns(raw, layout, keyring)
    failures.append(ragged_failures(text))
    failures.append(_nul_failures(raw, layout))
    failures.extend(_break_rules(frame, raw, layout, received_at))
    log = build_log(failures, file, layout.personal, keyring)
    refused = log["row"].unique()
    extras = _extras(raw, layout)
    good = frame.with_columns(extras).filter(~pl.col(ROW).is_in(refused.implode()))
    return CsvReading(
        contract=layout.contract,
        rows=text.table.height,
        good=_events(good, layout, file),
        bad=bad_rows(text, refused, layout.personal, keyring),
        log=log,
    )


def _match(header: Collection[str], registry: Registry, source: str | None) -> _Layout:
    named = registry.get(source) if source else None
    contracts = [named] if named else list(registry.values())
    found = []
    for contract in contracts:
        for shape in contract.shapes:
            if all(len(path) == 1 and path[0] in header for path in shape.requires):
                found.append(_Layout(contract, shape, _places(contract, shape, header)))
                break
    if not found:
        raise UnreadableFile(_no_match(header, contracts))
    best = max(layout.score for layout in found)
    winners = [layout for layout in found if layout.score == best]
    if len(winners) > 1:
        names = ", ".join(layout.contract.source for layout in winners)
        raise UnreadableFile(f"the columns fit several sources ({names}); use inbox/<source>/")
    return winners[0]


def _no_match(header: Collection[str], contracts: list[Contract]) -> str:
    flat = [
        f"{contract.source} ({', '.join(path[0] for path in shape.requires)})"
        for contract in contracts
        for shape in contract.shapes
        if all(len(path) == 1 for path in shape.requires)
    ]
    known = {path.path[0] for c in contracts for field in c.fields for path in field.paths}
    seen = ", ".join(name for name in header if name in known) or "none"
    return (
        f"line 1 names {len(header)} columns that fit no contract (known among them: {seen}); "
        f"needed are those of one of: {'; '.join(flat)}"
    )


def _places(
    contract: Contract, shape: Shape, header: Collection[str]
) -> tuple[tuple[Field, FieldPath], ...]:
    return tuple(
        (field, path)
        for field in contract.fields
        for path in field.paths_in(shape.name)
        if len(path.path) == 1 and path.when is None and path.path[0] in header
    )


def _convert_columns(
    raw: pl.DataFrame, layout: _Layout, keyring: KeyRing
) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """Return ROW and one typed column for each field of the file, and what could not be read."""
    columns: dict[str, pl.Series] = {}
    failed: list[Failure] = []
    for field, path in layout.places:
        values, wrong = convert_column(raw, field, path, keyring)
        failed.extend(wrong)
        best = columns.get(field.name)
        columns[field.name] = values if best is None else best.zip_with(best.is_not_null(), values)
    explained = {(row, column) for row, column, *_ in failed}
    for name in (DEVICE_ID, EVENT_TIME):
        column = layout.column_of[name]
        for row in raw[ROW].filter(columns[name].is_null()):
            if (row, column) not in explained:
                failed.append((row, column, "required", None, "expected a value, found none"))
    return pl.DataFrame({ROW: raw[ROW], **columns}), [failures_frame(failed)]


def _break_rules(
    frame: pl.DataFrame, raw: pl.DataFrame, layout: _Layout, received_at: datetime
) -> list[pl.DataFrame]:
    """Return one frame of failures for each contract rule that some row breaks."""
    absent = [
        pl.lit(None, DTYPES[field.logical_type]).alias(field.name)
        for field in layout.contract.sent_columns
        if field.name not in frame.columns
    ]
    checked = frame.with_columns(*absent, pl.lit(received_at, UTC_TIME).alias(RECEIVED_AT))
    broken = []
    for rule in contract_rules(layout.contract):
        if rule.severity is Severity.WARNING:
            continue
        rows = checked.filter(rule.broken)[ROW]
        if rows.is_empty():
            continue
        column = layout.column_of.get(rule.field or "", "")
        values = raw.filter(pl.col(ROW).is_in(rows.implode()))
        broken.append(
            values.select(
                pl.col(ROW).alias("row"),
                pl.lit(column).alias("column"),
                pl.lit(rule.rule).alias("rule"),
                (pl.col(column) if column else pl.lit(None, pl.String)).alias("value"),
                pl.lit(rule.message).alias("message"),
            )
        )
    return broken


def _unknown(raw: pl.DataFrame, layout: _Layout) -> list[str]:
    known = {path.path[0] for field, path in layout.places if field.name != EVENT_ID} | {ROW}
    return [name for name in raw.columns if name not in known]


def _nul_failures(raw: pl.DataFrame, layout: _Layout) -> pl.DataFrame:
    """Return the unknown values with NUL characters, which `encode_extras` refuses as well."""
    return failures_frame(
        (row, name, "text", None, "expected text without NUL characters")
        for name in _unknown(raw, layout)
        for row in raw.filter(pl.col(name).str.contains("\x00", literal=True))[ROW]
    )


def _extras(raw: pl.DataFrame, layout: _Layout) -> list[pl.Series]:
    """Return the columns that no contract field reads, as one JSON text a row."""
    unknown = _unknown(raw, layout)
    if not unknown:
        return []
    present = pl.any_horizontal(pl.col(unknown).is_not_null())
    text = pl.when(present).then(pl.struct(unknown).struct.json_encode())
    return [raw.select(text.alias(EXTRAS_KEY))[EXTRAS_KEY]]


def _events(frame: pl.DataFrame, layout: _Layout, file: str) -> pl.DataFrame:
    content = sorted(set(frame.columns) - {ROW, DEVICE_ID, EVENT_TIME, EVENT_ID})
    times = [name for name in content if frame.schema[name] == UTC_TIME]
    encoded = (
        frame.rename({ROW: ROW_KEY})
        .with_columns(
            pl.lit(layout.shape.name).alias(SHAPE_KEY),
            pl.lit(file).alias(FILE_KEY),
            pl.col(times).to_physical(),
        )
        .select(
            pl.col(EVENT_ID) if EVENT_ID in frame.columns else pl.lit(None).alias(EVENT_ID),
            pl.col(DEVICE_ID),
            pl.col(EVENT_TIME),
            pl.struct([SHAPE_KEY, *content]).struct.json_encode().alias("content"),
            pl.struct([SHAPE_KEY, *content, FILE_KEY, ROW_KEY])
            .struct.json_encode()
            .alias("payload"),
        )
    )
    ids = _event_ids(encoded, layout.contract.source)
    return encoded.select(pl.Series(EVENT_ID, ids, pl.String), DEVICE_ID, EVENT_TIME, "payload")


def _event_ids(encoded: pl.DataFrame, source: str) -> list[str]:
    moments = encoded[EVENT_TIME].to_physical()
    rows = zip(encoded[EVENT_ID], encoded[DEVICE_ID], moments, encoded["content"], strict=True)
    salt = source.encode() + b"\x00"
    return [
        given_event_id(salt, device, given)
        if given
        else derived_event_id(identifying_content(salt, device, moment, text.encode()))
        for given, device, moment, text in rows
    ]
