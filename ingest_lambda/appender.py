"""Makes one frame durable in one Delta table, exactly once, trying until time is up.

How a commit is written is `telemetry_platform.delta_log`'s matter. Its commits may be repeated
after any failure, so a lost answer never doubles rows.
"""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING

from deltalake.exceptions import DeltaError
from obstore.exceptions import BaseError as StoreError

from telemetry_platform.delta_log import DeltaLog, TableUnsuitable

if TYPE_CHECKING:
    import polars as pl

    from telemetry_platform.layout import Table
    from telemetry_platform.log_entries import Prepared
    from telemetry_platform.settings import Settings

_log = logging.getLogger(__name__)
_GIVE_UP_SECONDS = 12.0
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0


class NotDurable(RuntimeError):
    """Rows could not be committed in time. They may be sent again."""


class Appender:
    """Appends to one table from one thread. Opens (and when needed creates) it at once."""

    def __init__(
        self,
        settings: Settings,
        table: Table,
        give_up_seconds: float = _GIVE_UP_SECONDS,
        app_id: str | None = None,
    ) -> None:
        """Serve `table`.

        Args:
            settings: Where the table is.
            table: What it looks like.
            give_up_seconds: How long a frame is tried.
            app_id: Whose numbers commits carry, when they are numbered.
        """
        self.name = table.path
        self.schema = table.schema
        self._give_up = give_up_seconds
        self._delta = DeltaLog(settings, table, app_id)

    def append(self, frame: pl.DataFrame, sequence: int | None = None) -> int:
        """Make `frame` durable, trying until it is or time is up.

        Args:
            frame: Rows with exactly the table's columns and types.
            sequence: The commit's number; it must grow from commit to commit.

        Returns:
            The table version that holds the rows.

        Raises:
            NotDurable: Storage did not take them in time.
        """
        deadline = time.monotonic() + self._give_up
        pause = _FIRST_PAUSE_SECONDS
        prepared: Prepared | None = None
        while True:
            try:
                prepared = prepared or self._delta.prepare(frame, sequence)
                return self._delta.commit(prepared)
            except TableUnsuitable as error:
                raise NotDurable(str(error)) from error
            except (DeltaError, StoreError, OSError) as error:
                if time.monotonic() + pause > deadline:
                    raise NotDurable(f"{self.name} takes no commits") from error
                _log.warning(
                    "commit failed, trying again",
                    extra={"table": self.name, "error": type(error).__name__},
                )
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311  (jitter, not a secret)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def last_sequence(self) -> int:
        """Return the number of the newest commit under the appender's `app_id`, else 0.

        Raises:
            deltalake.exceptions.DeltaError, OSError: The table cannot be read.
        """
        return self._delta.last_sequence()

    @property
    def is_open(self) -> bool:
        """Whether the table was reached since the process started: always, see `__init__`."""
        return True

    @property
    def version(self) -> int:
        """The newest table version that this appender knows of."""
        return self._delta.version

    def newest(self, known: int) -> int:
        """Return the newest table version in storage; see `DeltaLog.newest`."""
        return self._delta.newest(known)

    def close(self) -> None:
        """Finish what goes on in the background."""
        self._delta.close()
