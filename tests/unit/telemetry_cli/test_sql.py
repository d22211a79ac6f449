"""`telemetry sql`: what it prints and writes, what it says of a wrong statement, and its prompt."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import polars as pl
import pytest

from telemetry_cli.errors import CommandError
from telemetry_cli.sql import ask
from telemetry_cli.sql_answers import Form
from telemetry_cli.sql_prompt import Prompt
from telemetry_platform.delta import replace_partition
from telemetry_platform.lake_sql.database import LakeDatabase
from telemetry_platform.layout import RECEIVED_HOUR, Table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from telemetry_platform.settings import Settings

HOUR = "2026-11-01T00"
MOBILE = Table("silver/mobile", {RECEIVED_HOUR: pl.String, "steps": pl.Int64}, (RECEIVED_HOUR,))


@pytest.fixture
def lake(lake_settings: Settings) -> Iterator[LakeDatabase]:
    """Return a lake with three rows in one table."""
    frame = pl.DataFrame({RECEIVED_HOUR: [HOUR] * 3, "steps": [1, 2, None]})
    replace_partition(lake_settings, MOBILE, frame, {RECEIVED_HOUR: HOUR})
    with LakeDatabase(lake_settings) as database:
        yield database


def test_json_is_a_row_an_object(lake: LakeDatabase, capsys: pytest.CaptureFixture[str]) -> None:
    ask(lake, "SELECT * FROM silver.mobile ORDER BY steps", Form.JSON)
    rows = json.loads(capsys.readouterr().out)
    assert rows[0] == {RECEIVED_HOUR: HOUR, "steps": 1}
    assert [row["steps"] for row in rows] == [1, 2, None]
    ask(lake, "SELECT * FROM silver.mobile WHERE steps > 5", Form.JSON)
    assert json.loads(capsys.readouterr().out) == []


def test_csv_has_a_header_and_each_row(
    lake: LakeDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(lake, "SELECT steps, 'a,b' AS t FROM silver.mobile ORDER BY steps", Form.CSV)
    assert capsys.readouterr().out == 'steps,t\n1,"a,b"\n2,"a,b"\n,"a,b"\n'


def test_a_table_tells_what_was_read(
    lake: LakeDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(lake, "SELECT sum(steps) AS total FROM silver.mobile; SELECT 'second'", Form.TABLE)
    printed = capsys.readouterr()
    assert "total" in printed.out
    assert "second" in printed.out
    assert "1 file" in printed.err


@pytest.mark.parametrize("name", ["answer.parquet", "answer.csv", "answer.json"])
def test_an_answer_is_written_as_the_name_says(
    lake: LakeDatabase, tmp_path: Path, name: str
) -> None:
    output = tmp_path / name
    ask(lake, "SELECT * FROM silver.mobile -- all of it\n;", Form.TABLE, output)
    read = {".parquet": pl.read_parquet, ".csv": pl.read_csv, ".json": pl.read_ndjson}
    assert sorted(read[output.suffix](output)["steps"].drop_nulls()) == [1, 2]


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("SELECT * FROM silver.mobil", "silver.mobile"),
        ("SELECT * FROM mobil", "silver.mobile"),
        ("SELECT stepz FROM silver.mobile", "steps"),
        ("SELEC 1", "SELEC"),
        ("SELECT 1 AS a, 2 AS a", "AS"),
        ("  ", "SQL is wanted"),
    ],
)
def test_a_wrong_statement_is_told_with_what_is_there(
    lake: LakeDatabase, statement: str, told: str
) -> None:
    with pytest.raises(CommandError) as raised:
        ask(lake, statement, Form.JSON)
    assert told in f"{raised.value.message} {raised.value.remedy}"
    assert "Traceback" not in raised.value.message


@pytest.mark.parametrize("name", ["answer.xlsx", "nowhere/answer.csv"])
def test_a_file_that_cannot_be_written_is_told(
    lake: LakeDatabase, tmp_path: Path, name: str
) -> None:
    with pytest.raises(CommandError):
        ask(lake, "SELECT 1", Form.TABLE, tmp_path / name)


def test_a_file_that_is_gone_is_told_without_a_trace(lake: LakeDatabase) -> None:
    lake.attach("mobile")
    for file in (lake.settings.home / "lake").rglob("*.parquet"):
        file.unlink()
    with pytest.raises(CommandError) as raised:
        ask(lake, "SELECT * FROM silver.mobile", Form.TABLE)
    assert "Traceback" not in raised.value.message


def test_the_prompt_answers_at_each_semicolon_and_outlives_errors(
    lake: LakeDatabase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = "SELECT\n  'a;\n' || count(*)\nFROM silver.mobile;\n\nSELEC;\nSELECT 'last' AS x;\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    history = lake.settings.home / "sql_history"
    Prompt(lake, history, Form.CSV).run()
    printed = capsys.readouterr()
    assert "a;\n3" in printed.out
    assert "x\nlast\n" in printed.out
    assert "SELEC" in printed.err
    assert history.stat().st_mode & 0o077 == 0


def test_the_prompt_completes_tables(lake: LakeDatabase) -> None:
    prompt = Prompt(lake, lake.settings.home / "sql_history", Form.TABLE)
    assert prompt.complete("silver.m", 0) == "silver.mobile"
    assert prompt.complete("silver.m", 1) is None
