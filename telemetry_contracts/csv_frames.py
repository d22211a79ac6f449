"""Reads a CSV file of device readings by the contracts, whole columns at a time.

The same contract that the edge reads events by says what a column means; a value that the fast
path cannot read is given to the edge's own converter, so both doors refuse for the same reasons.
"""

from __future__ import annotations

import io
from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, BinaryIO

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
    Severity,
)
from telemetry_contracts.csv_columns import assume_decimal, convert_column
from telemetry_contracts.csv_declared import NOTHING, Declared
from telemetry_contracts.csv_encoding import UnreadableFile
from telemetry_contracts.csv_layout import Layout, match_header
from telemetry_contracts.csv_log import (
    LOG_SCHEMA,
    Failure,
    bad_rows,
    build_log,
    failures_frame,
    ragged_failures,
)
from telemetry_contracts.csv_text import ROW, CsvSource, CsvText
from telemetry_contracts.frames import DTYPES, UTC_TIME
from telemetry_contracts.rules import RECEIVED_AT, contract_rules

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry
    from telemetry_contracts.tokens import KeyRing

__all__ = ["LOG_SCHEMA", "CsvFile", "CsvReading", "UnreadableFile", "read_csv_events"]


@dataclass(frozen=True)
class CsvReading:
    """What a CSV file, or a batch of its rows, holds.

    Attributes:
        contract: The contract its header fits.
        rows: Number of data rows; each is in `good` or in `bad`.
        good: One row each: event_id, device_id, event_time (UTC), payload (canonical JSON). What
            a row becomes depends on the row and the header alone, not on other rows.
        bad: Refused rows as they stood, personal columns tokenized; see `csv_log.bad_rows`.
        log: One row for each thing wrong: file, row, column, rule, value, message. Rows count
            from 1 after the header.
        assumed: What was assumed of the file, in words.
    """

    contract: Contract
    rows: int
    good: pl.DataFrame
    bad: pl.DataFrame
    log: pl.DataFrame
    assumed: tuple[str, ...] = ()


class CsvFile:
    """A CSV file and the contract that its header fits.

    Attributes:
        contract: The contract.
        personal: Whether the file may hold personal values: its source has such fields.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all but the last two are needed
        self,
        stream: BinaryIO,
        file: str,
        registry: Registry,
        keyring: KeyRing,
        source: str | None = None,
        declared: Declared = NOTHING,
    ) -> None:
        """Look the file through and match its header. Memory is bounded, whatever its size.

        Args:
            stream: The file.
            file: Its name, kept as provenance of every row.
            registry: Contracts to choose from.
            keyring: Tokenizes personal columns.
            source: Only consider this source's contract.
            declared: What was said of the file; its `source` counts more.

        Raises:
            UnreadableFile: It is no CSV file, or its header fits no contract or several.
        """
        if declared.source is not None and declared.source not in registry:
            raise UnreadableFile(f"there is no source {declared.source!r}")
        self._text = CsvSource(stream, declared)
        self._layout = match_header(self._text.columns, registry, declared.source or source)
        self._file = file
        self._keyring = keyring
        self._decimal = declared.decimal
        self.contract = self._layout.contract
        self.personal = any(column.restricted for column in self.contract.fields)

    def check(self) -> None:
        """See `CsvSource.check`."""
        self._text.check()

    def readings(
        self, received_at: datetime, characters: int | None = None
    ) -> Generator[CsvReading]:
        """Read the rows in order, in one batch or in several.

        Args:
            received_at: Arrival of the file, for the timeliness rules.
            characters: About how much text a batch has; all of it without a number. The same file
                is always cut at the same places.

        Raises:
            UnreadableFile: A row cannot be taken apart.
        """
        assumed, decimal = self._text.assumed, self._decimal
        for text in self._text.batches(characters):
            if decimal is None:
                decimal, note = assume_decimal(text.table, self._layout.places)
                assumed += note
            yield self._read(text, received_at, decimal, assumed)

    def _read(
        self, text: CsvText, received_at: datetime, decimal: str, assumed: tuple[str, ...]
    ) -> CsvReading:
        layout, keyring = self._layout, self._keyring
        raw = text.regular
        frame, failures = _convert_columns(raw, layout, keyring, decimal)
        failures.append(ragged_failures(text))
        failures.append(_nul_failures(raw, layout))
        failures.extend(_break_rules(frame, raw, layout, received_at))
        log = build_log(failures, self._file, layout.personal, keyring)
        refused = log["row"].unique()
        extras = _extras(raw, layout)
        good = frame.with_columns(extras).filter(~pl.col(ROW).is_in(refused.implode()))
        return CsvReading(
            contract=layout.contract,
            rows=text.table.height,
            good=_events(good, layout, self._file),
            bad=bad_rows(text, refused, layout.personal, keyring),
            log=log,
            assumed=assumed,
        )


def read_csv_events(  # noqa: PLR0913, PLR0917 - all but the last two are needed
    data: bytes,
    file: str,
    registry: Registry,
    keyring: KeyRing,
    received_at: datetime,
    source: str | None = None,
    declared: Declared = NOTHING,
) -> CsvReading:
    """Read all of `data` by the contract that its header fits; see `CsvFile`.

    Raises:
        UnreadableFile: It is no CSV file, or its header fits no contract or several.
    """
    opened = CsvFile(io.BytesIO(data), file, registry, keyring, source, declared)
    (reading,) = opened.readings(received_at)
    return reading


def _convert_columns(
    raw: pl.DataFrame, layout: Layout, keyring: KeyRing, decimal: str
) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """Return ROW and one typed column for each field of the file, and what could not be read."""
    columns: dict[str, pl.Series] = {}
    failed: list[Failure] = []
    for field, path in layout.places:
        values, wrong = convert_column(raw, field, path, keyring, decimal)
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
    frame: pl.DataFrame, raw: pl.DataFrame, layout: Layout, received_at: datetime
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


def _unknown(raw: pl.DataFrame, layout: Layout) -> list[str]:
    known = {path.path[0] for field, path in layout.places if field.name != EVENT_ID} | {ROW}
    return [name for name in raw.columns if name not in known]


def _nul_failures(raw: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    """Return the unknown values with NUL characters, which `encode_extras` refuses as well."""
    return failures_frame(
        (row, name, "text", None, "expected text without NUL characters")
        for name in _unknown(raw, layout)
        for row in raw.filter(pl.col(name).str.contains("\x00", literal=True))[ROW]
    )


def _extras(raw: pl.DataFrame, layout: Layout) -> list[pl.Series]:
    """Return the columns that no contract field reads, as one JSON text a row."""
    unknown = _unknown(raw, layout)
    if not unknown:
        return []
    present = pl.any_horizontal(pl.col(unknown).is_not_null())
    text = pl.when(present).then(pl.struct(unknown).struct.json_encode())
    return [raw.select(text.alias(EXTRAS_KEY))[EXTRAS_KEY]]


def _events(frame: pl.DataFrame, layout: Layout, file: str) -> pl.DataFrame:
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
