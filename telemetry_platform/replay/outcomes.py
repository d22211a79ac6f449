"""What became of refused events: the words for it, the counts of a replay, how they are shown.

No value of an event gets here: rules, receipts and positions only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from telemetry_platform.replay.judging import UNOPENED_RULE

LANDED = "landed"
DUPLICATE = "duplicate"
REFUSED = "refused"
SETTLED = (LANDED, DUPLICATE)
"""Outcomes after which an event is in `landing/events`, so that no replay takes it up again."""

_EXAMPLES = 3
COLUMNS = ("Source", "Refused by", "Now", "Events", "Such as")


class Change(NamedTuple):
    """How an event was judged at first, and how it is judged now.

    Attributes:
        rule: The rule that refused it.
        outcome: `landed`, `duplicate` or `refused`.
        new_rule: The rule that refuses it now; None when none does.
    """

    source: str
    rule: str
    outcome: str
    new_rule: str | None

    @property
    def text(self) -> str:
        """The present judgement in words."""
        if self.outcome == LANDED:
            return "readable"
        if self.outcome == DUPLICATE:
            return "readable, a duplicate"
        if self.new_rule == UNOPENED_RULE:
            return "cannot be opened"
        return "still refused" if self.new_rule == self.rule else f"refused by {self.new_rule}"


@dataclass
class Tally:
    """How many events changed in one way, and `receipt:position` of the first of them."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, receipt_id: str, position: int) -> None:
        """Count one event."""
        self.count += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(f"{receipt_id}:{position}")


@dataclass
class Report:
    """The outcome of one replay.

    Attributes:
        dry_run: Whether nothing was written: what says `landed` would land.
        changes: Counts by kind of change.
        settled: Selected events that an earlier replay had put right; they were left alone.
        unopened: Events that could not be opened, by reason. They stay as they are.
    """

    dry_run: bool
    changes: dict[Change, Tally] = field(default_factory=dict)
    settled: int = 0
    unopened: dict[str, int] = field(default_factory=dict)

    def add(self, change: Change, receipt_id: str, position: int) -> None:
        """Count one judged event."""
        self.changes.setdefault(change, Tally()).add(receipt_id, position)

    def count(self, outcome: str) -> int:
        """Return the number of events of one outcome."""
        return sum(
            tally.count for change, tally in self.changes.items() if change.outcome == outcome
        )

    @property
    def judged(self) -> int:
        """Number of events that were judged."""
        return sum(tally.count for tally in self.changes.values())

    def rows(self) -> list[tuple[str, ...]]:
        """Return the differences as text under `COLUMNS`, most frequent first in each source."""
        ordered = sorted(self.changes.items(), key=lambda item: (item[0].source, -item[1].count))
        return [
            (
                change.source,
                change.rule,
                change.text,
                f"{tally.count:,}",
                ", ".join(tally.examples),
            )
            for change, tally in ordered
        ]

    def markdown(self) -> str:
        """Return the differences as a Markdown table."""
        lines = [COLUMNS, ("---", "---", "---", "---:", "---"), *self.rows()]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def summary(self) -> str:
        """Return the outcome in one sentence."""
        landed, duplicate = self.count(LANDED), self.count(DUPLICATE)
        verb = "would land" if self.dry_run else "landed"
        text = (
            f"{landed:,} of {self.judged:,} refused events {verb}, {duplicate:,} are duplicates, "
            f"{self.count(REFUSED):,} stay refused."
        )
        return f"{text} {self.settled:,} were put right before." if self.settled else text

    def warnings(self) -> list[str]:
        """Return a sentence for each reason why bodies could not be opened."""
        return [
            f"{count:,} events cannot be opened: {reason}. They stay as they are."
            for reason, count in sorted(self.unopened.items())
        ]

    def document(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {
            "dry_run": self.dry_run,
            "landed": self.count(LANDED),
            "duplicate": self.count(DUPLICATE),
            "refused": self.count(REFUSED),
            "settled": self.settled,
            "unopened": self.unopened,
            "changes": [
                {**change._asdict(), "count": tally.count, "examples": tally.examples}
                for change, tally in self.changes.items()
            ],
        }
