"""Appends one frame to one Delta table, exactly once, whatever a commit reports.

A commit that failed may have happened all the same: the answer to its last PUT can be lost. So
each append carries a transaction number of this process (`txn` action of the Delta protocol) and
a retry first looks whether the table has it.
"""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING

from deltalake import (
    CommitProperties,
    DeltaTable,
    PostCommitHookProperties,
    Transaction,
    write_deltalake,
)
from deltalake.exceptions import DeltaError

from telemetry_platform.delta import ensure_table
from telemetry_platform.ids import new_uuid7

if TYPE_CHECKING:
    import polars as pl

    from telemetry_platform.layout import Table
    from telemetry_platform.settings import Settings

_log = logging.getLogger(__name__)

# A DeltaTable that lives long slows with every version it has seen, and a new one costs a few
# requests: reopening every ten commits measured best.
_REOPEN_AFTER = 10
_GIVE_UP_SECONDS = 20.0
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0
_HOOKS = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)


class NotDurable(RuntimeError):
    """Rows could not be committed in time. They may be sent again."""


class Appender:
    """Appends to one table from one thread. Opens (and when needed creates) it at once."""

    def __init__(
        self, settings: Settings, table: Table, give_up_seconds: float = _GIVE_UP_SECONDS
    ) -> None:
        self.name = table.path
        self.schema = table.schema
        self._settings = settings
        self._table = table
        self._give_up = give_up_seconds
        self._app_id = f"edge-{new_uuid7().hex}"
        self._number = 0
        self._uses = 0
        self._delta: DeltaTable | None = ensure_table(settings, table)

    def append(self, frame: pl.DataFrame) -> int:
        """Make `frame` durable, trying until it is or time is up.

        Args:
            frame: Rows with exactly the table's columns and types.

        Returns:
            A table version that holds the rows.

        Raises:
            NotDurable: Storage did not take them in time.
        """
        self._number += 1
        deadline = time.monotonic() + self._give_up
        pause = _FIRST_PAUSE_SECONDS
        retry = False
        while True:
            try:
                return self._try(frame, retry)
            except (DeltaError, OSError) as error:
                self._delta = None
                if time.monotonic() + pause > deadline:
                    raise NotDurable(f"{self.name} takes no commits") from error
                _log.warning("commit failed, trying again", extra={"table": self.name})
            retry = True
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311  (jitter, not a secret)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _try(self, frame: pl.DataFrame, retry: bool) -> int:
        delta = self._open()
        if retry and delta.transaction_version(self._app_id) == self._number:
            return delta.version()
        write_deltalake(
            delta,
            frame,
            mode="append",
            commit_properties=CommitProperties(
                app_transactions=[Transaction(self._app_id, self._number)]
            ),
            post_commithook_properties=_HOOKS,
        )
        return delta.version()

    def _open(self) -> DeltaTable:
        if self._delta is None or self._uses >= _REOPEN_AFTER:
            self._delta, self._uses = ensure_table(self._settings, self._table), 0
        self._uses += 1
        return self._delta
