"""Reads the registries of devices and users from the bucket."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from telemetry_assets.lakehouse.registered import DEVICES
from telemetry_assets.lakehouse.warehouse_schema import DEVICES as DEVICES_TABLE
from telemetry_platform.objects import s3_client

if TYPE_CHECKING:
    from telemetry_assets.lakehouse.warehouse_schema import WarehouseTable
    from telemetry_platform.settings import Settings

REGISTRIES = ("devices", "users")
_DEVICES_KEY = "reference/devices.csv"
_log = logging.getLogger(__name__)


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


class DeviceRegistry:
    """The registry of devices as it is now; read again only when its object has changed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Any = None
        self._known: tuple[str | None, pl.DataFrame] = (None, DEVICES.to_frame())

    def current(self) -> pl.DataFrame:
        """Return columns of `registered.DEVICES`; none when there is no registry.

        A registry that cannot be read counts as none here: `reference/devices` fails and says why,
        while events go on.
        """
        tag = self._tag()
        if tag != self._known[0]:
            try:
                devices = read_registry(self._settings, DEVICES_TABLE)
            except WrongRegistry as error:
                _log.warning("Events are refined without the registry of devices: %s", error)
                devices = DEVICES.to_frame()
            self._known = (tag, devices)
        return self._known[1]

    def _tag(self) -> str | None:
        if not self._settings.root.startswith("s3://"):
            file = Path(self._settings.root) / _DEVICES_KEY
            return f"{file.stat().st_mtime_ns}" if file.exists() else None
        self._client = self._client or s3_client(self._settings)
        listing = self._client.list_objects_v2(Bucket=self._settings.s3_bucket, Prefix=_DEVICES_KEY)
        tags = {entry["Key"]: entry["ETag"] for entry in listing.get("Contents", [])}
        return tags.get(_DEVICES_KEY)
