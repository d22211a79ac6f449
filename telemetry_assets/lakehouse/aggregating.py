"""From silver to gold: mergeable partial aggregates and device profiles."""

from __future__ import annotations

import polars as pl

from telemetry_assets.lakehouse.tables import DEVICE_PROFILES, HOUR_PARTIALS, METRIC_PARTIALS
from telemetry_contracts.contract import Contract
from telemetry_contracts.frames import silver_schema
from telemetry_platform.layout import Table

_KEY = ("source", "received_hour", "device_id", "source_file")


def metric_partials(silver: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Aggregate each metric by device, file and event minute.

    A partial (n, mean, M2, …) of one arrival hour can be merged with those of others exactly, by
    Chan, Golub and LeVeque (1983), The American Statistician 37, 242-247; so late events only add
    partials.

    Args:
        silver: Rows of `silver/<source>` of one arrival hour.
        contract: The source's contract; fields marked as metric are aggregated.

    Returns:
        Columns of `tables.METRIC_PARTIALS`; `source_file` is empty for events from no file. Rows
        whose metric is null count nowhere.
    """
    return _partials(silver, contract, METRIC_PARTIALS, pl.col("event_time").dt.truncate("1m"))


def hour_partials(silver: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Aggregate each metric by device, file and event hour (UTC), otherwise as `metric_partials`.

    Returns:
        Columns of `tables.HOUR_PARTIALS`.
    """
    return _partials(silver, contract, HOUR_PARTIALS, pl.col("event_time").dt.truncate("1h"))


def _partials(
    silver: pl.DataFrame, contract: Contract, table: Table, bucket: pl.Expr
) -> pl.DataFrame:
    if silver.is_empty() or not contract.metrics:
        return table.schema.to_frame()
    (name,) = set(table.schema) & {"event_minute", "event_hour"}
    key = (*_KEY, name)
    # In this order the groups come out ordered by their key, and each by event time.
    keyed = (
        silver.lazy()
        .with_columns(bucket.alias(name), pl.col("source_file").fill_null(""))
        .sort(*_KEY, "event_time", "event_id")
    )
    metrics = sorted(column.name for column in contract.metrics)
    grouped = [_partials_of(keyed, metric, key).select(list(table.schema)) for metric in metrics]
    return pl.concat(pl.collect_all(grouped))


def _partials_of(keyed: pl.LazyFrame, metric: str, key: tuple[str, ...]) -> pl.LazyFrame:
    value, values, moment = pl.col(metric), pl.col("values").list, pl.col("event_time")
    return (
        keyed.filter(value.is_not_null())
        # A group's values as one list: Polars adds up the groups of a column in an order that
        # depends on its threads, and then an hour that runs again differs in the last bit.
        .group_by(key, maintain_order=True)
        .agg(
            value.cast(pl.Float64).alias("values"),
            moment.first().alias("first_at"),
            moment.last().alias("last_at"),
        )
        .with_columns(
            pl.lit(metric).alias("metric"),
            values.len().cast(pl.Int64).alias("n"),
            values.sum().alias("total"),
            values.min().alias("minimum"),
            values.max().alias("maximum"),
            values.first().alias("first_value"),
            values.last().alias("last_value"),
        )
        .with_columns((pl.col("total") / pl.col("n")).alias("mean"))
        .with_columns((pl.col("values") - pl.col("mean")).alias("apart"))
        .with_columns((pl.col("apart") * pl.col("apart")).list.sum().alias("m2"))
    )


def device_profiles(silver: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Find the spans of event time in which what a device says of itself did not change.

    Args:
        silver: Rows of `silver/<source>` of one arrival hour.
        contract: The source's contract; fields marked as device attributes are compared.

    Returns:
        Columns of `tables.DEVICE_PROFILES`, one row per device and span, `attributes` as JSON. An
        attribute that an event leaves out is taken to be as in the event before it, or after it
        for the first; a device without attributes has one span.
    """
    if silver.is_empty():
        return DEVICE_PROFILES.schema.to_frame()
    names = [column.name for column in contract.device_attributes]
    attributes = pl.struct(names).struct.json_encode() if names else pl.lit("{}")
    known = [pl.col(name).forward_fill().backward_fill().over("device_id") for name in names]
    spans = (
        silver.lazy()
        .select("source", "received_hour", "device_id", "event_time", "event_id", *names)
        .sort("device_id", "event_time", "event_id")
        .with_columns(known)
        .with_columns(attributes.alias("attributes"))
        .with_columns(
            (pl.col("attributes") != pl.col("attributes").shift())
            .fill_null(value=True)
            .cum_sum()
            .over("device_id")
            .alias("span")
        )
        .group_by("source", "received_hour", "device_id", "span", maintain_order=True)
        .agg(
            pl.col("event_time").first().alias("valid_from"),
            pl.col("event_time").last().alias("valid_to"),
            pl.col("attributes").first(),
            pl.len().cast(pl.Int64).alias("n"),
        )
    )
    return spans.select(list(DEVICE_PROFILES.schema)).collect()


def required_columns(contract: Contract) -> list[str]:
    """Return the silver columns that gold reads."""
    names = {"source", "received_hour", "device_id", "source_file", "event_time", "event_id"}
    names |= {column.name for column in (*contract.metrics, *contract.device_attributes)}
    return [name for name in silver_schema(contract) if name in names]
