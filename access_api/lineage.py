"""What each table is made from and used by, from the lake's layers and dbt's manifest."""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from telemetry_platform.dbt_manifest import tables_behind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from telemetry_platform.settings import Settings

STAGES = (("landing", "reference"), ("bronze",), ("silver",), ("gold",), ("marts",), ("exposure",))
"""Layers in the order in which events pass them."""
LOADED = {
    "quarantine": "silver/quarantine",
    "duplicates": "silver/duplicates",
    "superseded": "silver/superseded",
    "quarantine_replays": "silver/quarantine_replays",
    "metric_partials": "gold/metric_partials",
    "hour_partials": "gold/hour_partials",
    "device_profiles": "gold/device_profiles",
    "ledger": "gold/ledger",
    "rule_outcomes": "gold/rule_outcomes",
    "rejected": "landing/rejected",
    "files": "landing/files",
    "file_errors": "landing/file_errors",
    "devices": "reference/devices",
    "users": "reference/users",
}
"""Tables of schema `warehouse` that are not a source's, and the table of the lake they copy."""
_EXCEPTIONS = ("silver/quarantine", "silver/duplicates", "silver/superseded")
_GOLD_OF_SILVER = ("gold/metric_partials", "gold/hour_partials", "gold/device_profiles")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedTable:
    """What dbt says of a table of schema `warehouse`: columns as name, type and description."""

    description: str
    columns: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Models:
    """What the manifest says, by names such as `marts/fct_events`.

    Attributes:
        parents: What marts and exposures are made from.
        loaded: Tables of schema `warehouse`, by name.
        labels: Names of exposures for people.
    """

    parents: dict[str, frozenset[str]] = field(default_factory=dict)
    loaded: dict[str, LoadedTable] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Lineage:
    """Parents and children of every table."""

    parents: Mapping[str, frozenset[str]]
    children: Mapping[str, frozenset[str]]

    def near(self, key: str) -> frozenset[str]:
        """Return what a table is made from and what is made from it, without steps between."""
        return self.parents.get(key, frozenset()) | self.children.get(key, frozenset())

    def before(self, key: str) -> set[str]:
        """Return all that a table is made from."""
        return _closure(key, self.parents)

    def after(self, key: str) -> set[str]:
        """Return all that is made from a table."""
        return _closure(key, self.children)


def lineage_of(sources: Iterable[str], models: Models) -> Lineage:
    """Return the lineage of the lake's tables of these sources and of the marts."""
    parents: defaultdict[str, set[str]] = defaultdict(set)
    for source in sources:
        bronze, silver = f"bronze/{source}", f"silver/{source}"
        parents[bronze] = {"landing/events"}
        parents[silver] = {bronze, "reference/devices"}
        for made in (*_EXCEPTIONS, "gold/rule_outcomes"):
            parents[made].add(bronze)
        for made in (*_GOLD_OF_SILVER, "gold/ledger"):
            parents[made].add(silver)
    parents["gold/ledger"] |= {*_EXCEPTIONS}
    for key, read in models.parents.items():
        parents[key] = {in_lake(name) for name in read}
    children: defaultdict[str, set[str]] = defaultdict(set)
    for key, read in parents.items():
        for parent in read:
            children[parent].add(key)
    return Lineage(_frozen(parents), _frozen(children))


def in_lake(name: str) -> str:
    """Return the table of the lake that a table of schema `warehouse` copies."""
    layer, _, table = name.partition("/")
    return LOADED.get(table, f"silver/{table}") if layer == "warehouse" else name


class Manifest:
    """dbt's manifest, read again when it changed."""

    def __init__(self, settings: Settings) -> None:
        dbt = settings.home / "dbt"
        self._files = (dbt / "target" / "manifest.json", dbt / "docs" / "manifest.json")
        self._stamp: tuple[Path, int] | None = None
        self._models = Models()

    def read(self) -> Models:
        """Return what it says; without one, or while it is being written, what was known before."""
        try:
            file = next((file for file in self._files if file.exists()), None)
            stamp = None if file is None else (file, file.stat().st_mtime_ns)
            if file is not None and stamp != self._stamp:
                self._models = _models(orjson.loads(file.read_bytes()))
                self._stamp = stamp
        except (OSError, orjson.JSONDecodeError) as error:
            _log.info("dbt's manifest not read", extra={"error": type(error).__name__})
        return self._models


def _models(manifest: dict[str, Any]) -> Models:
    marts = {
        f"marts/{node['name']}": unique_id
        for unique_id, node in manifest["nodes"].items()
        if node["resource_type"] == "model" and node["schema"] == "marts"
    }
    exposures = {f"exposure/{node['name']}": key for key, node in manifest["exposures"].items()}
    return Models(
        parents={
            key: frozenset(tables_behind(unique_id, manifest))
            for key, unique_id in (marts | exposures).items()
        },
        loaded={
            node["name"]: LoadedTable(
                node["description"],
                tuple(
                    (column["name"], column.get("data_type") or "", column["description"])
                    for column in node["columns"].values()
                ),
            )
            for node in manifest["sources"].values()
        },
        labels={key: manifest["exposures"][uid]["label"] for key, uid in exposures.items()},
    )


def _closure(key: str, edges: Mapping[str, frozenset[str]]) -> set[str]:
    found: set[str] = set()
    waiting = set(edges.get(key, ()))
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting |= edges.get(one, frozenset())
    return found


def _frozen(edges: Mapping[str, set[str]]) -> dict[str, frozenset[str]]:
    return {key: frozenset(names) for key, names in edges.items()}
