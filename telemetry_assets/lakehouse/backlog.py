"""What a follower of the landing logs has read and has still to ask for."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from typing import TypedDict

from telemetry_assets.lakehouse.delta_log import NO_VERSION, Changes


class Waiting(TypedDict):
    """What changed in one hour: newest version by table, and the sources concerned."""

    versions: dict[str, int]
    sources: list[str]


def run_key(hour: str, entry: Waiting) -> str:
    """Return a key that is the same for the same changes, so that Dagster runs them once."""
    versions = ":".join(
        f"{table}@{version}" for table, version in sorted(entry["versions"].items())
    )
    return f"{hour}:{versions}"


@dataclass
class Backlog:
    """A cursor: how far each log was read, and hours that still need a run.

    Attributes:
        versions: Last version read, by table.
        waiting: What changed in each hour that has yet to be run.
        recovering: What a table has, by table, source and hour, while its log is read from the
            beginning. Most of it was run before; what was not is told at the end.
        unknown: Newest version of each hour with events of a source that has no contract here yet,
            by source: an edge can know it seconds earlier.
        told: The newest record of Dagster's log, by asset, that was looked at for overtaken hours.
    """

    versions: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, Waiting] = field(default_factory=dict)
    told: dict[str, int] = field(default_factory=dict)
    unknown: dict[str, dict[str, int]] = field(default_factory=dict)
    recovering: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)

    @classmethod
    def parse(cls, cursor: str | None) -> Backlog:
        """Read a cursor; without one, everything that ever landed is new."""
        return cls(**json.loads(cursor)) if cursor else cls()

    def dump(self) -> str:
        """Write the cursor."""
        return json.dumps(asdict(self), sort_keys=True)

    def add(self, table: str, changes: Changes, known: Collection[str] | None = None) -> bool:
        """Take note of what changed in a table.

        Args:
            table: Its name.
            changes: What changed.
            known: Sources that have a contract; the others' hours wait until they have one.
                Without it there are no others.

        Returns:
            Whether one of the others is new here.
        """
        self.versions[table] = changes.version
        found = {source for source, _ in changes.partitions}
        others = set() if known is None else found.difference(known)
        newcomer = bool(others - self.unknown.keys())
        for (source, hour), version in changes.partitions.items():
            if source in others:
                self.unknown.setdefault(source, {})[hour] = version
            elif table in self.recovering:
                self.recovering[table].setdefault(source, {})[hour] = version
            else:
                self._wait(hour, source, table, version)
        return newcomer

    def recover(self, table: str) -> None:
        """Keep what is read of `table` apart from now on, until `recovered`."""
        self.recovering.setdefault(table, {})

    def recovered(self, table: str, settled: Collection[tuple[str, str]]) -> None:
        """Let hours wait for a run that were read since `recover`, save those in `settled`."""
        for source, hours in self.recovering.pop(table).items():
            for hour, version in hours.items():
                if (source, hour) not in settled:
                    self._wait(hour, source, table, version)

    def recognise(self, table: str, known: Collection[str]) -> None:
        """Let hours wait for a run whose source has got a contract meanwhile."""
        for source in sorted(self.unknown.keys() & set(known)):
            for hour, version in self.unknown.pop(source).items():
                self._wait(hour, source, table, version)

    def add_overtaken(self, source: str, hours: Sequence[str], asset: str, record: int) -> None:
        """Take note of hours that an asset of `source` found out of date, in that record of it."""
        for hour in hours:
            self._wait(hour, source, asset, record)

    def _wait(self, hour: str, source: str, table: str, version: int) -> None:
        entry = self.waiting.setdefault(hour, {"versions": {}, "sources": []})
        newest = entry["versions"].get(table, NO_VERSION)
        entry["versions"][table] = max(newest, version)
        entry["sources"] = sorted({*entry["sources"], source})

    def take(self, busy: set[str], limit: int) -> dict[str, Waiting]:
        """Remove and return hours to run now, none that is being run: the oldest and the newest.

        After an outage many wait; what comes now is not to be seen after all of them.
        """
        free = [hour for hour in sorted(self.waiting) if hour not in busy]
        ready = [*free[: limit - 1], free[-1]] if len(free) > limit > 0 else free[:limit]
        return {hour: self.waiting.pop(hour) for hour in ready}
