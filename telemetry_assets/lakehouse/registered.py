"""Joins events with the registry of devices, as it was at the moment of each event."""

from __future__ import annotations

import polars as pl

from telemetry_contracts.contract import Contract
from telemetry_contracts.frames import UTC_TIME
from telemetry_contracts.rules import REGISTERED

DEVICES = pl.Schema(
    {
        "device_id": pl.String,
        "user_id": pl.String,
        "place_name": pl.String,
        "latitude": pl.Float64,
        "longitude": pl.Float64,
        "time_zone": pl.String,
        "registered_at": UTC_TIME,
    }
)
"""The registry of devices: a row for each time that a device was registered."""

COLUMNS = tuple(name for name in DEVICES if name != "device_id")
"""What the registry knows of a device."""

PREFIX = "registry."
"""What the names of joined columns begin with, so that no field of a contract is called so."""


def registry_column(name: str) -> str:
    """Return how a column of the registry is called in joined rows."""
    return f"{PREFIX}{name}"


def join_registry(rows: pl.DataFrame, devices: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Add what the registry says of each event's device, if the contract asks for it.

    A device has a row of the registry for each time it was registered; the newest one before the
    event holds, and the first one for the time before it. The order of the rows stays.

    Args:
        rows: Events with `device_id` and `event_time`.
        devices: The registry, columns of `DEVICES`; empty when there is none.
        contract: Says which columns are wanted.

    Returns:
        `rows` with `rules.REGISTERED` (null when there is no registry) and the wanted columns.
    """
    if not contract.asks_registry:
        return rows
    wanted = sorted(_wanted(contract))
    if devices.is_empty():
        dtypes = {registry_column(name): devices.schema[name] for name in wanted}
        absent = [pl.lit(None, dtype).alias(name) for name, dtype in dtypes.items()]
        return rows.with_columns(pl.lit(None, pl.Boolean).alias(REGISTERED), *absent)
    known = devices.sort("device_id", "registered_at", nulls_last=False).select(
        "device_id",
        pl.lit(value=True).alias(REGISTERED),
        *(pl.col(name).alias(registry_column(name)) for name in wanted),
        pl.when(pl.col("device_id") == pl.col("device_id").shift())
        .then("registered_at")
        .alias("registry.since"),
    )
    if known["registry.since"].null_count() == known.height:
        joined = rows.join(
            known.drop("registry.since"), on="device_id", how="left", maintain_order="left"
        )
    else:
        joined = _join_as_of(rows, known)
    return joined.with_columns(pl.col(REGISTERED).fill_null(value=False))


def _join_as_of(rows: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    place = "registry.place"
    since = pl.col("registry.since").fill_null(pl.lit(0).cast(known.schema["registry.since"]))
    return (
        rows.with_row_index(place)
        .sort("event_time")
        .join_asof(
            known.with_columns(since).sort("registry.since"),
            left_on="event_time",
            right_on="registry.since",
            by="device_id",
            check_sortedness=False,
        )
        .sort(place)
        .drop(place, "registry.since")
    )


def _wanted(contract: Contract) -> set[str]:
    return {
        field.derivation.arguments["column"]
        for field in contract.fields
        if field.derivation is not None and field.derivation.function == "registered"
    }
