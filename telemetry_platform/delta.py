"""The one place that opens, creates and overwrites Delta tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
from deltalake import (
    CommitProperties,
    DeltaTable,
    PostCommitHookProperties,
    Schema,
    Transaction,
    write_deltalake,
)
from deltalake.exceptions import CommitFailedError, TableNotFoundError
from deltalake.schema import PrimitiveType

if TYPE_CHECKING:
    from telemetry_platform.layout import Table
    from telemetry_platform.settings import Settings


_AFTER_COMMIT = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)
_INTEGER = PrimitiveType("long")
Partition = dict[str, str | list[str]]
"""Partition columns and the value, or the values, of each."""


class SchemaMismatch(ValueError):
    """A frame does not have the columns or the types of the table it is written to."""


def storage_options(settings: Settings) -> dict[str, str]:
    """Return delta-rs options for the configured object store; none for a local lake."""
    if not settings.root.startswith("s3://"):
        return {}
    secret, session = settings.aws_secret_access_key, settings.aws_session_token
    options = {
        "AWS_REGION": settings.s3_region,
        "AWS_ENDPOINT_URL": settings.s3_endpoint,
        "AWS_ACCESS_KEY_ID": settings.aws_access_key_id,
        "AWS_SECRET_ACCESS_KEY": secret.get_secret_value() if secret else None,
        "AWS_SESSION_TOKEN": session.get_secret_value() if session else None,
        "AWS_ALLOW_HTTP": "true" if (settings.s3_endpoint or "").startswith("http:") else None,
    }
    return {key: value for key, value in options.items() if value}


def table_uri(settings: Settings, path: str) -> str:
    """Return where the table at `path` (such as `landing/events`) lies."""
    return f"{settings.root}/{path}"


def open_table(settings: Settings, path: str, version: int | None = None) -> DeltaTable | None:
    """Open the table at `path`, as of now or of a version; None when it does not exist yet."""
    uri, options = table_uri(settings, path), storage_options(settings)
    try:
        return DeltaTable(uri, version=version, storage_options=options)
    except TableNotFoundError:
        return None


def ensure_table(settings: Settings, table: Table) -> DeltaTable:
    """Open `table`, creating it when it does not exist. Safe when several processes try."""
    found = open_table(settings, table.path)
    if found is not None:
        return found
    try:
        return DeltaTable.create(
            table_uri(settings, table.path),
            schema=Schema.from_arrow(table.schema),
            mode="ignore",
            partition_by=list(table.partition_by),
            configuration=table.configuration,
            storage_options=storage_options(settings),
        )
    except CommitFailedError:
        # Another one made it between the look and the commit, which the mode does not forgive.
        found = open_table(settings, table.path)
        if found is None:
            raise
        return found


def cast_strict(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """Return `frame` with exactly the columns and types of `schema`.

    delta-rs cuts values silently (1.5 becomes 1 in an integer column), and so does a strict cast
    of Polars; nothing reaches the table that was not checked here.

    Raises:
        SchemaMismatch: A column is missing, or a value does not fit its type.
    """
    if frame.schema == schema:
        return frame
    missing = [name for name in schema if name not in frame.columns]
    if missing:
        raise SchemaMismatch(f"columns are missing: {', '.join(missing)}")
    return pl.DataFrame([_fitting(frame[name], dtype) for name, dtype in schema.items()])


def _fitting(values: pl.Series, dtype: pl.DataType | type[pl.DataType]) -> pl.Series:
    """Cast without loss. The message names the column only: its values may be personal."""
    if values.dtype == dtype:
        return values
    wrong = SchemaMismatch(f"column {values.name!r}: a value of {values.dtype} is no {dtype}")
    try:
        fitted = values.cast(dtype, strict=True)
    except pl.exceptions.PolarsError:
        raise wrong from None
    if values.dtype.is_numeric() or values.dtype.is_temporal():
        kept = fitted.cast(values.dtype, strict=False).eq_missing(values)
        if not kept.all():
            raise wrong
    return fitted


def replace_partition(
    settings: Settings,
    table: Table,
    frame: pl.DataFrame,
    where: Partition,
    inputs: dict[str, int] | None = None,
) -> int:
    """Overwrite the part of `table` that `where` names with `frame`, in one commit.

    Args:
        settings: Where the lake is.
        table: The table; it is created when it does not exist.
        frame: The new rows.
        where: Partition columns and values to replace.
        inputs: Versions of what the rows were made from, by a name; `input_version` returns them.

    Returns:
        The table's version after the commit.

    Raises:
        SchemaMismatch: The frame does not fit the table.
    """
    delta = ensure_table(settings, table)
    widen_table(delta, table)
    write_deltalake(
        delta,
        cast_strict(frame, table.schema),
        mode="overwrite",
        predicate=_sql(where),
        # A contract may gain a field: older partitions then hold null there.
        schema_mode="merge",
        post_commithook_properties=_AFTER_COMMIT,
        commit_properties=CommitProperties(
            max_commit_retries=15,
            app_transactions=[
                Transaction(name, version) for name, version in (inputs or {}).items()
            ],
        ),
    )
    return delta.version()


def widen_table(delta: DeltaTable, table: Table) -> None:
    """Rewrite an open table in one commit when a contract has widened the type of a column.

    Delta has no such change without a rewrite. Rows are streamed; a writer that commits meanwhile
    makes this fail, or fails itself, and has to be repeated.
    """
    integers = {field.name for field in delta.schema().fields if field.type == _INTEGER}
    numbers = {name for name, dtype in table.schema.items() if dtype == pl.Float64}
    wider = sorted(numbers & integers)
    if wider:
        pl.scan_delta(delta).with_columns(pl.col(wider).cast(pl.Float64)).sink_delta(
            delta,
            mode="overwrite",
            delta_write_options={
                "schema_mode": "overwrite",
                "partition_by": list(table.partition_by),
                "configuration": table.configuration,
                "post_commithook_properties": _AFTER_COMMIT,
            },
        )
        delta.update_incremental()


def input_version(settings: Settings, path: str, name: str) -> int | None:
    """Return the version that `replace_partition` noted under `name`, if it ever did."""
    delta = open_table(settings, path)
    return None if delta is None else delta.transaction_version(name)


def scan_partition(
    settings: Settings, path: str, where: Partition, schema: pl.Schema
) -> pl.LazyFrame:
    """Return the rows of the partitions that `where` names; none when the table is missing."""
    delta = open_table(settings, path)
    return pl.LazyFrame(schema=schema) if delta is None else scan_table(delta, where, schema)


def scan_table(delta: DeltaTable, where: Partition, schema: pl.Schema) -> pl.LazyFrame:
    """Return the columns of `schema` of the partitions of an open table that `where` names.

    A column that the table has not got yet is null: its contract gained a field.
    """
    frame = pl.scan_delta(delta)
    for column, value in where.items():
        test = pl.col(column) == value if isinstance(value, str) else pl.col(column).is_in(value)
        frame = frame.filter(test)
    present = frame.collect_schema()
    return frame.select(
        # A table that was not written since its contract widened a type is widened here.
        (pl.col(name) if present[name] == dtype else pl.col(name).cast(dtype))
        if name in present
        else pl.lit(None, dtype).alias(name)
        for name, dtype in schema.items()
    )


def partition_sizes(delta: DeltaTable) -> pl.DataFrame:
    """Return rows by partition, from the log alone: the partition columns and `rows`."""
    columns = delta.metadata().partition_columns
    schema = pl.Schema({**dict.fromkeys(columns, pl.String), "rows": pl.Int64})
    files = pl.DataFrame(delta.get_add_actions(flatten=True))
    if files.is_empty():
        return schema.to_frame()
    return (
        files.group_by([pl.col(f"partition.{name}").alias(name) for name in columns])
        .agg(pl.col("num_records").sum().alias("rows"))
        .cast(schema)
    )


def count_partition(delta: DeltaTable | None, where: Partition) -> int:
    """Return how many rows the partitions that `where` names have, from the log alone."""
    if delta is None:
        return 0
    sizes = partition_sizes(delta)
    for column, value in where.items():
        values = [value] if isinstance(value, str) else value
        sizes = sizes.filter(pl.col(column).is_in(values))
    return int(sizes["rows"].sum())


def _sql(where: Partition) -> str:
    """Write a partition as a predicate; partition values are never personal."""
    clauses = []
    for column, value in where.items():
        values = [value] if isinstance(value, str) else value
        if not values:
            raise ValueError(f"no value given for partition column {column!r}")
        quoted = ", ".join("'" + item.replace("'", "''") + "'" for item in values)
        clauses.append(f"{column} IN ({quoted})")
    return " AND ".join(clauses)
