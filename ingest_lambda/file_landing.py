"""Lands one CSV file: good rows to `landing/events`, bad rows to `quarantine/`, the file's record.

A file is a receipt. Finding files is `inbox`' work; what the columns mean is the contract's.
"""

from __future__ import annotations

import io
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from ingest_lambda.answers import Answer
from ingest_lambda.landing import FrameRows, Rows
from ingest_lambda.recent import event_keys
from telemetry_contracts.csv_declared import read_declared
from telemetry_contracts.csv_encoding import content_hash
from telemetry_contracts.csv_frames import LOG_SCHEMA, CsvFile, CsvReading, UnreadableFile
from telemetry_platform.clock import hour_key
from telemetry_platform.delta import cast_strict
from telemetry_platform.layout import LANDING_EVENTS, LANDING_FILE_ERRORS

if TYPE_CHECKING:
    from ingest_lambda.admission import Receipt
    from ingest_lambda.edge import Edge

LANDED = "landed"
REPEATED = "repeated"
UNREADABLE = "unreadable"
NO_SOURCE = "unknown"


@dataclass
class Filing:
    """One file on its way, and what it held.

    Attributes:
        name: File name, without folders.
        outcome: `landed`, `repeated` (same content as a file before) or `unreadable`.
        quarantine: Files for the quarantine by name suffix.
        good: Rows for `landing/events`, None when the file has none to offer.
        errors: Rows for `landing/file_errors`, None when nothing is wrong.
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
    errors: pl.DataFrame | None = None
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


def file_hash(data: bytes, sidecar: bytes | None = None) -> str:
    """Return what identifies a file's content together with what is said of it."""
    return content_hash(io.BytesIO(data), sidecar)


def read_file(  # noqa: PLR0913 - each is known to the caller alone
    edge: Edge,
    data: bytes,
    name: str,
    source: str | None,
    sidecar: bytes | None = None,
    *,
    repeated: bool,
) -> Filing:
    """Read a file by the contract that its header fits. Nothing is queued yet.

    Args:
        edge: Where the rows will land.
        data: The file's bytes.
        name: Its name.
        source: The source its folder names, if any.
        sidecar: The YAML file beside it, if there is one.
        repeated: Whether a file of the same content was processed before.
    """
    receipt = edge.receipt(source or NO_SOURCE)
    filing = Filing(name, file_hash(data, sidecar), len(data), receipt)
    if repeated:
        filing.outcome = REPEATED
        # Nobody looks at its columns again.
        filing.personal = True
        return filing
    try:
        file = CsvFile(
            io.BytesIO(data), name, edge.registry, edge.keyring, source, read_declared(sidecar)
        )
        (reading,) = file.readings(receipt.received_at)
    except UnreadableFile as error:
        note_unreadable(filing, str(error))
        filing.quarantine["csv"] = data
        if sidecar is not None:
            filing.quarantine["csv.yaml"] = sidecar
        return filing
    filing.receipt = edge.receipt(file.contract.source, receipt, file.contract)
    filing.rows = reading.rows
    filing.personal = file.personal
    filing.message = assumptions(reading)
    filing.good = landing_frame(reading.good, filing.receipt)
    filing.rejected = reading.bad.height
    if reading.bad.height:
        filing.quarantine = bad_rows_files(reading)
        filing.errors = errors_frame(reading.log, filing.receipt)
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


def note_unreadable(filing: Filing, reason: str) -> None:
    """Say in a filing that the file cannot be read as a whole."""
    log = pl.DataFrame(
        [(filing.name, None, None, "file", None, reason)], schema=LOG_SCHEMA, orient="row"
    )
    filing.outcome, filing.message = UNREADABLE, reason
    filing.errors = errors_frame(log, filing.receipt)
    filing.quarantine["log.csv"] = log.write_csv().encode()


def assumptions(reading: CsvReading) -> str | None:
    """Return what was assumed of a file, for its record."""
    return f"assumed: {'; '.join(reading.assumed)}" if reading.assumed else None


def bad_rows_files(reading: CsvReading) -> dict[str, bytes]:
    """Return what goes to the quarantine of refused rows, by name suffix."""
    return {
        "rows.csv": reading.bad.write_csv().encode(),
        "log.csv": reading.log.write_csv().encode(),
    }


def errors_frame(log: pl.DataFrame, receipt: Receipt) -> pl.DataFrame:
    """Return a file's log as rows of `landing/file_errors`."""
    schema = LANDING_FILE_ERRORS.schema
    return log.rename({"row": "row_number", "column": "column_name"}).select(
        receipt_id=pl.lit(receipt.id),
        file=pl.col("file"),
        source=pl.lit(receipt.source),
        row_number=pl.col("row_number"),
        column_name=pl.col("column_name"),
        rule=pl.col("rule"),
        value=pl.col("value"),
        message=pl.col("message"),
        received_at=pl.lit(receipt.received_at, schema["received_at"]),
        received_hour=pl.lit(hour_key(receipt.received_at)),
    )


def landing_frame(good: pl.DataFrame, receipt: Receipt) -> pl.DataFrame:
    """Return a file's good rows as rows of `landing/events`."""
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
