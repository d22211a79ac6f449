"""Runs dbt inside this process, and prepares what that needs.

`prepare` parses the project once and compiles its lineage into a small file, because dbt and
dagster-dbt take seconds to import and every run loads the definitions anew.
"""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telemetry_assets.lakehouse.warehouse import create_tables
from telemetry_contracts.registry import load_registry
from telemetry_platform.postgres import connect, dbt_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from telemetry_platform.settings import Settings

PROJECT = Path(__file__).resolve().parents[1] / "dbt_project"
LINEAGE_FILE = "lineage.json"
_MANIFEST_FILE = "manifest.msgpack"
_QUIET = (
    *("--quiet", "--no-use-colors", "--no-write-json", "--no-version-check"),
    *("--log-level-file", "none"),
)
_INPUTS = ("*.sql", "*.yml", "*.yaml", "*.md")
# Parsing opens no connection, but the profile must render and the database's name is kept.
_PARSE_PROFILE = {
    "TELEMETRY_PG_HOST": "127.0.0.1",
    "TELEMETRY_PG_PORT": "5432",
    "TELEMETRY_PG_USER": "telemetry",
    "TELEMETRY_PG_PASSWORD": "",
    "TELEMETRY_PG_DATABASE": "telemetry",
}


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


def target_directory(settings: Settings) -> Path:
    """Return where dbt's artifacts are, under TELEMETRY_HOME."""
    return settings.home.resolve() / "dbt" / "target"


def lineage(settings: Settings) -> list[dict[str, Any]]:
    """Return the marts with their dependencies and columns, preparing them when needed."""
    prepare(settings)
    return json.loads((target_directory(settings) / LINEAGE_FILE).read_text())["assets"]


def prepare(settings: Settings) -> str:
    """Parse the project unless it was parsed as it is now; return its fingerprint."""
    fingerprint = project_fingerprint(_profile(settings)["TELEMETRY_PG_DATABASE"])
    target = target_directory(settings)
    file = target / LINEAGE_FILE
    if file.exists() and json.loads(file.read_text())["fingerprint"] == fingerprint:
        return fingerprint
    target.mkdir(parents=True, exist_ok=True)
    _parse(settings, target, fingerprint)
    return fingerprint


def build_when_new(settings: Settings) -> None:
    """Prepare, and build the marts of a project that this database has not seen yet.

    The first arrival hour would otherwise wait for every view and table to be created.
    """
    fingerprint = prepare(settings)
    create_tables(settings, load_registry())
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


def project_fingerprint(database: str) -> str:
    """Return a digest of all that the parsed project depends on."""
    digest = hashlib.sha256(database.encode() + Path(__file__).read_bytes())
    files = sorted(file for pattern in _INPUTS for file in PROJECT.rglob(pattern))
    for file in files:
        relative = file.relative_to(PROJECT)
        if relative.parts[0] in ("target", "logs"):
            continue
        digest.update(f"{relative}\0".encode() + file.read_bytes())
    return digest.hexdigest()


