"""Takes a CSV file apart into rows of text, and tells rows that do not fit its header.

Knows nothing of contracts. No row is dropped: what does not fit is kept beside the table. A large
file is taken apart in batches, in bounded memory.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, BinaryIO

import polars as pl

from telemetry_contracts.csv_encoding import Survey, UnreadableFile, survey

if TYPE_CHECKING:
    from telemetry_contracts.csv_declared import Declared

SEPARATORS = (";", ",", "\t", "|")
ROW = "\x00row"
"""Column of the row number, from 1 after the header; no column of a file can have this name."""

SURPLUS = "\x00surplus"
_RAGGED_SCHEMA = pl.Schema({ROW: pl.Int64, "found": pl.Int64, SURPLUS: pl.String})
_QUOTED = re.compile(r'"[^"]*"')
_END = "\x00end"
_CHARACTERS_A_ROW = 80


@dataclass(frozen=True)
class CsvText:
    """Rows of a file as text.

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


class CsvSource:
    """A CSV file that can be read again and again.

    Blank lines are no rows. Line ends are LF, CR LF or CR.

    Attributes:
        columns: Column names, in the order of the file, as the contracts may know them.
        assumed: What was assumed of the file, in words.
    """

    def __init__(self, stream: BinaryIO, declared: Declared) -> None:
        """Look the file through and read its header.

        Raises:
            UnreadableFile: It is not text, or has no header line of distinct names and nobody
                said what its columns are called.
        """
        found = survey(stream, declared.encoding)
        self._stream = stream
        self._survey: Survey = found
        self._headless = declared.columns is not None
        first = self._first_line()
        if not first.strip():
            raise UnreadableFile("the file has no header line; put the column names in line 1")
        self._separator, ambiguous = _separator(first, declared)
        names = declared.columns or next(csv.reader([first], delimiter=self._separator))
        if not found.plain and not self._headless:
            names = next(self._parsed_rows())
        self.columns = _renamed(_header(list(names)), declared.rename)
        self.assumed = found.assumed + ambiguous

    def check(self) -> None:
        """Take all rows apart and keep none, so that a later batch cannot be unreadable.

        Raises:
            UnreadableFile: Some row cannot be taken apart.
        """
        if not self._survey.plain:
            for _ in self._parsed_rows():
                pass

    def batches(self, characters: int | None = None) -> Iterator[CsvText]:
        """Yield the rows in order, at least one batch.

        Args:
            characters: About how much text a batch has; all of it without a number. The same file
                is always cut at the same places.

        Raises:
            UnreadableFile: A row cannot be taken apart.
        """
        if self._survey.plain:
            return self._plain_batches(characters)
        return self._parsed_batches(characters)

    def _lines(self) -> io.TextIOWrapper:
        self._stream.seek(0)
        return io.TextIOWrapper(self._stream, self._survey.encoding, newline="")

    def _first_line(self) -> str:
        lines = self._lines()
        try:
            return next((line for line in lines if line.strip()), "").rstrip("\r\n")
        finally:
            _release(lines)

    def _plain_batches(self, characters: int | None) -> Iterator[CsvText]:
        lines = self._lines()
        try:
            if not self._headless:
                next(line for line in lines if line.strip())
            rows, begun = 0, False
            while (text := lines.read(characters or -1)) or not begun:
                text += lines.readline()
                batch = self._plain_batch(text.replace("\r\n", "\n").lstrip("\n"), rows)
                yield batch
                rows, begun = rows + batch.table.height, True
        finally:
            _release(lines)

    def _plain_batch(self, text: str, before: int) -> CsvText:
        table = _read_plain(text, self._separator, self.columns)
        if table is not None:
            return CsvText(self.columns, _numbered(table, before), _RAGGED_SCHEMA.to_frame())
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=self._separator)
        return self._text(list(self._rows_of(rows)), before)

    def _parsed_batches(self, characters: int | None) -> Iterator[CsvText]:
        rows = self._parsed_rows()
        if not self._headless:
            next(rows)
        size = max(1, characters // _CHARACTERS_A_ROW) if characters else None
        done = 0
        while True:
            batch = list(islice(rows, size))
            if not batch and done:
                return
            yield self._text(batch, done)
            done += len(batch)
            if not batch or size is None:
                return

    def _parsed_rows(self) -> Iterator[list[str]]:
        """Yield the rows, as quoted values need; the header is the first of them."""
        lines = self._lines()
        try:
            # What follows the last line is a row of its own, of two values, unless a quote was left
            # open.
            end = [_END, _END]
            reader = csv.reader(
                chain(lines, [self._separator.join(end)]), delimiter=self._separator
            )
            held: list[str] | None = None
            for row in self._rows_of(reader):
                if held is not None:
                    yield held
                held = row
            if held != end:
                raise UnreadableFile("a quote is opened and never closed; is the file whole?")
        finally:
            _release(lines)

    @staticmethod
    def _rows_of(reader: Iterator[list[str]]) -> Iterator[list[str]]:
        try:
            for row in reader:
                if len(row) > 1 or any(value.strip() for value in row):
                    yield row
        except csv.Error as error:
            raise UnreadableFile(f"a row cannot be taken apart: {error}") from error

    def _text(self, rows: list[list[str]], before: int) -> CsvText:
        """Put rows into a table, as quoted values and rows of the wrong length need."""
        width = len(self.columns)
        ragged = [
            (number, len(row), self._separator.join(row[width:]) or None)
            for number, row in enumerate(rows, start=before + 1)
            if len(row) != width
        ]
        values = {
            name: [row[place] or None if place < len(row) else None for row in rows]
            for place, name in enumerate(self.columns)
        }
        table = pl.DataFrame(values, schema=dict.fromkeys(self.columns, pl.String))
        return CsvText(
            self.columns,
            _numbered(table, before),
            pl.DataFrame(ragged, schema=_RAGGED_SCHEMA, orient="row"),
        )


def _release(lines: io.TextIOWrapper) -> None:
    """Let go of a file without closing it."""
    if not lines.closed:
        lines.detach()


def _separator(line: str, declared: Declared) -> tuple[str, tuple[str, ...]]:
    """Return the separator that a line has most of, and whether that was a choice."""
    if declared.delimiter is not None:
        return declared.delimiter, ()
    line = _QUOTED.sub("", line)
    counts = {separator: line.count(separator) for separator in SEPARATORS}
    if declared.columns is not None:
        fitting = [each for each in SEPARATORS if counts[each] == len(declared.columns) - 1]
        if len(fitting) == 1:
            return fitting[0], ()
    best = max(SEPARATORS, key=lambda each: counts[each])
    if sum(count > 0 for count in counts.values()) > 1:
        name = "tab" if best == "\t" else best
        return best, (f"delimiter {name} (line 1 has other candidates, too)",)
    return best, ()


def _header(names: list[str]) -> tuple[str, ...]:
    stripped = [name.strip() for name in names]
    if any("\x00" in name for name in stripped):
        raise UnreadableFile("the file is not text; save it as CSV in UTF-8")
    columns = [name or f"column_{place}" for place, name in enumerate(stripped, start=1)]
    return _distinct(columns)


def _renamed(columns: tuple[str, ...], rename: dict[str, str]) -> tuple[str, ...]:
    absent = [name for name in rename if name not in columns]
    if absent:
        raise UnreadableFile(
            f"the YAML file beside it renames columns that are not there: {', '.join(absent)}"
        )
    return _distinct([rename.get(name, name) for name in columns])


def _distinct(columns: list[str]) -> tuple[str, ...]:
    seen: dict[str, int] = {}
    for place, name in enumerate(columns, start=1):
        first = seen.setdefault(name, place)
        if first != place:
            raise UnreadableFile(f"columns {first} and {place} have the same name; rename one")
    return tuple(columns)


def _read_plain(text: str, separator: str, columns: tuple[str, ...]) -> pl.DataFrame | None:
    """Read lines without quotes at once; None when some line does not fit the header."""
    schema = dict.fromkeys(columns, pl.String)
    if not text:
        return pl.DataFrame(schema=schema)
    lines = pl.Series(text.removesuffix("\n").split("\n"))
    fits = lines.str.count_matches(separator, literal=True) == len(columns) - 1
    if not fits.all() or not lines.str.contains(r"\S").all():
        return None
    return pl.read_csv(
        io.BytesIO(text.encode()),
        separator=separator,
        has_header=False,
        schema=schema,
        quote_char=None,
        raise_if_empty=False,
    )


def _numbered(table: pl.DataFrame, before: int) -> pl.DataFrame:
    return table.with_row_index(ROW, offset=before + 1).with_columns(pl.col(ROW).cast(pl.Int64))
