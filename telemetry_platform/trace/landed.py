"""Finds rows of the landing tables by receipt or event id, and the commits that brought them.

Only files whose log says that they may hold the row are opened, and of these the columns of ids and
times: no payload is read.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl

from telemetry_platform.clock import hour_key
from telemetry_platform.delta import open_table, storage_options, table_uri
from telemetry_platform.layout import RECEIVED_HOUR, SOURCE, Table
from telemetry_platform.trace.commits import Added, Commit, CommitLog

if TYPE_CHECKING:
    from telemetry_platform.settings import Settings
    from telemetry_platform.trace.commits import Store

FILE = "landed_in"
_HIDDEN = ("payload", "body_sealed", "violations", "token_key_version")
# A receipt's id and its time of arrival are taken one after the other.
_BEFORE, _AFTER = timedelta(seconds=1), timedelta(seconds=60)
_MOMENT = timedelta(milliseconds=2)
_MOST_SEARCHED_ROWS = 3_000_000


@dataclass(frozen=True)
class Landed:
    """Where rows stand, and the commit that brought them.

    Attributes:
        file: The file that holds them now.
        commit: The commit that brought them; None when the log has it no more.
        path: The file that commit added: another one when the hour was compacted since.
        certain: False when several commits could have brought them; `commit` is the first of them.
    """

    file: str
    commit: Commit | None
    path: str | None
    certain: bool = True

    @property
    def compacted(self) -> bool:
        """Whether the rows were moved to another file since."""
        return self.path is not None and self.path != self.file


class LandingTable:
    """One landing table as it is when it is first asked."""

    def __init__(self, settings: Settings, store: Store, table: Table) -> None:
        self.table = table
        self.log = CommitLog(store, table.path)
        self._settings = settings

    def of_receipt(self, receipt: str, at: datetime) -> pl.DataFrame:
        """Return the rows of a receipt that was given at a moment.

        Returns:
            The table's columns but for payloads and bodies, and FILE, the file of each row.

        Raises:
            OSError, deltalake.exceptions.DeltaError, polars.exceptions.ComputeError: The lake
                cannot be read.
        """
        files = self._files_between(at - _BEFORE, at + _AFTER)
        return self._rows(files, pl.col("receipt_id") == receipt)

    def of_event(self, event_id: str, source: str, received_at: datetime) -> pl.DataFrame:
        """Return the rows of an event that arrived at a moment; see `of_receipt`."""
        files = self._files_between(received_at - _MOMENT, received_at + _MOMENT)
        there = files.filter(pl.col(SOURCE) == source)
        return self._rows(there, pl.col("event_id") == event_id)

    def among(
        self, event_id: str, partitions: Collection[tuple[str, str]]
    ) -> tuple[pl.DataFrame, bool]:
        """Search whole partitions (source, hour) for an event, the newest first.

        Returns:
            Its rows, and whether all of the partitions were searched: not when they are too large.
        """
        wanted = pl.DataFrame(
            list(partitions), schema={SOURCE: pl.String, RECEIVED_HOUR: pl.String}, orient="row"
        )
        files = self.files.join(wanted, on=[SOURCE, RECEIVED_HOUR], how="semi")
        files = files.sort(RECEIVED_HOUR, "modified", descending=True)
        searched = files.filter(pl.col("rows").cum_sum() <= _MOST_SEARCHED_ROWS)
        rows = self._rows(searched, pl.col("event_id") == event_id)
        return rows, searched.height == files.height

    def sizes(self) -> dict[tuple[str, str], int]:
        """Return the number of rows of each partition (source, hour)."""
        counted = self.files.group_by(SOURCE, RECEIVED_HOUR).agg(pl.col("rows").sum())
        return {(source, hour): rows for source, hour, rows in counted.rows()}

    def landing_of(self, row: dict[str, object]) -> Landed:
        """Return where a row that was found stands, and the commit that brought it."""
        path, received = str(row[FILE]), row["received_at"]
        assert isinstance(received, datetime)  # noqa: S101 - the table's schema says so
        partition = {SOURCE: str(row[SOURCE]), RECEIVED_HOUR: str(row[RECEIVED_HOUR])}
        (modified,) = self.files.filter(pl.col("path") == path)["modified"]
        for commit in self.log.since(modified):
            added = next((each for each in commit.added if each.path == path), None)
            if added is not None:
                if added.new_rows:
                    return Landed(path, commit, path)
                return self._before_compaction(path, partition, received, commit.version)
        return self._before_compaction(path, partition, received, self.log.newest)

    def _before_compaction(
        self, file: str, partition: dict[str, str], received: datetime, compacted_by: int
    ) -> Landed:
        """Return the commit that first brought a row which was moved since."""
        found: list[tuple[Commit, Added]] = []
        for commit in self.log.since(received):
            if commit.version >= compacted_by:
                break
            found += [
                (commit, each)
                for each in commit.added
                if each.new_rows and each.is_of(partition) and each.covers(received)
            ]
        if not found:
            return Landed(file, None, None)
        commit, added = found[0]
        return Landed(file, commit, added.path, certain=len(found) == 1)

    @cached_property
    def files(self) -> pl.DataFrame:
        """The table's files: path, partition, rows, modified, first and last `received_at`."""
        schema = pl.Schema(
            {
                "path": pl.String,
                SOURCE: pl.String,
                RECEIVED_HOUR: pl.String,
                "rows": pl.Int64,
                "modified": pl.Datetime("us", "UTC"),
                "first": pl.Datetime("us", "UTC"),
                "last": pl.Datetime("us", "UTC"),
            }
        )
        # The log is asked first: delta-rs goes on for minutes to ask a store that is away.
        there = self.log.newest >= 0
        delta = open_table(self._settings, self.table.path) if there else None
        found = None if delta is None else pl.DataFrame(delta.get_add_actions(flatten=True))
        if found is None or found.is_empty():
            return schema.to_frame()
        ends = [
            pl.col(f"{end}.received_at") if f"{end}.received_at" in found.columns else pl.lit(None)
            for end in ("min", "max")
        ]
        return found.select(
            "path",
            pl.col(f"partition.{SOURCE}").alias(SOURCE),
            pl.col(f"partition.{RECEIVED_HOUR}").alias(RECEIVED_HOUR),
            pl.col("num_records").alias("rows"),
            pl.from_epoch("modification_time", "ms").dt.replace_time_zone("UTC").alias("modified"),
            ends[0].alias("first"),
            ends[1].alias("last"),
        ).cast(schema)

    def _files_between(self, begin: datetime, end: datetime) -> pl.DataFrame:
        hours = [hour_key(begin.astimezone(UTC)), hour_key(end.astimezone(UTC))]
        return self.files.filter(
            pl.col(RECEIVED_HOUR).is_in(hours),
            pl.col("first").is_null() | (pl.col("first") <= end),
            pl.col("last").is_null() | (pl.col("last") >= begin),
        )

    def _rows(self, files: pl.DataFrame, wanted: pl.Expr) -> pl.DataFrame:
        columns = [name for name in self.table.schema if name not in _HIDDEN]
        schema = pl.Schema({name: self.table.schema[name] for name in columns} | {FILE: pl.String})
        if files.is_empty():
            return schema.to_frame()
        root = table_uri(self._settings, self.table.path)
        stored = [name for name in columns if name not in self.table.partition_by]
        found = (
            pl.scan_parquet(
                [f"{root}/{path}" for path in files["path"]],
                storage_options=storage_options(self._settings) or None,
                hive_partitioning=False,
                include_file_paths=FILE,
            )
            .select(*stored, FILE)
            .filter(wanted)
            .collect()
            .with_columns(pl.col(FILE).str.strip_prefix(f"{root}/"))
        )
        places = files.select(pl.col("path").alias(FILE), *self.table.partition_by)
        return found.join(places, on=FILE, how="left", maintain_order="left").select(list(schema))


def first_commit(
    log: CommitLog,
    partition: dict[str, str],
    after: datetime,
    least_input: tuple[str, int] | None = None,
) -> Commit | None:
    """Return the first commit after a moment that wrote a partition.

    Args:
        log: The table's.
        partition: Partition columns and values.
        after: When what it was made from was there.
        least_input: Name and least version of the input that the commit must have seen.

    Returns:
        The commit; None when there is none yet, or the log does not reach back so far.
    """
    for commit in log.since(after):
        if commit.at < after - _MOMENT or not _writes(commit.added, partition):
            continue
        if least_input is None or commit.inputs.get(least_input[0], -1) >= least_input[1]:
            return commit
    return None


def _writes(added: Sequence[Added], partition: dict[str, str]) -> bool:
    return any(each.new_rows and each.is_of(partition) for each in added)
