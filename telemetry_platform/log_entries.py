"""What a Delta log entry of an append says: files, their statistics, the writer's transaction."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

if TYPE_CHECKING:
    import polars as pl

    from telemetry_platform.layout import Table

_MILLISECOND = timedelta(milliseconds=1)


class Transaction(NamedTuple):
    """The number of a commit among those of one writer."""

    app_id: str
    sequence: int

    def action(self) -> dict[str, Any]:
        """Return the `txn` action of the log entry."""
        return {"appId": self.app_id, "version": self.sequence}


class Prepared:
    """Rows that are stored but not committed: the `add` actions of one commit."""

    def __init__(
        self, adds: list[dict[str, Any]], rows: int, transaction: Transaction | None = None
    ) -> None:
        self._adds = adds
        self._rows = rows
        self._transaction = transaction

    def entry(self, table: Table) -> bytes:
        """Return the log entry: one JSON action a line."""
        info = {
            "timestamp": int(time.time() * 1000),
            "operation": "WRITE",
            "operationParameters": {
                "mode": "Append",
                "partitionBy": orjson.dumps(list(table.partition_by)).decode(),
            },
            "isBlindAppend": True,
            "engineInfo": "telemetry-lakehouse",
            "operationMetrics": {"num_added_files": len(self._adds), "num_added_rows": self._rows},
        }
        actions = [{"commitInfo": info}, *({"add": add} for add in self._adds)]
        if self._transaction is not None:
            actions.append({"txn": self._transaction.action()})
        return b"\n".join(map(orjson.dumps, actions))

    def is_in(self, entry: bytes) -> bool:
        """Whether a log entry commits these rows.

        It does when it names the same objects, whose names are never used twice, or when it is the
        same transaction: an earlier attempt with other objects that arrived late.
        """
        if self._adds and self._adds[0]["path"].encode() in entry:
            return True
        if self._transaction is None:
            return False
        found = (orjson.loads(line).get("txn") for line in entry.splitlines() if b'"txn"' in line)
        wanted = self._transaction.action()
        return any(txn is not None and wanted.items() <= txn.items() for txn in found)


def file_statistics(part: pl.DataFrame, columns: tuple[str, ...]) -> dict[str, Any]:
    """Return the file's statistics: of the given time columns only, in whole milliseconds."""
    statistics: dict[str, Any] = {"numRecords": part.height}
    minima: dict[str, str] = {}
    maxima: dict[str, str] = {}
    nulls: dict[str, int] = {}
    for name in columns:
        nulls[name] = part[name].null_count()
        low, high = part[name].min(), part[name].max()
        if isinstance(low, datetime) and isinstance(high, datetime):
            minima[name] = _milliseconds(low)
            maxima[name] = _milliseconds(high + _MILLISECOND)
    return statistics | {"minValues": minima, "maxValues": maxima, "nullCount": nulls}


def _milliseconds(moment: datetime) -> str:
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
