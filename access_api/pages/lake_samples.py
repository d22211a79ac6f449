"""A few rows of a table of the lake, read by the access API's own account beside the event loop."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from access_api.tracing import lake_of_reader

if TYPE_CHECKING:
    from collections.abc import Collection

    from telemetry_platform.settings import Settings

_log = logging.getLogger(__name__)
_AT_A_TIME = 2


class LakeAway(Exception):
    """The lake cannot be read, or takes too long."""


class LakeSamples:
    """Reads rows for pages, a few tables at a time. Used from the event loop of one process.

    Attributes:
        allowed: Whether the access API has an account in the lake at all.
    """

    def __init__(self, settings: Settings) -> None:
        """Note where the lake is; each page opens the table that it shows."""
        self._lake = lake_of_reader(settings)
        self._places = asyncio.Semaphore(_AT_A_TIME)
        self.allowed = self._lake is not None

    async def rows(
        self, path: str, sources: Collection[str] | None, limit: int, seconds: float
    ) -> list[dict[str, Any]]:
        """Return rows of the newest arrival hour that has some, in no particular order.

        Args:
            path: Such as `silver/mobile`.
            sources: Sources whose rows may be shown; None for those of all.
            limit: How many rows at most.
            seconds: How long the reader waits for them.

        Raises:
            LakeAway: They cannot be read in time.
        """
        if self._lake is None:
            raise LakeAway
        try:
            async with asyncio.timeout(seconds), self._places:
                return await asyncio.to_thread(_rows, self._lake, path, sources, limit)
        except TimeoutError as error:
            raise LakeAway from error


def _rows(
    lake: Settings, path: str, sources: Collection[str] | None, limit: int
) -> list[dict[str, Any]]:
    # Imported here: they double the memory of a process whose pages nobody looks at.
    import polars as pl
    from deltalake.exceptions import DeltaError
    from obstore.exceptions import BaseError as StoreError

    from telemetry_platform.delta import open_table, partition_sizes
    from telemetry_platform.layout import RECEIVED_HOUR, SOURCE

    try:
        delta = open_table(lake, path)
        if delta is None:
            return []
        partitions = partition_sizes(delta).filter(pl.col("rows") > 0).drop("rows")
        if sources is not None:
            partitions = partitions.filter(pl.col(SOURCE).is_in(list(sources)))
        if partitions.is_empty():
            return []
        newest = partitions.sort(RECEIVED_HOUR, descending=True).row(0, named=True)
        there = pl.all_horizontal(pl.col(name) == value for name, value in newest.items())
        return pl.scan_delta(delta).filter(there).head(limit).collect().rows(named=True)
    except (DeltaError, StoreError, pl.exceptions.ComputeError, OSError) as error:
        _log.warning("the lake is away", extra={"reason": type(error).__name__})
        raise LakeAway from error
