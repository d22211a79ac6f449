"""Takes a CSV file apart into rows of text, and tells rows that do not fit its header.

Knows nothing of contracts. No row is dropped: what does not fit is kept beside the table.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

import polars as pl

SEPARATORS = (";", ",", "\t", "|")
ROW = "\x00row"
"""Column of the row number, from 1 after the header; no column of a file can have this name."""

SURPLUS = "\x00surplus"
_RAGGED_SCHEMA = pl.Schema({ROW: pl.Int64, "found": pl.Int64, SURPLUS: pl.String})
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class UnreadableFile(ValueError):
    """A file as a whole cannot be read; the message says why and what to do.

    It repeats nothing of the file, which may have no header and begin with somebody's data.
    """


@dataclass(frozen=True)
class CsvText:
    """A file's rows as text.

    Attributes:
        columns: Column names, in the order of the file.
        table: ROW and one String column for each name; null where nothing stands. Rows with too
            few values are filled up, rows with too many are cut.
        ragged: ROW, `found` (number of values) and SURPLUS (text beyond the last column) of rows
            that do not have as many values as the header.
    """

    columns: tuple[str, ...]
    table: pl.DataFrame
    ragged: pl.DataFrame

    @property
    def regular(self) -> pl.DataFrame:
        """The rows of `table` that fit the header."""
        if self.ragged.is_empty():
            return self.table
        return self.table.filter(~pl.col(ROW).is_in(self.ragged[ROW].implode()))


def read_csv_text(data: bytes) -> CsvText:
    """Take `data` apart. The separator is the one that the header has most of.

    Blank lines are no rows. UTF-8, with or without a byte order mark; LF, CR LF or CR.

    Raises:
        UnreadableFile: It is not UTF-8 text with a header line of distinct names.
    """
    try:
        text = data.removeprefix(_BYTE_ORDER_MARK).decode()
    except UnicodeDecodeError as error:
        raise UnreadableFile(
            f"the file is not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from error
    text = text.replace("\r\n", "\n").lstrip("\n")
    head = text.split("\n", 1)[0]
    if not head.strip():
        raise UnreadableFile("the file has no header line; put the column names in line 1")
    separator = max(SEPARATORS, key=head.count)
    if '"' not in text and "\r" not in text:
        columns = _header(head.split(separator))
        table = _read_plain(text, separator, columns)
        if table is not None:
            return CsvText(columns, table, _RAGGED_SCHEMA.to_frame())
    return _read_rows(text, separator)


def _header(names: list[str]) -> tuple[str, ...]:
    stripped = [name.strip() for name in names]
    if any("\x00" in name for name in stripped):
        raise UnreadableFile("the file is not text; save it as CSV in UTF-8")
    columns = [name or f"column_{place}" for place, name in enumerate(stripped, start=1)]
    seen: dict[str, int] = {}
    for place, name in enumerate(columns, start=1):
        first = seen.setdefault(name, place)
        if first != place:
            raise UnreadableFile(f"columns {first} and {place} have the same name; rename one")
    return tuple(columns)


def _read_plain(text: str, separator: str, columns: tuple[str, ...]) -> pl.DataFrame | None:
    """Read a file without quotes at once; None when some line does not fit the header."""
    lines = pl.Series(text.removesuffix("\n").split("\n"))
    fits = lines.str.count_matches(separator, literal=True) == len(columns) - 1
    if not fits.all() or not lines.str.contains(r"\S").all():
        return None
    table = pl.read_csv(
        io.BytesIO(text.encode()),
        separator=separator,
        has_header=False,
        skip_lines=1,
        schema=dict.fromkeys(columns, pl.String),
        quote_char=None,
        raise_if_empty=False,
    )
    return _numbered(table)


def _read_rows(text: str, separator: str) -> CsvText:
    """Read row by row, as quoted values and rows of the wrong length need."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        found = [row for row in reader if any(value.strip() for value in row) or len(row) > 1]
    except csv.Error as error:
        raise UnreadableFile(f"line {reader.line_num} cannot be read: {error}") from error
    columns, rows = _header(found[0]), found[1:]
    width = len(columns)
    ragged = [
        (number, len(row), separator.join(row[width:]) or None)
        for number, row in enumerate(rows, start=1)
        if len(row) != width
    ]
    values = {
        name: [row[place] or None if place < len(row) else None for row in rows]
        for place, name in enumerate(columns)
    }
    table = pl.DataFrame(values, schema=dict.fromkeys(columns, pl.String))
    return CsvText(
        columns, _numbered(table), pl.DataFrame(ragged, schema=_RAGGED_SCHEMA, orient="row")
    )


def _numbered(table: pl.DataFrame) -> pl.DataFrame:
    return table.with_row_index(ROW, offset=1).with_columns(pl.col(ROW).cast(pl.Int64))
