"""The sender's ledger: what was sent, which answer came back, and that it adds up per source."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import orjson


class LedgerError(RuntimeError):
    """The answers do not account for every event that was sent."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One post and its final answer.

    Attributes:
        post: Number of the post in this ledger, from 0.
        source: Source of the events.
        path: Route with its query.
        sent_at: When the first attempt began (UTC).
        answered_at: When the final answer was read, or the post was given up (UTC).
        events: Events in the body.
        status: HTTP status of the final answer, None when there was none.
        receipt_id: The edge's receipt, None when the post was not accepted for reading.
        received_at: The edge's time of arrival as it wrote it, None when there is none.
        accepted: Events that the edge stored.
        duplicate: Events that the edge already had.
        rejected: Events that the edge refused one by one.
        unreadable: Events in a body that the edge could not read (400, 413, 415).
        unacknowledged: Events without a final answer.
        attempts: How often the same bytes were sent.
        broken_attempts: Attempts without an answer, after which a duplicate may be our own row.
        faults: Injected faults by kind.
    """

    post: int
    source: str
    path: str
    sent_at: datetime
    answered_at: datetime
    events: int
    status: int | None = None
    receipt_id: str | None = None
    received_at: str | None = None
    accepted: int = 0
    duplicate: int = 0
    rejected: int = 0
    unreadable: int = 0
    unacknowledged: int = 0
    attempts: int = 1
    broken_attempts: int = 0
    faults: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Totals:
    """Counts of events of one source; ``posts`` counts requests with a final answer or none.

    ``recovered`` is the part of ``duplicate`` answered to a post whose earlier attempt broke off:
    the edge had stored those events, and its first answer was lost on the way.
    """

    posts: int = 0
    sent: int = 0
    accepted: int = 0
    duplicate: int = 0
    rejected: int = 0
    unreadable: int = 0
    unacknowledged: int = 0
    recovered: int = 0
    faults: dict[str, int] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        """Count one more post."""
        self.posts += 1
        self.sent += entry.events
        self.accepted += entry.accepted
        self.duplicate += entry.duplicate
        self.rejected += entry.rejected
        self.unreadable += entry.unreadable
        self.unacknowledged += entry.unacknowledged
        self.recovered += entry.duplicate if entry.broken_attempts else 0
        for kind, count in entry.faults.items():
            self.faults[kind] = self.faults.get(kind, 0) + count

    @property
    def accounted(self) -> int:
        """Events with a known fate; equals ``sent`` in a ledger that adds up."""
        return (
            self.accepted + self.duplicate + self.rejected + self.unreadable + self.unacknowledged
        )


class Ledger:
    """Totals in memory, and one JSON line a post in a file when there is one.

    A line is written before the next post of the same connection is sent, so that the file of a
    killed sender lacks no more than the posts that were on their way.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Open the ledger; an existing file is continued, its totals are not read."""
        self._file: BinaryIO | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)
        self._totals: dict[str, Totals] = {}
        self._posts = 0

    @classmethod
    def read(cls, path: Path) -> "Ledger":
        """Return a closed ledger with the totals of a file that was written before.

        Raises:
            LedgerError: A line does not add up.
            ValueError: A whole line is not JSON (a line that breaks off at the end is skipped).
        """
        ledger = cls()
        for line in path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                ledger.record(_entry_from(orjson.loads(line)))
        return ledger

    def next_post(self) -> int:
        """Return the number of the next post."""
        self._posts += 1
        return self._posts - 1

    def record(self, entry: Entry) -> None:
        """Count one post and write its line.

        Raises:
            LedgerError: The answer accounts for more or fewer events than were sent.
        """
        alone = Totals()
        alone.add(entry)
        if alone.accounted != alone.sent:
            message = (
                f"post {entry.post} to {entry.path} had {entry.events} events, its answer "
                f"(status {entry.status}) accounts for {alone.accounted}"
            )
            raise LedgerError(message)
        self._totals.setdefault(entry.source, Totals()).add(entry)
        if self._file is not None:
            self._file.write(orjson.dumps(asdict(entry), option=orjson.OPT_APPEND_NEWLINE))

    def totals(self) -> dict[str, Totals]:
        """Return the totals by source.

        Raises:
            LedgerError: A source's counts do not add up to what was sent.
        """
        for source, totals in self._totals.items():
            if totals.accounted != totals.sent:
                message = f"{source}: sent {totals.sent}, accounted for {totals.accounted}"
                raise LedgerError(message)
        return dict(self._totals)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _entry_from(line: dict[str, object]) -> Entry:
    known = {each.name for each in fields(Entry)}
    values = {name: value for name, value in line.items() if name in known}
    for name in ("sent_at", "answered_at"):
        values[name] = datetime.fromisoformat(str(values[name]))
    return Entry(**values)  # ty: ignore[invalid-argument-type]
