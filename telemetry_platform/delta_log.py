"""Appends to a Delta table by writing the log entry itself: one PUT for the rows, one to commit.

Only blind appends of whole frames are done here; tables are created, read, checkpointed and
rewritten by deltalake. A commit costs a third of `write_deltalake`'s time at any table version,
because nothing is listed and no snapshot is kept (docs/adr). The rules kept are those of the Delta
protocol (https://github.com/delta-io/delta/blob/master/PROTOCOL.md): an entry is created only if
absent, versions have no gap, and an append that lost a race may follow any entry that changes
neither the protocol nor the metadata.
"""

from __future__ import annotations

import io
import logging
import re
import subprocess
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import obstore
import orjson
import polars as pl
from obstore.exceptions import AlreadyExistsError
from obstore.store import LocalStore, S3Store

from telemetry_platform.checkpointing import make_checkpoint
from telemetry_platform.delta import ensure_table, storage_options, table_uri
from telemetry_platform.ids import new_uuid7
from telemetry_platform.log_entries import Prepared, Transaction, file_statistics

if TYPE_CHECKING:
    from telemetry_platform.layout import Table
    from telemetry_platform.settings import Settings

_log = logging.getLogger(__name__)
_WRITER_VERSION = 2
_READER_VERSION = 1
# Features of writer version 2 that an append must heed, beside `delta.appendOnly`.
_INVARIANTS = b"delta.invariants"
_SAFE_VALUE = re.compile(r"[A-Za-z0-9_.-]+\Z")
_CHECKPOINT_VERSIONS = 20
_CHECKPOINT_SECONDS = 5.0
_CLIENT = {"timeout": "20s", "connect_timeout": "5s"}
_RETRIES = {"max_retries": 3, "retry_timeout": timedelta(seconds=10)}
# A look decides nothing and comes again: it must not hold up the end of a process.
_LOOK_CLIENT = {"timeout": "3s", "connect_timeout": "2s"}
_LOOK_RETRIES = {"max_retries": 0}
_ENTRY = re.compile(r"_delta_log/(\d{20})\.json\Z")


class TableUnsuitable(RuntimeError):
    """The table's protocol or schema asks for more than a plain append does."""


