"""The demo's account: does every event that was sent have a known fate, to the row?"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from device_sim.ledger import Totals
from telemetry_cli.fates import Fates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from telemetry_cli.demo_files import FileInMarts, LandedFile
    from telemetry_cli.freshness import Figures
    from telemetry_cli.privacy_scan import Place


@dataclass(frozen=True, slots=True)
class SourceAccount:
    """One source's events, from what was sent to the row where each ended.

    ``accepted`` must equal ``in_mart + quarantined + duplicate_in_silver + superseded``; ``sent``
    must equal ``accepted + duplicate_at_edge + rejected + unreadable`` (``unacknowledged`` must be
    0). Nothing is superseded unless somebody corrects the demo's events meanwhile.
    """

    source: str
    sent: int
    accepted: int
    duplicate_at_edge: int
    rejected: int
    unreadable: int
    unacknowledged: int
    in_mart: int
    quarantined: int
    duplicate_in_silver: int
    superseded: int

    @property
    def adds_up(self) -> bool:
        """Whether each event has exactly one fate."""
        known = self.accepted + self.duplicate_at_edge + self.rejected + self.unreadable
        stored = self.in_mart + self.quarantined + self.duplicate_in_silver + self.superseded
        return self.sent == known and self.accepted == stored

    def document(self) -> dict[str, Any]:
        """Return the counts and the verdict."""
        return {**asdict(self), "adds_up": self.adds_up}


@dataclass(slots=True)
class DemoReport:
    """All that the demo found."""

    accounts: list[SourceAccount]
    freshness: Mapping[str, Figures] = field(default_factory=dict)
    files: Sequence[tuple[LandedFile, FileInMarts]] = ()
    places: Sequence[Place] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    problem: str = ""

    @property
    def plain_values_found(self) -> int:
        """Occurrences of plain personal values in anything that was stored."""
        return sum(sum(place.hits.values()) for place in self.places)

    @property
    def passed(self) -> bool:
        """Whether everything adds up and no plain value was found."""
        return (
            not self.problem
            and bool(self.accounts)
            and all(account.adds_up for account in self.accounts)
            and not self.plain_values_found
        )

    def document(self) -> dict[str, Any]:
        """Return the report as one JSON-ready document."""
        return {
            "passed": self.passed,
            "problem": self.problem,
            "sources": {account.source: account.document() for account in self.accounts},
            "post_to_mart_seconds": {name: asdict(each) for name, each in self.freshness.items()},
            "files": [asdict(landed) | asdict(marts) for landed, marts in self.files],
            "plain_values_found": self.plain_values_found,
            "searched": [asdict(place) for place in self.places],
            "seconds": dict(self.seconds),
        }


def make_accounts(
    totals: Mapping[str, Totals], files: Sequence[LandedFile], fates: Mapping[str, Fates]
) -> list[SourceAccount]:
    """Join the ledger of posts, the files' rows and what the warehouse holds, by source."""
    sources = sorted({*totals, *fates, *(each.source for each in files)})
    return [_account(source, totals, files, fates) for source in sources]


def accepted_by_source(totals: Mapping[str, Totals], files: Sequence[LandedFile]) -> dict[str, int]:
    """Return how many events and rows the edge accepted."""
    accepted = {source: each.accepted for source, each in totals.items()}
    for each in files:
        accepted[each.source] = accepted.get(each.source, 0) + each.accepted
    return accepted


def _account(
    source: str,
    totals: Mapping[str, Totals],
    files: Sequence[LandedFile],
    fates: Mapping[str, Fates],
) -> SourceAccount:
    posted = totals.get(source, Totals())
    dropped = [each for each in files if each.source == source]
    fate = fates.get(source, Fates())
    return SourceAccount(
        source=source,
        sent=posted.sent + sum(each.rows for each in dropped),
        accepted=posted.accepted + sum(each.accepted for each in dropped),
        duplicate_at_edge=posted.duplicate + sum(each.duplicate for each in dropped),
        rejected=posted.rejected + sum(each.rejected for each in dropped),
        unreadable=posted.unreadable,
        unacknowledged=posted.unacknowledged,
        in_mart=fate.in_mart,
        quarantined=fate.quarantined,
        duplicate_in_silver=fate.duplicate_in_silver,
        superseded=fate.superseded,
    )
