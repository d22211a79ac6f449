"""Lands one CSV file: good rows to `landing/events`, bad rows to `quarantine/`, the file's record.

A file is a receipt. Finding files is `inbox`' work; what the columns mean is the contract's.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from ingest_lambda.answers import Answer
from ingest_lambda.landing import FrameRows, Rows
from ingest_lambda.recent import event_keys
from telemetry_contracts.csv_frames import LOG_SCHEMA, CsvReading, UnreadableFile, read_csv_events
from telemetry_platform.clock import hour_key
from telemetry_platform.delta import cast_strict
from telemetry_platform.layout import LANDING_EVENTS

if TYPE_CHECKING:
    from ingest_lambda.admission import Receipt
    from ingest_lambda.edge import Edge

LANDED = "landed"
REPEATED = "repeated"
UNREADABLE = "unreadable"
_NO_SOURCE = "unknown"


@dataclass
class Filing:
    """One file on its way, and what it held.

    Attributes:
        name: File name, without folders.
        outcome: `landed`, `repeated` (same content as a file before) or `unreadable`.
        quarantine: Files for the quarantine by name suffix.
        good: Rows for `landing/events`, None when the file has none to offer.
        personal: Whether the file may hold personal values, so that its original is kept sealed.
    """

    name: str
    sha256: str
    size: int
    receipt: Receipt
    outcome: str = LANDED
    rows: int = 0
    accepted: int = 0
    duplicate: int = 0
    rejected: int = 0
    message: str | None = None
    personal: bool = False
    good: pl.DataFrame | None = None
    quarantine: dict[str, bytes] = field(default_factory=dict)

    def counts(self) -> Answer:
        """Return the outcome in the terms of an answer to a post."""
        return Answer(self.receipt.id, b"", self.accepted, self.duplicate, self.rejected)

    def record(self) -> Rows:
        """Return the file's row in `landing/files`."""
        shared = self.receipt.shared_values()
        values = {
            "file": self.name,
            "sha256": self.sha256,
            "size_bytes": self.size,
            "rows": self.rows,
            "accepted": self.accepted,
            "duplicate": self.duplicate,
            "rejected": self.rejected,
            "outcome": self.outcome,
            "message": self.message,
        }
        return Rows({name: [value] for name, value in values.items()}, shared, 0)


def file_hash(data: bytes) -> str:
    """Return what identifies a file's content."""
    return hashlib.sha256(data).hexdigest()


def read_file(edge: Edge, data: bytes, name: str, source: str | None, *, repeated: bool) -> Filing:
    """Read a file by the contract that its header fits. Nothing is queued yet.

    Args:
        edge: Where the rows will land.
        data: The file's bytes.
        name: Its name.
        source: The source its folder names, if any.
        repeated: Whether a file of the same content was processed before.
    """
    receipt = edge.receipt(source or _NO_SOURCE)
    filing = Filing(name, file_hash(data), len(data), receipt)
    if repeated:
        filing.outcome = REPEATED
        return filing
    try:
        reading = read_csv_events(
            data, name, edge.registry, edge.keyring, receipt.received_at, source
        )
    except UnreadableFile as error:
        return _unreadable(filing, data, str(error))
    contract = reading.contract
    filing.receipt = edge.receipt(contract.source, receipt, contract)
    filing.rows = reading.rows
    filing.personal = any(column.restricted for column in contract.fields)
    filing.good = _landing_frame(reading.good, filing.receipt)
    _quarantine(filing, reading)
    return filing


def queue_files(edge: Edge, filings: list[Filing]) -> set[Future[int | None]]:
    """Queue the good rows of several files as one part, so that they cost one commit.

    Each filing's `accepted` and `duplicate` are set.

    Returns:
        The commits that must be over before any of the files is done.

    Raises:
        QueueFull: Too much waits to be committed; nothing was queued.
    """
    good = [(filing, filing.good) for filing in filings if filing.good is not None]
    keys = [
        key
        for filing, frame in good
        for key in event_keys(filing.receipt.source, frame["event_id"])
    ]
    recent = edge.recent
    with recent.lock:
        fresh, commits = recent.fresh(keys)
        news = pl.Series(fresh, dtype=pl.Boolean)
        if news.any():
            rows = pl.concat(frame for _, frame in good).filter(news)
            done = edge.events.submit(FrameRows(rows))
            recent.claim([key for key, new in zip(keys, fresh, strict=True) if new], done)
            commits.add(done)
    start = 0
    for filing, frame in good:
        filing.accepted = int(news.slice(start, frame.height).sum())
        filing.duplicate = frame.height - filing.accepted
        start += frame.height
    return commits


def _unreadable(filing: Filing, data: bytes, reason: str) -> Filing:
    log = pl.DataFrame(
        [(filing.name, None, None, "file", None, reason)], schema=LOG_SCHEMA, orient="row"
    )
    filing.outcome, filing.message = UNREADABLE, reason
    filing.quarantine = {"csv": data, "log.csv": log.write_csv().encode()}
    return filing


def _quarantine(filing: Filing, reading: CsvReading) -> None:
    filing.rejected = reading.bad.height
    if reading.bad.height:
        filing.quarantine = {
            "rows.csv": reading.bad.write_csv().encode(),
            "log.csv": reading.log.write_csv().encode(),
        }


def _landing_frame(good: pl.DataFrame, receipt: Receipt) -> pl.DataFrame:
    schema = LANDING_EVENTS.schema
    return cast_strict(
        good.with_columns(
            source=pl.lit(receipt.source),
            received_at=pl.lit(receipt.received_at, schema["received_at"]),
            received_hour=pl.lit(hour_key(receipt.received_at)),
            contract_version=pl.lit(receipt.contract_version),
            receipt_id=pl.lit(receipt.id),
            token_key_version=pl.lit(receipt.token_key_version, pl.Int32),
        ),
        schema,
    )
