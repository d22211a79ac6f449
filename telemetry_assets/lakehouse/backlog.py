"""What a follower of the landing logs has read and has still to ask for."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from telemetry_assets.lakehouse.delta_log import NO_VERSION, Changes


@dataclass
class Backlog:
    """A cursor: how far each log was read, and hours that still need a run.

    Attributes:
        versions: Last version read, by table.
        waiting: Newest version and changed sources, by hour.
    """

    versions: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def parse(cls, cursor: str | None) -> Backlog:
        """Read a cursor; without one, everything that ever landed is new."""
        return cls(**json.loads(cursor)) if cursor else cls()

    def dump(self) -> str:
        """Write the cursor."""
        return json.dumps({"versions": self.versions, "waiting": self.waiting}, sort_keys=True)

    def add(self, table: str, changes: Changes) -> None:
        """Take note of what changed in a table."""
        self.versions[table] = changes.version
        for (source, hour), version in changes.partitions.items():
            entry = self.waiting.setdefault(hour, {"version": NO_VERSION, "sources": []})
            entry["version"] = max(entry["version"], version)
            entry["sources"] = sorted({*entry["sources"], source})

    def take(self, busy: set[str], limit: int) -> dict[str, dict[str, Any]]:
        """Remove and return hours to run now: oldest first, none that is being run."""
        ready = [hour for hour in sorted(self.waiting) if hour not in busy][:limit]
        return {hour: self.waiting.pop(hour) for hour in ready}
