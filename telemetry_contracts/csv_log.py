"""What is told of a CSV file's refused rows: the rows as they stood, and why.

Personal values leave here as tokens only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from telemetry_contracts.csv_text import ROW, SURPLUS, CsvText

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from telemetry_contracts.tokens import KeyRing

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
_FAILURE_SCHEMA = pl.Schema({name: LOG_SCHEMA[name] for name in LOG_SCHEMA if name != "file"})

Failure = tuple[int, str, str, str | None, str]
"""Row, column, rule, value and message of one thing wrong."""


def failures_frame(failures: Iterable[Failure]) -> pl.DataFrame:
    """Return failures as a frame: columns of LOG_SCHEMA but the file."""
    return pl.DataFrame(list(failures), schema=_FAILURE_SCHEMA, orient="row")


def ragged_failures(text: CsvText) -> pl.DataFrame:
    """Return a failure for each row that has more or fewer values than the header."""
    width = len(text.columns)
    return failures_frame(
        (row, "", "columns", None, f"expected {width} values, found {found}")
        for row, found, _ in text.ragged.iter_rows()
    )


def build_log(
    failures: list[pl.DataFrame], file: str, personal: Collection[str], keyring: KeyRing
) -> pl.DataFrame:
    """Return all failures in the order of the rows, with LOG_SCHEMA; personal values as tokens."""
    log = pl.concat([_FAILURE_SCHEMA.to_frame(), *failures]).with_columns(file=pl.lit(file))
    hidden = log["column"].is_in(list(personal))
    if hidden.any():
        tokens = _tokens(log["value"], keyring)
        log = log.with_columns(value=tokens.zip_with(hidden, log["value"]))
    return log.select(list(LOG_SCHEMA)).sort("row", maintain_order=True)


def bad_rows(
    text: CsvText, rows: pl.Series, personal: Collection[str], keyring: KeyRing
) -> pl.DataFrame:
    """Return refused rows as they stood, personal columns as tokens.

    In a row of the wrong length a value may stand under another name, so when the file has a
    personal column every value of such a row is made a token.

    Args:
        text: The file.
        rows: Row numbers of the refused rows.
        personal: Columns that hold personal values.
        keyring: Makes the tokens.

    Returns:
        The row number, the file's columns and, when a row is too long, what was beyond them. The
        first and the last column are called `row` and `surplus`, or `_row` and `_surplus` where
        the file has such a column itself.
    """
    bad = text.table.filter(pl.col(ROW).is_in(rows.implode()))
    bad = bad.join(text.ragged.select(ROW, SURPLUS), on=ROW, how="left", maintain_order="left")
    if personal:
        shifted = bad[ROW].is_in(text.ragged[ROW].implode())
        for name in (*text.columns, SURPLUS):
            hidden = shifted | pl.Series([name in personal])
            if hidden.any():
                tokens = _tokens(bad[name], keyring)
                bad = bad.with_columns(tokens.zip_with(hidden, bad[name]).alias(name))
    if bad[SURPLUS].is_null().all():
        bad = bad.drop(SURPLUS)
    names = {ROW: _free("row", text.columns), SURPLUS: _free("surplus", text.columns)}
    return bad.rename(names, strict=False)


def _tokens(values: pl.Series, keyring: KeyRing) -> pl.Series:
    return pl.Series(
        [keyring.token(value) if value else value for value in values], dtype=pl.String
    )


def _free(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name = f"_{name}"
    return name
