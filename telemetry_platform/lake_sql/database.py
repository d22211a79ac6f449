"""A DuckDB database whose tables are those of the lake, each as it is when a question is asked.

DuckDB prunes: the view of a table takes partition columns from the names of its files, so that a
condition on them leaves files out before one is opened, and of a file that is read only the columns
and row groups that the question needs are fetched (docs/adr/0020).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Self

import duckdb
import obstore
import polars as pl
from obstore.store import LocalStore, S3Store

from telemetry_platform.delta import open_table, storage_options
from telemetry_platform.lake_sql.columns import file_schema, sql_name, sql_text, sql_type
from telemetry_platform.lake_sql.files import FIRST_VALUE, LakeFiles

if TYPE_CHECKING:
    from types import TracebackType

    from deltalake import DeltaTable

    from telemetry_platform.settings import Settings

LAYERS = ("landing", "bronze", "silver", "gold")
CONFIGURATION: dict[str, str | float | list[str]] = {
    # An extension would be downloaded.
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
# Statements that list tables name none.
_LISTING = re.compile(r"\b(show|information_schema|pg_catalog|duckdb_\w+)\b", re.IGNORECASE)
_WORD = re.compile(r"\w+")
_READABLE = {None, "timestampNtz"}


class UnreadableTable(RuntimeError):
    """A table needs a feature of Delta that its files alone do not show."""


class LakeDatabase:
    """Tables `landing.*`, `bronze.*`, `silver.*` and `gold.*` of a lake, to be read with SQL.

    Attributes:
        settings: Where the lake is.
        connection: DuckDB's, in memory. What it creates is gone at its end, and it cannot write to
            the lake. Times are shown in UTC.
        files: What of the lake it may open, and has opened.
    """

    def __init__(
        self, settings: Settings, connection: duckdb.DuckDBPyConnection | None = None
    ) -> None:
        """Open a database; no table is opened before a statement names it.

        Args:
            settings: Where the lake is.
            connection: One to add the tables to, such as a Dagster resource's.

        Raises:
            obstore.exceptions.BaseError: The store does not answer.
        """
        self.settings = settings
        self._open: dict[str, DeltaTable] = {}
        self._shown: dict[str, int] = {}
        self.files = LakeFiles(_store(settings))
        self.connection = connection or duckdb.connect(config=CONFIGURATION)
        self.connection.register_filesystem(self.files)
        self.connection.execute("SET TimeZone = 'UTC'")
        for layer in LAYERS:
            self.connection.execute(f"CREATE SCHEMA IF NOT EXISTS {layer}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.connection.close()

    def tables(self) -> list[str]:
        """Return the tables that are there, such as `silver.mobile`.

        Raises:
            obstore.exceptions.BaseError: The store does not answer.
        """
        found = []
        for layer in LAYERS:
            listed = obstore.list_with_delimiter(self.files.store, f"{layer}/")
            names = (prefix.rstrip("/").rsplit("/", 1)[-1] for prefix in listed["common_prefixes"])
            found += [f"{layer}.{name}" for name in sorted(names)]
        return found

    def attach(self, statement: str) -> None:
        """Show the tables that a statement names as they are now.

        `execute` and `frame` do so; call it before the connection is asked directly.

        Raises:
            UnreadableTable: One of them cannot be read by its files alone.
            deltalake.exceptions.DeltaError, obstore.exceptions.BaseError: The store does not
                answer.
        """
        words = {word.lower() for word in _WORD.findall(statement)}
        everything = _LISTING.search(statement) is not None
        for table in self.tables():
            if everything or table.split(".", 1)[1].lower() in words:
                self._show(table)

    def execute(self, statement: str) -> duckdb.DuckDBPyConnection:
        """Run a statement; returns what its rows are fetched from.

        Raises:
            duckdb.Error: The statement is wrong, or a file could not be read.
            UnreadableTable, deltalake.exceptions.DeltaError, obstore.exceptions.BaseError: As
                `attach` does.
        """
        self.attach(statement)
        return self.connection.execute(statement)

    def frame(self, statement: str) -> pl.DataFrame:
        """Return the answer to a statement as a frame.

        Raises:
            duckdb.Error: As `execute` does, and so with its other errors.
        """
        self.attach(statement)
        answer = self.connection.sql(statement)
        return pl.DataFrame() if answer is None else pl.DataFrame(answer)

    def _show(self, table: str) -> None:
        path = table.replace(".", "/", 1)
        if path in self._open:
            self._open[path].update_incremental()
        else:
            opened = open_table(self.settings, path)
            if opened is None:
                return
            self._open[path] = opened
        delta = self._open[path]
        if self._shown.get(path) != delta.version():
            self.connection.execute(self._view(path, delta))
            self._shown[path] = delta.version()

    def _view(self, path: str, delta: DeltaTable) -> str:
        """Return the statement that makes a table's view."""
        _check_readable(path, delta)
        layer, name = path.split("/", 1)
        partition_by = delta.metadata().partition_columns
        fields = delta.schema().fields
        names = self._name_files(path, delta, partition_by)
        columns = ", ".join(
            _partition_value(partition_by.index(field.name), sql_type(field.type), field.name)
            if field.name in partition_by
            else sql_name(field.name)
            for field in fields
        )
        view = f"CREATE OR REPLACE VIEW {layer}.{sql_name(name)} AS SELECT "
        if not names:
            nothing = (f"NULL::{sql_type(each.type)} AS {sql_name(each.name)}" for each in fields)
            return f"{view}{', '.join(nothing)} WHERE false"
        schema = file_schema([field for field in fields if field.name not in partition_by])
        files = f"[{', '.join(map(sql_text, names))}]"
        return f"{view}{columns} FROM read_parquet({files}, filename = true, schema = {schema})"

    def _name_files(self, path: str, delta: DeltaTable, partition_by: list[str]) -> list[str]:
        added = pl.DataFrame(delta.get_add_actions(flatten=True))
        if added.is_empty():
            return []
        values = added.select(pl.col(f"partition.{name}").cast(pl.String) for name in partition_by)
        rows = values.rows() if partition_by else [()] * added.height
        return [
            self.files.put_under_name(path, row, f"{path}/{file}", size)
            for row, file, size in zip(rows, added["path"], added["size_bytes"], strict=True)
        ]


def _partition_value(position: int, type_: str, name: str) -> str:
    part = f"url_decode(split_part(filename, '/', {FIRST_VALUE + position}))"
    return f"{part if type_ == 'VARCHAR' else f'{part}::{type_}'} AS {sql_name(name)}"


def _check_readable(path: str, delta: DeltaTable) -> None:
    protocol = delta.protocol()
    features = set(protocol.reader_features or ())
    if features - _READABLE or "delta.columnMapping.mode" in delta.metadata().configuration:
        raise UnreadableTable(f"{path} uses {', '.join(sorted(features)) or 'column mapping'}")


def _store(settings: Settings) -> S3Store | LocalStore:
    if not settings.root.startswith("s3://"):
        return LocalStore(prefix=settings.root)
    options = dict(storage_options(settings))
    allow_http = options.pop("AWS_ALLOW_HTTP", "false") == "true"
    return S3Store.from_url(
        settings.root,
        config={key.lower(): value for key, value in options.items()},
        client_options={"timeout": "60s", "connect_timeout": "5s", "allow_http": allow_http},
    )
