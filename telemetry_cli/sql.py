"""`telemetry sql`: questions to the lake in SQL, answered by DuckDB."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from telemetry_cli.embedded.services import running_settings
from telemetry_cli.embedded.state import StackState
from telemetry_cli.errors import CommandError, usable_lake
from telemetry_cli.output import JsonOption
from telemetry_cli.sql_answers import Form, write_answer
from telemetry_platform.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Generator

    from telemetry_platform.lake_sql.database import LakeDatabase
    from telemetry_platform.settings import Settings

_NOTHING_CHANGED = "Nothing was changed."


def register(app: typer.Typer) -> None:
    """Add the command to the `telemetry` program."""
    app.command("sql")(sql)


def sql(
    statement: Annotated[
        str | None,
        typer.Argument(help="SQL; without it a prompt opens, or SQL is read from a pipe."),
    ] = None,
    *,
    form: Annotated[Form, typer.Option("--format", help="How answers are printed.")] = Form.TABLE,
    as_csv: Annotated[bool, typer.Option("--csv", help="The same as --format csv.")] = False,
    as_json: JsonOption = False,
    output: Annotated[
        Path | None,
        typer.Option(help="Write the answer to this file: .parquet, .csv or .json (a row a line)."),
    ] = None,
) -> None:
    """Ask the lake: tables landing.*, bronze.*, silver.* and gold.* as they are now.

    DuckDB reads the files alone that a condition on received_hour or source leaves, and of these
    the columns that are needed. `show all tables` lists what there is. Nothing can be written.
    """
    if as_csv or as_json:
        form = Form.JSON if as_json else Form.CSV
    settings = get_settings()
    if StackState.read(settings.home).ports:
        settings = running_settings(settings)
    with _opened(settings) as lake:
        if statement is None and sys.stdin.isatty() and output is None:
            from telemetry_cli.sql_prompt import Prompt

            Prompt(lake, settings.home / "sql_history", form).run()
            return
        ask(lake, sys.stdin.read() if statement is None else statement, form, output)


@contextmanager
def _opened(settings: Settings) -> Generator[LakeDatabase]:
    # Imported here: DuckDB, Polars and Delta take half a second, which no other command waits for.
    from telemetry_platform.lake_sql.database import LakeDatabase

    with usable_lake(settings, _NOTHING_CHANGED):
        lake = LakeDatabase(settings)
        if not lake.tables():
            raise CommandError(
                f"The lake at {settings.root} has no tables yet.",
                "They appear with the first event: `telemetry up`, then send one.",
            )
    with lake:
        yield lake


def ask(lake: LakeDatabase, text: str, form: Form, output: Path | None = None) -> None:
    """Run the statements of `text` and write each answer.

    Args:
        lake: What they are about.
        text: One statement or more, separated by `;`.
        form: How answers are printed.
        output: Where the answer is written instead; then there is one statement.

    Raises:
        CommandError: A statement is wrong, or the lake cannot be read.
    """
    with usable_lake(lake.settings, _NOTHING_CHANGED), _told(lake):
        statements = [each.query for each in lake.connection.extract_statements(text)]
        if not statements or (output and len(statements) > 1):
            wanted = "One SQL statement" if output else "SQL"
            raise CommandError(f"{wanted} is wanted.", 'Such as: telemetry sql "show all tables"')
        for statement in statements:
            write_answer(lake, statement, form, output)


@contextmanager
def _told(lake: LakeDatabase) -> Generator[None]:
    """Turn what DuckDB says of a statement into an error that helps."""
    import duckdb

    from telemetry_platform.lake_sql.database import UnreadableTable

    try:
        yield
    except duckdb.CatalogException as error:
        there = ", ".join(lake.tables())
        raise CommandError(str(error), f"Tables of the lake: {there}.") from error
    except (duckdb.OperationalError, duckdb.InterruptException) as error:
        raise CommandError(
            f"The statement could not be finished: {error}",
            "`telemetry status` shows whether the store answers.",
        ) from error
    except (duckdb.Error, UnreadableTable) as error:
        # An error of a file that is read comes with the trace of our own code.
        text = str(error).strip()
        told = text.splitlines()[-1] if text.startswith("Traceback") else text
        raise CommandError(told) from error
