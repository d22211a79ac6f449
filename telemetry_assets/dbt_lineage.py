"""The dbt project: where it is, parsed once, its lineage compiled into plain data.

dbt and dagster-dbt take seconds to import and every run loads the definitions anew, so what they
know of the project is written beside the manifest when the project changes.
"""

from __future__ import annotations

import hashlib
import json
import os
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telemetry_platform.dbt_manifest import tables_behind
from telemetry_platform.postgres import dbt_environment

if TYPE_CHECKING:
    from telemetry_platform.settings import Settings

PROJECT = Path(__file__).resolve().parents[1] / "dbt_project"
LINEAGE_FILE = "lineage.json"
MANIFEST_FILE = "manifest.msgpack"
_INPUTS = ("*.sql", "*.yml", "*.yaml", "*.md")
# Parsing opens no connection, but the profile must render and the database's name is kept.
_PARSE_PROFILE = {
    "TELEMETRY_PG_HOST": "127.0.0.1",
    "TELEMETRY_PG_PORT": "5432",
    "TELEMETRY_PG_USER": "telemetry",
    "TELEMETRY_PG_PASSWORD": "",
    "TELEMETRY_PG_DATABASE": "telemetry",
}


class ProjectBroken(RuntimeError):
    """The dbt project does not parse; the message says what dbt says."""


def target_directory(settings: Settings) -> Path:
    """Return where dbt's artifacts are, under TELEMETRY_HOME."""
    return settings.home.resolve() / "dbt" / "target"


def lineage(settings: Settings) -> list[dict[str, Any]]:
    """Return the marts with their dependencies and columns, preparing them when needed."""
    prepare(settings)
    return json.loads((target_directory(settings) / LINEAGE_FILE).read_text())["assets"]


def prepare(settings: Settings) -> str:
    """Parse the project unless it was parsed as it is now; return its fingerprint."""
    fingerprint = project_fingerprint(profile(settings)["TELEMETRY_PG_DATABASE"])
    target = target_directory(settings)
    file = target / LINEAGE_FILE
    if file.exists() and json.loads(file.read_text())["fingerprint"] == fingerprint:
        return fingerprint
    target.mkdir(parents=True, exist_ok=True)
    _parse(settings, target, fingerprint)
    return fingerprint


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


def profile(settings: Settings) -> dict[str, str]:
    """Return the variables of dbt's profile; without a database, enough to parse."""
    return _PARSE_PROFILE if settings.postgres_dsn is None else dbt_environment(settings)


def set_environment(settings: Settings) -> None:
    """Give dbt its configuration: it reads the profile and its paths from the environment only."""
    home = settings.home.resolve() / "dbt"
    os.environ.update(profile(settings))
    os.environ.setdefault("DBT_TARGET_PATH", str(home / "target"))
    os.environ.setdefault("DBT_LOG_PATH", str(home / "logs"))
    os.environ.setdefault("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")


def _parse(settings: Settings, target: Path, fingerprint: str) -> None:
    from dbt.cli.main import dbtRunner
    from dbt.parser.manifest import extended_mashumaro_encoder

    set_environment(settings)
    arguments = ["parse", "--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
    result = dbtRunner().invoke([*arguments, "--quiet", "--no-partial-parse"])
    if not result.success:
        raise ProjectBroken(f"the dbt project does not parse: {result.exception}")
    manifest: Any = result.result
    _replace(target / MANIFEST_FILE, manifest.to_msgpack(extended_mashumaro_encoder))
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
            "depends_on": sorted(tables_behind(unique_id, manifest)),
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


def _replace(file: Path, content: bytes) -> None:
    draft = file.with_suffix(f".{os.getpid()}")
    draft.write_bytes(content)
    draft.replace(file)
