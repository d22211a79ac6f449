"""What became of acknowledged events: counts rows by receipt in the marts and beside them."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from telemetry_cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_NOT_YET = (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName)
_COUNTS = {
    "in_mart": ("marts", "fct_events"),
    "quarantined": ("warehouse", "quarantine"),
    "duplicate_in_silver": ("warehouse", "duplicates"),
    "superseded": ("warehouse", "superseded"),
}
_POLL_SECONDS = 0.5
_REMEDY = "Look at the runs in the Dagster UI and at the logs in TELEMETRY_HOME/logs."


@dataclass(slots=True)
class Fates:
    """Rows of one source that belong to given receipts; their sum is what was accepted."""

    in_mart: int = 0
    quarantined: int = 0
    duplicate_in_silver: int = 0
    superseded: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.in_mart + self.quarantined + self.duplicate_in_silver + self.superseded


class ArrivalError(CommandError):
    """The marts did not hold everything in time.

    Attributes:
        fates: What they did hold, by source.
    """

    def __init__(self, message: str, fates: dict[str, Fates]) -> None:
        super().__init__(message, _REMEDY)
        self.fates = fates


def count_fates(connection: psycopg.Connection, receipts: Sequence[str]) -> dict[str, Fates]:
    """Return the fates by source of the events of some receipts.

    The connection must be in autocommit mode: tables that do not exist yet count as empty.
    """
    fates: dict[str, Fates] = {}
    for name, table in _COUNTS.items():
        query = sql.SQL(
            "SELECT source, count(*) FROM {} WHERE receipt_id = ANY(%s) GROUP BY source"
        ).format(sql.Identifier(*table))
        try:
            rows = connection.execute(query, (list(receipts),)).fetchall()
        except _NOT_YET:
            continue
        for source, count in rows:
            setattr(fates.setdefault(source, Fates()), name, count)
    return fates


def wait_for_fates(
    dsn: str,
    accepted: Mapping[str, int],
    receipts: Sequence[str],
    *,
    seconds: float,
    on_poll: Callable[[int], None],
) -> dict[str, Fates]:
    """Wait until every accepted event is in a mart, in quarantine, a duplicate, or superseded.

    Args:
        dsn: The analytics database.
        accepted: Accepted events by source.
        receipts: The receipts of these events.
        seconds: How long to wait.
        on_poll: Called with the number of events found so far.

    Returns:
        The fates by source.

    Raises:
        ArrivalError: Time is over; the message says how many of which source are missing.
    """
    deadline = time.monotonic() + seconds
    with psycopg.connect(dsn, autocommit=True, connect_timeout=10) as connection:
        while True:
            fates = count_fates(connection, receipts)
            on_poll(sum(each.total for each in fates.values()))
            missing = missing_events(accepted, fates)
            if not missing:
                return fates
            if time.monotonic() > deadline:
                raise ArrivalError(_explain(missing, fates, seconds), fates)
            time.sleep(_POLL_SECONDS)


def missing_events(accepted: Mapping[str, int], fates: Mapping[str, Fates]) -> dict[str, int]:
    """Return by source how many accepted events have no fate (negative: too many rows)."""
    sources = accepted.keys() | fates.keys()
    differences = {
        source: accepted.get(source, 0) - fates.get(source, Fates()).total for source in sources
    }
    return {source: missing for source, missing in sorted(differences.items()) if missing}


def _explain(missing: Mapping[str, int], fates: Mapping[str, Fates], seconds: float) -> str:
    parts = [
        f"{source}: {count:,} events without a fate ({asdict(fates.get(source, Fates()))})"
        for source, count in missing.items()
    ]
    return f"After {seconds:.0f} s the marts do not hold everything. {'; '.join(parts)}."
