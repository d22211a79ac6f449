"""What a follower of the landing logs has read and has still to ask for."""

from __future__ import annotations

import json
from collections.abc import Sequence
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
        told: The newest record of Dagster's log, by asset, that was looked at for overtaken hours.
    """

    versions: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, Waiting] = field(default_factory=dict)
    told: dict[str, int] = field(default_factory=dict)

    @classmethod
    def parse(cls, cursor: str | None) -> Backlog:
        """Read a cursor; without one, everything that ever landed is new."""
        return cls(**json.loads(cursor)) if cursor else cls()

    def dump(self) -> str:
        """Write the cursor."""
        return json.dumps(asdict(self), sort_keys=True)

    def add(self, table: str, changes: Changes) -> None:
        """Take note of what changed in a table."""
        self.versions[table] = changes.version
        for (source, hour), version in changes.partitions.items():
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
        """Remove and return hours to run now: oldest first, none that is being run."""
        ready = [hour for hour in sorted(self.waiting) if hour not in busy][:limit]
        return {hour: self.waiting.pop(hour) for hour in ready}
