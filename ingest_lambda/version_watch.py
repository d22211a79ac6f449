"""How far the tables in storage are ahead of this edge: a look at each log, now and then.

Versions that others committed (compaction, other edges) cost the next append one request each, so
an edge that falls far behind will be slow. Nothing here commits, and a scrape never waits for it.
"""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

from obstore.exceptions import BaseError as StoreError

from telemetry_platform.polling import Polling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest_lambda.appender import Appender
    from ingest_lambda.metrics import Metrics
    from ingest_lambda.spooling import SpoolingAppender

_log = logging.getLogger(__name__)
_PACE_SECONDS = 10.0
# Looks that may go missing before what the last one saw says nothing any more.
_MISSED_LOOKS = 3


class _Seen:
    """What was seen of one table; read by scrapes, written by the watching thread."""

    def __init__(self, appender: Appender | SpoolingAppender, valid_seconds: float) -> None:
        self._appender = appender
        self._valid = valid_seconds
        self._newest: int | None = None
        self._until = 0.0

    def version(self) -> float:
        version = self._appender.version
        return math.nan if version is None else version

    def lag(self) -> float:
        newest, version = self._newest, self._appender.version
        if newest is None or version is None or time.monotonic() > self._until:
            return math.nan
        # The edge may have committed since the look.
        return max(0, newest - version)

    def look(self) -> None:
        version = self._appender.version
        if version is None:
            return
        try:
            # From what was seen before, or an idle edge would list the same entries ever again.
            self._newest = self._appender.newest(max(version, self._newest or 0))
        except (StoreError, OSError) as error:
            self._until = 0.0
            _log.info(
                "table version not seen",
                extra={"table": self._appender.name, "error": type(error).__name__},
            )
        else:
            self._until = time.monotonic() + self._valid


class VersionWatch(Polling):
    """Keeps the gauges of table versions. `start` it with an open edge, `stop` it before closing.

    A process that sleeps between requests, as a Lambda instance does, has no use for it.
    """

    def __init__(
        self,
        appenders: Sequence[Appender | SpoolingAppender],
        metrics: Metrics,
        pace_seconds: float = _PACE_SECONDS,
    ) -> None:
        """Add the gauges.

        Args:
            appenders: One for each table.
            metrics: Where the gauges are read.
            pace_seconds: Time between two looks. The lag is NaN once a look got no answer, and
                when none was over in three times this time.
        """
        super().__init__("version-watch", pace_seconds)
        self._tables = [_Seen(each, pace_seconds * _MISSED_LOOKS) for each in appenders]
        for appender, seen in zip(appenders, self._tables, strict=True):
            metrics.watch_version(appender.name, seen.version, seen.lag)

    def look(self) -> None:
        """Look at each table's log, which takes seconds at most."""
        for seen in self._tables:
            if not self.ending:
                seen.look()
