"""Finds the commits of a Delta table by time, from single entries of its log.

A table's state says which files it has now, not since when. The log says it, entry by entry, and a
search by time reads a dozen of thousands. Nothing is written here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import obstore
import orjson

from telemetry_platform.delta_log import open_store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from obstore.store import LocalStore, S3Store

    from telemetry_platform.settings import Settings

    Store = S3Store | LocalStore

MOST_ENTRIES = 400
"""Entries that a search reads at most after the moment it begins at."""

_CLIENT = {"timeout": "10s", "connect_timeout": "3s"}
_RETRIES = {"max_retries": 2, "retry_timeout": timedelta(seconds=8)}
# Writers that race give their entries times that are not quite in the order of the versions.
_SLACK = timedelta(seconds=2)
# The log has times in whole milliseconds.
_ROUNDING = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Added:
    """A file that a commit added.

    Attributes:
        first, last: Smallest and largest `received_at` of its rows, when the log has them.
        new_rows: False when it only rewrote rows that other files had.
    """

    path: str
    partition: Mapping[str, str]
    rows: int | None
    first: datetime | None
    last: datetime | None
    new_rows: bool

    def covers(self, moment: datetime) -> bool:
        """Whether a row that was received at `moment` may be in the file."""
        if self.first is None or self.last is None:
            return True
        return self.first - _ROUNDING <= moment <= self.last + _ROUNDING

    def is_of(self, partition: Mapping[str, str]) -> bool:
        """Whether the file belongs to a partition, or to a part of one."""
        return partition.items() <= self.partition.items()


@dataclass(frozen=True)
class Commit:
    """One entry of a Delta log.

    Attributes:
        inputs: Versions of what the rows were made from, by name (`delta.replace_partition`).
    """

    table: str
    version: int
    at: datetime
    added: tuple[Added, ...]
    inputs: Mapping[str, int] = field(default_factory=dict)


def open_lake(settings: Settings) -> Store:
    """Return the object store whose root is the lake: one for all tables, to open it is slow."""
    return open_store(settings, "", _CLIENT, _RETRIES)


class CommitLog:
    """The log of one table, as it is when it is first asked."""

    def __init__(self, store: Store, table: str) -> None:
        """Look at the table at a path such as `landing/events`; it need not exist."""
        self.table = table
        self._store = store
        self._read: dict[int, Commit | None] = {}
        self._newest: int | None = None

    @property
    def newest(self) -> int:
        """The newest version, -1 for a table that does not exist."""
        if self._newest is None:
            self._newest = self._find_newest()
        return self._newest

    def commit(self, version: int) -> Commit | None:
        """Return a commit, None when the log has it no more.

        Raises:
            OSError, obstore.exceptions.BaseError: The store did not answer.
        """
        if version not in self._read:
            self._read[version] = self._fetch(version)
        return self._read[version]

    def since(self, moment: datetime) -> Iterator[Commit]:
        """Yield commits from about `moment` on, at most MOST_ENTRIES.

        Nothing when the log does not reach back so far: what it still has would come too late.
        """
        begin = self._first_at(moment - _SLACK)
        if begin > 0 and self.commit(begin - 1) is None:
            return
        for version in islice(range(begin, self.newest + 1), MOST_ENTRIES):
            commit = self.commit(version)
            if commit is not None:
                yield commit

    def _first_at(self, moment: datetime) -> int:
        """Return the first version that is not older than `moment`."""
        low, high = 0, self.newest + 1
        while low < high:
            middle = (low + high) // 2
            commit = self.commit(middle)
            # The oldest entries are the ones that are cleaned up.
            if commit is None or commit.at < moment:
                low = middle + 1
            else:
                high = middle
        return low

    def _find_newest(self) -> int:
        known = -1
        try:
            body = bytes(obstore.get(self._store, f"{self._log}/_last_checkpoint").bytes())
            known = int(orjson.loads(body)["version"])
        except FileNotFoundError:
            pass
        listed = obstore.list(self._store, self._log, offset=self._entry(max(known, 0)))
        names = [each["path"].rpartition("/")[2] for page in listed for each in page]
        found = [int(name[:-5]) for name in names if name.endswith(".json") and name[:-5].isdigit()]
        if found:
            return max(found)
        return 0 if known < 0 and self.commit(0) is not None else known

    @property
    def _log(self) -> str:
        return f"{self.table}/_delta_log"

    def _entry(self, version: int) -> str:
        return f"{self._log}/{version:020d}.json"

    def _fetch(self, version: int) -> Commit | None:
        try:
            body = bytes(obstore.get(self._store, self._entry(version)).bytes())
        except FileNotFoundError:
            return None
        return read_commit(self.table, version, body)


def read_commit(table: str, version: int, entry: bytes) -> Commit:
    """Return what a log entry says (Delta protocol, "Actions")."""
    at = datetime.fromtimestamp(0, UTC)
    added: list[Added] = []
    inputs: dict[str, int] = {}
    for line in entry.splitlines():
        action: dict[str, Any] = orjson.loads(line)
        if "commitInfo" in action:
            at = _moment(action["commitInfo"].get("timestamp", 0))
        elif "add" in action:
            added.append(_added(action["add"]))
        elif "txn" in action:
            inputs[action["txn"]["appId"]] = action["txn"]["version"]
    return Commit(table, version, at, tuple(added), inputs)


def _added(add: dict[str, Any]) -> Added:
    statistics = orjson.loads(add["stats"]) if add.get("stats") else {}
    first = statistics.get("minValues", {}).get("received_at")
    last = statistics.get("maxValues", {}).get("received_at")
    return Added(
        path=add["path"],
        partition=add["partitionValues"],
        rows=statistics.get("numRecords"),
        first=datetime.fromisoformat(first) if first else None,
        last=datetime.fromisoformat(last) if last else None,
        new_rows=add["dataChange"],
    )


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