class DeltaLog:
    """The end of one table's log. Appends come from one thread; other writers may be about.

    Attributes:
        version: The newest version this writer knows of.
    """

    def __init__(self, settings: Settings, table: Table, app_id: str | None = None) -> None:
        """Open the table, creating it when it does not exist.

        Args:
            settings: Where the table is.
            table: What it looks like.
            app_id: Whose transactions numbered commits are (Delta protocol, transaction
                identifiers).

        Raises:
            TableUnsuitable: It must be written with deltalake.
        """
        self._settings = settings
        self._table = table
        self._app_id = app_id
        self._store = open_store(settings, table.path, _CLIENT, _RETRIES)
        self._look_store = open_store(settings, table.path, _LOOK_CLIENT, _LOOK_RETRIES)
        self._checkpointer = ThreadPoolExecutor(1, thread_name_prefix=f"checkpoint-{table.path}")
        self._checkpoint: Future[None] | None = None
        self._checkpoint_due = 0.0
        self._checkpoint_version = 0
        self.version = 0
        self.refresh()

    def refresh(self) -> None:
        """Look up the newest version and check that the table may be appended to.

        Raises:
            TableUnsuitable: It must be written with deltalake.
        """
        delta = ensure_table(self._settings, self._table)
        protocol = delta.protocol()
        if (protocol.min_reader_version, protocol.min_writer_version) > (
            _READER_VERSION,
            _WRITER_VERSION,
        ):
            raise TableUnsuitable(f"{self._table.path} has protocol {protocol}")
        names = [field.name for field in delta.schema().fields]
        if names != list(self._table.schema) or _INVARIANTS in delta.schema().to_json().encode():
            raise TableUnsuitable(f"{self._table.path} has other columns than this program writes")
        self.version = delta.version()

    def last_sequence(self) -> int:
        """Return the number of the newest commit of this log's `app_id`, 0 when there is none.

        Raises:
            deltalake.exceptions.DeltaError, OSError: The table cannot be read.
        """
        delta = ensure_table(self._settings, self._table)
        return (delta.transaction_version(self._app_id) or 0) if self._app_id else 0

    def newest(self, known: int) -> int:
        """Return the newest version in storage, from one listing of what comes after `known`.

        Any thread may ask. `version` stays what it is: an append must see each entry it passes.

        Args:
            known: A version that is there.

        Raises:
            OSError, obstore.exceptions.BaseError: The store did not answer, within seconds.
        """
        listed = obstore.list(
            self._look_store, "_delta_log", offset=_entry_path(known), chunk_size=1000
        )
        entries = (_ENTRY.search(each["path"]) for page in listed for each in page)
        return max((int(entry[1]) for entry in entries if entry), default=known)

    def prepare(self, frame: pl.DataFrame, sequence: int | None = None) -> Prepared:
        """Store the rows of `frame` as Parquet, one object per partition, without committing.

        Args:
            frame: Rows with exactly the table's columns and types.
            sequence: The commit's number among those of the log's `app_id`.

        Raises:
            OSError, obstore.exceptions.BaseError: The store did not take them.
        """
        adds = [self._put_part(values, part) for values, part in self._split(frame)]
        transaction = None
        if sequence is not None and self._app_id is not None:
            transaction = Transaction(self._app_id, sequence)
        return Prepared(adds, frame.height, transaction)

    def commit(self, prepared: Prepared, refuse: Callable[[bytes], None] | None = None) -> int:
        """Commit what `prepare` stored. May be called again after any failure.

        Args:
            prepared: What to commit.
            refuse: Shown each log entry of another writer that came after `version` was looked
                up. What it raises gives the commit up.

        Returns:
            The version that holds the rows.

        Raises:
            TableUnsuitable: Another writer changed the table's protocol or schema.
            OSError, obstore.exceptions.BaseError: The store did not answer; whether the commit
                happened is known once a later call returns.
        """
        entry = prepared.entry(self._table)
        while True:
            wanted = self.version + 1
            try:
                obstore.put(self._store, _entry_path(wanted), entry, mode="create")
            except AlreadyExistsError:
                winner = bytes(obstore.get(self._store, _entry_path(wanted)).bytes())
                self.version = wanted
                if prepared.is_in(winner):
                    # The entry is ours: its PUT had arrived and only the answer was lost.
                    break
                if b'{"metaData"' in winner or b'{"protocol"' in winner:
                    self.refresh()
                    # It looked up the end, but no entry on the way there may be passed over.
                    self.version = wanted
                if refuse is not None:
                    refuse(winner)
                continue
            self.version = wanted
            break
        self._checkpoint_if_due()
        return self.version

    def close(self) -> None:
        """Finish a checkpoint under way."""
        self._checkpointer.shutdown(wait=True)

    def _split(self, frame: pl.DataFrame) -> Iterable[tuple[tuple[object, ...], pl.DataFrame]]:
        """Return the rows of each partition, without the columns that name it."""
        names = self._table.partition_by
        values = [set(frame[name].to_list()) for name in names]
        # Nearly every commit has one partition; queries of Polars would take milliseconds.
        if all(len(each) == 1 for each in values):
            rows = frame.clone()
            for name in names:
                rows.drop_in_place(name)
            return [(tuple(each.pop() for each in values), rows)]
        return frame.partition_by(*names, as_dict=True, include_key=False).items()

    def _put_part(self, values: tuple[object, ...], part: pl.DataFrame) -> dict[str, Any]:
        named = {name: str(v) for name, v in zip(self._table.partition_by, values, strict=True)}
        if not all(_SAFE_VALUE.match(value) for value in named.values()):
            raise ValueError("a partition value has characters that paths do not keep")
        folder = "/".join(f"{name}={value}" for name, value in named.items())
        path = f"{folder}/part-00000-{new_uuid7()}-c000.zstd.parquet".lstrip("/")
        buffer = io.BytesIO()
        part.write_parquet(buffer, compression="zstd", compression_level=1, statistics=False)
        body = buffer.getvalue()
        obstore.put(self._store, path, body)
        return {
            "path": path,
            "partitionValues": named,
            "size": len(body),
            "modificationTime": int(time.time() * 1000),
            "dataChange": True,
            "stats": orjson.dumps(file_statistics(part, self._table.statistics)).decode(),
        }

    def _checkpoint_if_due(self) -> None:
        """Start a checkpoint in the background, so that the log stays quick to open."""
        running = self._checkpoint is not None and not self._checkpoint.done()
        behind = self.version - self._checkpoint_version
        now = time.monotonic()
        if running or behind < _CHECKPOINT_VERSIONS or now < self._checkpoint_due:
            return
        self._checkpoint_due = now + _CHECKPOINT_SECONDS
        self._checkpoint_version = self.version
        self._checkpoint = self._checkpointer.submit(self._make_checkpoint)

    def _make_checkpoint(self) -> None:
        try:
            make_checkpoint(self._settings, self._table.path)
        except (subprocess.SubprocessError, OSError) as error:
            _log.warning("checkpoint failed", extra={"table": self._table.path}, exc_info=error)


def _entry_path(version: int) -> str:
    return f"_delta_log/{version:020d}.json"


def open_store(
    settings: Settings, path: str, client: dict[str, Any], retries: dict[str, Any]
) -> S3Store | LocalStore:
    """Return the object store whose root is the table at `path`."""
    uri = table_uri(settings, path)
    if not uri.startswith("s3://"):
        return LocalStore(prefix=uri, mkdir=True)
    options = dict(storage_options(settings))
    allow_http = options.pop("AWS_ALLOW_HTTP", "false") == "true"
    return S3Store.from_url(
        uri,
        config={key.lower(): value for key, value in options.items()},
        client_options={**client, "allow_http": allow_http},
        retry_config=retries,
    )
