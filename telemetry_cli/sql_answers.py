"""How an answer of the lake is written: a table, CSV or JSON, or a file."""

from __future__ import annotations

import csv
import json
import sys
from enum import StrEnum
from typing import TYPE_CHECKING

from telemetry_cli.errors import CommandError
from telemetry_cli.output import people, print_table
from telemetry_platform.quality.words import count

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb

    from telemetry_platform.lake_sql.database import LakeDatabase

_MOST_ROWS_FOR_PEOPLE = 200
_ROWS_AT_A_TIME = 10_000
_FILE_FORMATS = {".parquet": "PARQUET", ".csv": "CSV", ".json": "JSON"}


class Form(StrEnum):
    """How answers are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def write_answer(lake: LakeDatabase, statement: str, form: Form, output: Path | None) -> None:
    """Run one statement and write its answer, rows as they come.

    Raises:
        CommandError: The file cannot be written, or its name does not say in which format.
        duckdb.Error: The statement is wrong.
    """
    if output is not None:
        _write_file(lake, statement, output)
        return
    lake.files.forget_reads()
    answer = lake.execute(statement)
    columns = [column[0] for column in answer.description or ()]
    _PRINT[form](columns, answer)
    if form is Form.TABLE and lake.files.opened:
        files, mebibytes = len(lake.files.opened), lake.files.bytes_read / 2**20
        people().print(f"Read {mebibytes:,.1f} MiB of {count(files, 'file')}.")


def _write_file(lake: LakeDatabase, statement: str, output: Path) -> None:
    import duckdb

    from telemetry_platform.lake_sql.columns import sql_text

    kind = _FILE_FORMATS.get(output.suffix.lower())
    if kind is None:
        known = ", ".join(_FILE_FORMATS)
        raise CommandError(f"{output} has none of the endings {known}.")
    if not output.absolute().parent.is_dir():
        raise CommandError(f"There is no folder {output.absolute().parent}.")
    lake.attach(statement)
    question = statement.strip().rstrip(";")
    try:
        lake.connection.execute(f"COPY (\n{question}\n) TO {sql_text(str(output))} (FORMAT {kind})")
    except duckdb.IOException as error:
        raise CommandError(f"{output} cannot be written: {error}") from error
    people().print(f"Written to {output}", markup=False, soft_wrap=True)


def _print_people(columns: list[str], answer: duckdb.DuckDBPyConnection) -> None:
    rows = answer.fetchmany(_MOST_ROWS_FOR_PEOPLE + 1)
    shown = rows[:_MOST_ROWS_FOR_PEOPLE]
    print_table("", columns, [[_text(value) for value in row] for row in shown])
    if len(rows) > len(shown):
        people().print(f"The first {len(shown)} rows; --csv and --json print all.")


def _print_csv(columns: list[str], answer: duckdb.DuckDBPyConnection) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    while rows := answer.fetchmany(_ROWS_AT_A_TIME):
        writer.writerows([[_text(value) for value in row] for row in rows])


def _print_json(columns: list[str], answer: duckdb.DuckDBPyConnection) -> None:
    if len(set(columns)) < len(columns):
        raise CommandError("Two columns have one name.", "Give one of them another with AS.")
    separator = "[\n"
    while rows := answer.fetchmany(_ROWS_AT_A_TIME):
        for row in rows:
            document = json.dumps(dict(zip(columns, row, strict=True)), default=_text)
            sys.stdout.write(f"{separator}{document}")
            separator = ",\n"
    sys.stdout.write("[]\n" if separator == "[\n" else "\n]\n")


_PRINT = {Form.TABLE: _print_people, Form.CSV: _print_csv, Form.JSON: _print_json}


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | dict):
        return json.dumps(value, default=_text)
    return str(value)