class MartsBuilder:
    """dbt, imported and its manifest read in the background from the moment this is made."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="dbt-import")
        self._runner: Future[Any] = self._pool.submit(self._load)

    def run_hour(self, hour: str, models: Sequence[str]) -> list[BuiltNode]:
        """Bring `models` up to date with one arrival hour; a new project is built whole first.

        Raises:
            MartsFailed: A model could not be built.
        """
        fingerprint = prepare(self._settings)
        if built_fingerprint(self._settings) != fingerprint:
            return self.build_all(fingerprint)
        if not models:
            return []
        arguments = ["run", "--select", *models, "--vars", json.dumps({"received_hour": hour})]
        return self.invoke(arguments)

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
        runner = self._runner.result()
        project = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
        result = runner.invoke([*arguments, *_QUIET, *project])
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

    def _load(self) -> Any:  # noqa: ANN401
        prepare(self._settings)
        _set_environment(self._settings, _profile(self._settings))
        from dbt.cli.main import dbtRunner
        from dbt.contracts.graph.manifest import Manifest
        from dbt.parser.manifest import extended_mashumuro_decoder

        packed = (target_directory(self._settings) / _MANIFEST_FILE).read_bytes()
        return dbtRunner(manifest=Manifest.from_msgpack(packed, extended_mashumuro_decoder))

    def _note_fingerprint(self, fingerprint: str) -> None:
        with connect(self._settings) as connection:
            connection.execute(
                "INSERT INTO warehouse.marts_build VALUES (%s, now())", (fingerprint,)
            )


def _parse(settings: Settings, target: Path, fingerprint: str) -> None:
    from dbt.cli.main import dbtRunner
    from dbt.parser.manifest import extended_mashumaro_encoder

    _set_environment(settings, _profile(settings))
    arguments = ["parse", "--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
    result = dbtRunner().invoke([*arguments, "--quiet", "--no-partial-parse"])
    if not result.success:
        raise MartsFailed(f"the dbt project does not parse: {result.exception}")
    manifest: Any = result.result
    _replace(target / _MANIFEST_FILE, manifest.to_msgpack(extended_mashumaro_encoder))
    written = json.loads((target / "manifest.json").read_text())
    document = {"fingerprint": fingerprint, "assets": _lineage_of(written)}
    _replace(target / LINEAGE_FILE, json.dumps(document).encode())


def _lineage_of(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Compile the marts of a manifest through dagster-dbt into plain data."""
    from dagster_dbt import build_dbt_asset_specs

    specs = {
        spec.metadata["dagster_dbt/unique_id"]: spec
        for spec in build_dbt_asset_specs(manifest=manifest, select="marts")
    }
    models = [
        {
            "name": manifest["nodes"][unique_id]["name"],
            "description": spec.description or "",
            "depends_on": sorted(_tables_behind(unique_id, manifest)),
            "tags": manifest["nodes"][unique_id]["tags"],
            "builds": sorted(_tables_to_build(unique_id, manifest)),
            "tests": _tests_of(unique_id, manifest),
            "columns": [
                {
                    "name": column["name"],
                    "type": column.get("data_type") or "",
                    "description": column.get("description") or "",
                }
                for column in manifest["nodes"][unique_id]["columns"].values()
            ],
        }
        for unique_id, spec in sorted(specs.items())
    ]
    return _in_order(models)


def _in_order(models: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the models so that none comes before one it reads: Dagster wants results that way."""
    by_key = {f"marts/{model['name']}": model for model in models}
    parents = {key: set(model["depends_on"]) & set(by_key) for key, model in by_key.items()}
    return [by_key[key] for key in TopologicalSorter(parents).static_order()]


def _tables_to_build(unique_id: str, manifest: dict[str, Any]) -> set[str]:
    """Return the models that an hour must bring up to date for a mart: no views, they are."""
    node = manifest["nodes"].get(unique_id)
    if node is None or node["resource_type"] != "model":
        return set()
    own = {node["name"]} if node["config"]["materialized"] != "view" else set()
    if own and node["schema"] != "marts":
        return own
    parents = (p for p in manifest["parent_map"][unique_id] if p.startswith("model."))
    inner = (p for p in parents if manifest["nodes"][p]["schema"] != "marts")
    return own.union(*(_tables_to_build(parent, manifest) for parent in inner))


def _tests_of(unique_id: str, manifest: dict[str, Any]) -> list[dict[str, str]]:
    """Return name and description of the data tests of a model."""
    nodes = (manifest["nodes"].get(child) for child in manifest["child_map"][unique_id])
    return [
        {"name": node["name"], "description": node.get("description") or ""}
        for node in nodes
        if node and node["resource_type"] == "test" and node.get("attached_node") == unique_id
    ]


def _tables_behind(unique_id: str, manifest: dict[str, Any]) -> set[str]:
    """Return the warehouse tables and marts that a model reads, looking through views."""
    found: set[str] = set()
    for parent in manifest["parent_map"][unique_id]:
        node = manifest["sources"].get(parent) or manifest["nodes"].get(parent)
        if node is None or parent.startswith(("macro.", "test.", "unit_test.")):
            continue
        if parent.startswith("source."):
            found.add(f"warehouse/{node['name']}")
        elif node["schema"] == "marts":
            found.add(f"marts/{node['name']}")
        else:
            found |= _tables_behind(parent, manifest)
    return found


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


def _profile(settings: Settings) -> dict[str, str]:
    return _PARSE_PROFILE if settings.postgres_dsn is None else dbt_environment(settings)


def _set_environment(settings: Settings, profile: dict[str, str]) -> None:
    """Give dbt its configuration: it reads the profile and its paths from the environment only."""
    home = settings.home.resolve() / "dbt"
    os.environ.update(profile)
    os.environ.setdefault("DBT_TARGET_PATH", str(home / "target"))
    os.environ.setdefault("DBT_LOG_PATH", str(home / "logs"))
    os.environ.setdefault("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")


def _replace(file: Path, content: bytes) -> None:
    draft = file.with_suffix(f".{os.getpid()}")
    draft.write_bytes(content)
    draft.replace(file)
