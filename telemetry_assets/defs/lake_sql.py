"""SQL over the lake in Dagster: DuckDB's resource with the lake's tables; a job that asks it."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from telemetry_platform.settings import get_settings

if TYPE_CHECKING:
    from telemetry_platform.lake_sql.database import LakeDatabase


class LakeSqlResource(dg.ConfigurableResource):
    """Opens DuckDB, through dagster-duckdb, on the lake that `TELEMETRY_*` settings name."""

    memory_limit: str = "1GB"
    """What DuckDB may hold in memory at a time, as it writes sizes."""

    @contextmanager
    def open(self) -> Generator["LakeDatabase"]:
        """Yield the lake, to be read with SQL until the block ends."""
        # Imported here: a tenth of a second, which every other run would wait for.
        from dagster_duckdb import DuckDBResource

        from telemetry_platform.lake_sql.database import CONFIGURATION, LakeDatabase

        limits = {**CONFIGURATION, "memory_limit": self.memory_limit}
        duckdb = DuckDBResource(database=":memory:", connection_config=limits)
        with (
            duckdb.get_connection() as connection,
            LakeDatabase(get_settings(), connection) as lake,
        ):
            yield lake


class AskConfig(dg.Config):
    """What is asked."""

    statement: str = Field(description="One SQL statement over landing, bronze, silver and gold.")
    rows: int = Field(default=100, ge=1, le=1000, description="Most rows that are shown.")


@dg.op(description="Ask the lake with SQL; the answer is the output's metadata.")
def ask(context: dg.OpExecutionContext, config: AskConfig, lake_sql: LakeSqlResource) -> int:
    """Run a statement and show its first rows; returns how many are shown."""
    import duckdb

    with lake_sql.open() as lake:
        try:
            answer = lake.execute(config.statement)
            rows = answer.fetchmany(config.rows)
        except duckdb.Error as error:
            there = ", ".join(lake.tables())
            raise dg.Failure(f"{error}\nTables of the lake: {there}") from error
        columns = [column[0] for column in answer.description or ()]
        context.add_output_metadata(
            {
                "answer": dg.MetadataValue.md(_markdown(columns, rows)),
                "files_read": len(lake.files.opened),
                "bytes_read": lake.files.bytes_read,
            }
        )
        return len(rows)


def _markdown(columns: list[str], rows: list[tuple[object, ...]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


@dg.job(
    executor_def=dg.in_process_executor,
    description="Ask the lake with SQL, for those who have Dagster's page and no shell. Changes "
    "nothing. `telemetry sql` is the same as a command.",
)
def ask_lake() -> None:
    """Ask the lake with SQL."""
    ask()
