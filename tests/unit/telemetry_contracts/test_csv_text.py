"""Taking CSV files apart: the same rows whatever the dialect, and whatever the batches."""

from __future__ import annotations

import csv
import io
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_contracts.csv_declared import NOTHING, Declared, read_declared
from telemetry_contracts.csv_encoding import UnreadableFile
from telemetry_contracts.csv_text import ROW, SURPLUS, CsvSource

pytestmark = pytest.mark.unit


def source(data: bytes, **declared: Any) -> CsvSource:
    return CsvSource(io.BytesIO(data), Declared(**declared))


def whole(opened: CsvSource, characters: int | None = None) -> tuple[pl.DataFrame, pl.DataFrame]:
    batches = list(opened.batches(characters))
    return (
        pl.concat([batch.table for batch in batches]),
        pl.concat([batch.ragged for batch in batches]),
    )


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_separators_and_encodings_make_no_difference(separator: str, encoding: str) -> None:
    lines = ["sensor,place,note", "1,Küche,a", "2,Büro,b"]
    text = "\r\n".join(line.replace(",", separator) for line in lines)
    table, ragged = whole(source(text.encode(encoding)))
    assert table.rows() == [(1, "1", "Küche", "a"), (2, "2", "Büro", "b")]
    assert ragged.is_empty()


def test_a_choice_among_separators_is_said() -> None:
    assert source(b"a;b;c\n1;2;3\n").assumed == ()
    chosen = source(b"a, left;b;c\n1;2;3\n")
    assert chosen.columns == ("a, left", "b", "c")
    assert chosen.assumed == ("delimiter ; (line 1 has other candidates, too)",)
    assert source(b'"a, b; c, d",e\n1,2\n').columns == ("a, b; c, d", "e")
    assert source(b"a, left;b;c\n1;2;3\n", delimiter=",").columns == ("a", "left;b;c")


def test_columns_of_a_headless_file_are_named_from_outside() -> None:
    opened = source(b"1;21,5\n2;22,5\n", columns=("sensor", "temperature"))
    assert opened.columns == ("sensor", "temperature")
    assert whole(opened)[0].rows() == [(1, "1", "21,5"), (2, "2", "22,5")]
    quoted = source(b'"1";21\n"2";22\n', columns=("sensor", "temperature"))
    assert whole(quoted)[0].rows() == [(1, "1", "21"), (2, "2", "22")]


def test_a_header_can_be_renamed() -> None:
    opened = source(b"Sensor;Temp\n1;21\n", rename={"Temp": "temperature"})
    assert opened.columns == ("Sensor", "temperature")
    with pytest.raises(UnreadableFile, match="renames columns that are not there: Tmp"):
        source(b"Sensor;Temp\n1;21\n", rename={"Tmp": "temperature"})
    with pytest.raises(UnreadableFile, match="columns 1 and 2 have the same name"):
        source(b"Sensor;Temp\n1;21\n", rename={"Temp": "Sensor"})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"decimals: ','", "decimals: Extra inputs"),
        (b"decimal: x", "decimal: Input should be"),
        (b"encoding: klingon", "no such text encoding"),
        (b"encoding: zlib", "no such text encoding"),
        (b"columns: []", "columns: Tuple should have at least 1"),
        (b"- a list", "file: Input should be"),
        (b"a: [", "is not YAML"),
        (b"\xff", "is not YAML"),
    ],
)
def test_a_wrong_yaml_file_says_what_is_wrong(text: bytes, reason: str) -> None:
    with pytest.raises(UnreadableFile, match=reason):
        read_declared(text)


def test_an_empty_yaml_file_says_nothing() -> None:
    assert read_declared(b"") == read_declared(None) == NOTHING


@pytest.mark.parametrize("rest", [b'3,"4\n5,6\n', b'3,"', b'"', b'"3"\n"'])
def test_a_quote_that_is_never_closed_is_a_broken_file(rest: bytes) -> None:
    opened = source(b"a,b\n1,2\n" + rest)
    with pytest.raises(UnreadableFile, match="never closed"):
        opened.check()
    with pytest.raises(UnreadableFile, match="never closed"):
        whole(opened)


def test_a_cut_last_line_is_a_row_of_the_wrong_length() -> None:
    table, ragged = whole(source(b"a,b,c\n1,2,3\n4,5"))
    assert ragged.select(ROW, "found").rows() == [(2, 2)]
    assert table.height == 2


def test_blank_stretches_longer_than_a_batch_end_nothing() -> None:
    opened = source(b"a,b\n1,2\n" + b"\n" * 500 + b"3,4\n")
    assert whole(opened, 50)[0].rows() == [(1, "1", "2"), (2, "3", "4")]


def test_a_file_of_no_rows_has_one_batch() -> None:
    for text in (b"a,b", b"a,b\n", b'"a",b\n'):
        assert [batch.table.height for batch in source(text).batches(100)] == [0]


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=5)
row_lists = st.lists(st.lists(cells, min_size=1, max_size=4), max_size=12)


@given(
    rows=row_lists,
    characters=st.integers(1, 200),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_batches_hold_the_same_rows_as_the_whole(
    rows: list[list[str]], characters: int, quoting: Any
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=quoting).writerows([["a", "b"], *rows])
    opened = source(text.getvalue().encode())
    table, ragged = whole(opened)
    parts, ragged_parts = whole(opened, characters)
    assert parts.equals(table)
    assert ragged_parts.equals(ragged)
    kept = [row for row in rows if len(row) > 1 or row[0].strip()]
    assert table[ROW].to_list() == list(range(1, len(kept) + 1))
    assert table["a"].to_list() == [row[0] or None for row in kept]
    assert ragged[ROW].to_list() == [n for n, row in enumerate(kept, 1) if len(row) != 2]
    assert ragged.filter(pl.col("found") > 2)[SURPLUS].to_list() == [
        ",".join(row[2:]) or None for row in kept if len(row) > 2
    ]
