"""Runs dbt inside this process."""

from __future__ import annotations

import json
import re
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from telemetry_assets.dbt_lineage import (
    MANIFEST_FILE,
    PROJECT,
    prepare,
    set_environment,
    target_directory,
)
from telemetry_platform.contracts import contracts_in_force
from telemetry_platform.postgres import connect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from telemetry_platform.settings import Settings

_QUIET = (
    *("--quiet", "--no-use-colors", "--no-write-json", "--no-version-check"),
    *("--log-level-file", "none"),
)
# Where dbt has the macros that build a model; those for seeds, snapshots, tests and dates are not.
_BUILDING = re.compile(
    r"^macros/(adapters|relations|materializations/(models|hooks)|etc/statement|utils/cast)"
)
# Runners that read the project before a fork, by the project's fingerprint.
_warmed: dict[str, Any] = {}
_PROJECT_OPTIONS = ("--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT))


class MartsFailed(RuntimeError):
    """dbt did not build what was asked; the message names each node and its error."""


@dataclass(frozen=True)
class BuiltNode:
    """A dbt node that was built or tested."""

    name: str
    unique_id: str
    status: str
    seconds: float
    rows: int | None
    message: str
    failures: int


def open_runner(settings: Settings) -> Any:  # noqa: ANN401  (a dbtRunner)
    """Return a dbt runner that has the project's manifest, so that no command parses it."""
    prepare(settings)
    set_environment(settings)
    from dbt.cli.main import dbtRunner
    from dbt.contracts.graph.manifest import Manifest
    from dbt.parser.manifest import extended_mashumuro_decoder

    packed = (target_directory(settings) / MANIFEST_FILE).read_bytes()
    return dbtRunner(manifest=Manifest.from_msgpack(packed, extended_mashumuro_decoder))


def warm(settings: Settings) -> None:
    """Do what dbt does once in a process: read the project, check it, compile the macros.

    Its connection and its threads are gone afterwards. Without a database less gets warm.
    """
    hour = json.dumps({"received_hour": settings.partitions_start})
    arguments = ["compile", "--select", "fct_events", "--vars", hour]
    runner = open_runner(settings)
    runner.invoke([*arguments, *_QUIET, *_PROJECT_OPTIONS])
    _compile_macros(runner.manifest)
    _warmed[prepare(settings)] = runner


def _compile_macros(manifest: Any) -> None:  # noqa: ANN401  (a dbt Manifest)
    """Let dbt's cache have the templates that building a table needs."""
    from dbt_common.clients.jinja import template_cache

    for macro in manifest.macros.values():
        own = macro.package_name == manifest.metadata.project_name
        if own or _BUILDING.search(macro.original_file_path):
            template_cache.get_node_template(macro)


def build_when_new(settings: Settings) -> None:
    """Prepare, and build the marts of a project that this database has not seen yet.

    The first arrival hour would otherwise wait for every view and table to be created.
    """
    # Polars starts threads when it is imported, and `warm` imports this module before a fork.
    from telemetry_assets.lakehouse.warehouse import create_tables

    fingerprint = prepare(settings)
    create_tables(settings, contracts_in_force(settings))
    if built_fingerprint(settings) == fingerprint:
        return
    builder = MartsBuilder(settings)
    try:
        builder.build_all(fingerprint)
    finally:
        builder.close()


def built_fingerprint(settings: Settings) -> str | None:
    """Return the fingerprint of the project that the database's marts were last built from."""
    with connect(settings) as connection:
        row = connection.execute(
            "SELECT fingerprint FROM warehouse.marts_build ORDER BY built_at DESC LIMIT 1"
        ).fetchone()
    return row[0] if row else None


class MartsBuilder:
    """dbt, imported and its manifest read in the background from the moment this is made."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="dbt-import")
        self._loaded: Future[tuple[str, Any]] = self._pool.submit(self._load)

    def run_hours(self, hours: Sequence[str], models: Sequence[str]) -> list[BuiltNode]:
        """Bring `models` up to date with arrival hours; a new project is built whole first.

        Raises:
            MartsFailed: A model could not be built.
        """
        fingerprint, _ = self._loaded.result()
        if built_fingerprint(self._settings) != fingerprint:
            return self.build_all(fingerprint)
        if not models:
            return []
        named = json.dumps({"received_hour": " ".join(hours)})
        return self.invoke(["run", "--select", *models, "--vars", named])

    def build_all(self, fingerprint: str) -> list[BuiltNode]:
        """Build every view and mart from all that the warehouse holds."""
        nodes = self.invoke(["run", "--full-refresh"])
        self._note_fingerprint(fingerprint)
        return nodes

    def test(self, names: Sequence[str]) -> list[BuiltNode]:
        """Run data tests by name; failing tests are returned, not raised."""
        return self.invoke(["test", "--select", *names], check=False)

    def invoke(self, arguments: list[str], *, check: bool = True) -> list[BuiltNode]:
        """Run one dbt command in this process."""
        _, runner = self._loaded.result()
        result = runner.invoke([*arguments, *_QUIET, *_PROJECT_OPTIONS])
        if result.result is None:
            raise MartsFailed(str(result.exception))
        nodes = [_built(entry) for entry in result.result.results]
        if check and not result.success:
            failed = [
                f"{n.name}: {n.message}" for n in nodes if n.status not in ("success", "pass")
            ]
            raise MartsFailed("; ".join(failed) or str(result.exception))
        return nodes

    def close(self) -> None:
        """End the thread that imported dbt."""
        self._pool.shutdown(wait=True)

    def _load(self) -> tuple[str, Any]:
        """Return the project's fingerprint and a dbtRunner; importing dbt costs seconds."""
        fingerprint = prepare(self._settings)
        return fingerprint, _warmed.pop(fingerprint, None) or open_runner(self._settings)

    def _note_fingerprint(self, fingerprint: str) -> None:
        with connect(self._settings) as connection:
            connection.execute(
                "INSERT INTO warehouse.marts_build VALUES (%s, now())", (fingerprint,)
            )


def _built(entry: Any) -> BuiltNode:  # noqa: ANN401  (a dbt RunResult; importing it costs seconds)
    response = entry.adapter_response or {}
    return BuiltNode(
        name=entry.node.name,
        unique_id=entry.node.unique_id,
        status=str(entry.status),
        seconds=entry.execution_time,
        rows=response.get("rows_affected"),
        message=entry.message or "",
        failures=entry.failures or 0,
    )
