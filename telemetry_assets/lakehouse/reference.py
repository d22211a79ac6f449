"""Reads the registries of devices and users from the bucket."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from telemetry_platform.objects import s3_client

if TYPE_CHECKING:
    from telemetry_assets.lakehouse.warehouse_schema import WarehouseTable
    from telemetry_platform.settings import Settings

REGISTRIES = ("devices", "users")


class WrongRegistry(ValueError):
    """A registry file does not have the columns or the types it must have."""


def object_key(name: str) -> str:
    """Return the object that holds a registry."""
    return f"reference/{name}.csv"


def read_registry(settings: Settings, table: WarehouseTable) -> pl.DataFrame:
    """Return the rows of a registry; none when nobody has uploaded it.

    Raises:
        WrongRegistry: A column is missing, or a value does not fit it; the message names it.
    """
    content = _content(settings, object_key(table.name))
    if content is None:
        return pl.DataFrame(schema=table.columns)
    raw = pl.read_csv(io.BytesIO(content), infer_schema=False)
    missing = [name for name in table.columns if name not in raw.columns]
    if missing:
        raise WrongRegistry(f"{object_key(table.name)} lacks the columns {', '.join(missing)}")
    try:
        return raw.select(_typed(name, dtype) for name, dtype in table.columns.items())
    except pl.exceptions.PolarsError as error:
        raise WrongRegistry(f"{object_key(table.name)}: {error}") from error


def registry_versions(settings: Settings) -> dict[str, str]:
    """Return the entity tag of each registry that is in the bucket."""
    client = s3_client(settings)
    listing = client.list_objects_v2(Bucket=settings.s3_bucket, Prefix="reference/")
    tags = {entry["Key"]: entry["ETag"] for entry in listing.get("Contents", [])}
    return {name: tags[object_key(name)] for name in REGISTRIES if object_key(name) in tags}


def _typed(name: str, dtype: pl.DataType | type[pl.DataType]) -> pl.Expr:
    if isinstance(dtype, pl.Datetime):
        return pl.col(name).str.to_datetime(time_unit="us", time_zone="UTC")
    return pl.col(name).cast(dtype)


def _content(settings: Settings, key: str) -> bytes | None:
    if not settings.root.startswith("s3://"):
        file = Path(settings.root) / key
        return file.read_bytes() if file.exists() else None
    client = s3_client(settings)
    try:
        return client.get_object(Bucket=settings.s3_bucket, Key=key)["Body"].read()
    except client.exceptions.NoSuchKey:
        return None
