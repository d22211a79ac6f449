"""Which partitions changed between two versions of a Delta table, read from its log.

The commit files hold it all; replaying the table's state would cost more with every version.
https://github.com/delta-io/delta/blob/master/PROTOCOL.md#delta-log-entries
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from telemetry_platform.delta import open_table
from telemetry_platform.layout import RECEIVED_HOUR, SOURCE
from telemetry_platform.objects import s3_client

if TYPE_CHECKING:
    from telemetry_platform.settings import Settings

NO_VERSION = -1


@dataclass
class Changes:
    """What was committed after a version.

    Attributes:
        version: The last version that was looked at.
        partitions: Newest version that changed data, by (source, received_hour).
        complete: Whether that was the end of the log.
        snapshot: Whether the log was gone, so that all partitions stand for those that changed.
    """

    version: int
    partitions: dict[tuple[str, str], int] = field(default_factory=dict)
    complete: bool = True
    snapshot: bool = False


class DeltaLog:
    """The log of one table that is partitioned by source and received_hour."""

    def __init__(self, settings: Settings, path: str, where: tuple[str, str] | None = None) -> None:
        """Follow a table.

        Args:
            settings: Where it is.
            path: Its path under the lake's root.
            where: A further partition column and the value it must have.
        """
        self._settings = settings
        self._path = path
        self._where = where
        self._client: Any = None

    def changes_after(self, version: int, limit: int = 500, deadline: float = math.inf) -> Changes:
        """Read the commits after `version`.

        Args:
            version: The last version that was read.
            limit: Most commits to read.
            deadline: When to leave the rest for later, in `time.monotonic` seconds. One commit is
                read even then.

        When the next commit file was cleaned up, the table's present files stand for it: every
        partition that has one counts as changed, so none is missed.
        """
        changes = Changes(version, complete=False)
        for number in range(version + 1, version + 1 + limit):
            commit = self._commit(number)
            if commit is None:
                if number == version + 1 and self._cleaned_up(number):
                    return self._snapshot()
                changes.complete = True
                break
            changes.version = number
            for partition in touched_partitions(commit, self._where):
                changes.partitions[partition] = number
            if time.monotonic() >= deadline:
                break
        return changes

    def _commit(self, version: int) -> bytes | None:
        name = f"{self._path}/_delta_log/{version:020}.json"
        if not self._settings.root.startswith("s3://"):
            file = Path(self._settings.root) / name
            return file.read_bytes() if file.exists() else None
        if self._client is None:
            self._client = s3_client(self._settings)
        try:
            found = self._client.get_object(Bucket=self._settings.s3_bucket, Key=name)
        except self._client.exceptions.NoSuchKey:
            return None
        return found["Body"].read()

    def _cleaned_up(self, missing: int) -> bool:
        """Tell a table whose log starts later from one that has no such commit yet."""
        if missing > 0 and self._commit(missing - 1) is not None:
            return False
        table = open_table(self._settings, self._path)
        return table is not None and table.version() >= missing

    def _snapshot(self) -> Changes:
        table = open_table(self._settings, self._path)
        if table is None:
            return Changes(NO_VERSION)
        files = pl.DataFrame(table.get_add_actions(flatten=True))
        version = table.version()
        columns = (f"partition.{SOURCE}", f"partition.{RECEIVED_HOUR}")
        if self._where and not files.is_empty():
            files = files.filter(pl.col(f"partition.{self._where[0]}") == self._where[1])
        pairs = files.select(columns).unique().rows() if not files.is_empty() else []
        return Changes(version, dict.fromkeys(pairs, version), snapshot=True)


def touched_partitions(commit: bytes, where: tuple[str, str] | None = None) -> set[tuple[str, str]]:
    """Return (source, received_hour) of the files that a commit adds or removes.

    Compaction rewrites files without changing data and is left out; so is what has another value
    in the partition column that `where` names.
    """
    touched = set()
    for line in commit.splitlines():
        action = json.loads(line)
        change = action.get("add") or action.get("remove")
        if change and change.get("dataChange") and change.get("partitionValues"):
            values = change["partitionValues"]
            if where is not None and values[where[0]] != where[1]:
                continue
            touched.add((values[SOURCE], values[RECEIVED_HOUR]))
    return touched
