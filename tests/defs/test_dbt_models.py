"""What holds for every dbt model: where it reads, what is told of it, and who uses it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from telemetry_assets.dbt_lineage import MANIFEST_FILE

if TYPE_CHECKING:
    from pathlib import Path

    import dagster as dg

MARTS, STAGING = "marts", "staging"


@pytest.fixture(scope="module")
def manifest(definitions: dg.Definitions, home: Path) -> dict[str, Any]:
    """Return what dbt wrote when the definitions were loaded."""
    assert definitions
    (parsed,) = home.rglob(MANIFEST_FILE)
    return json.loads(parsed.with_name("manifest.json").read_text())


def test_only_staging_reads_sources_and_each_model_of_it_reads_one(
    manifest: dict[str, Any],
) -> None:
    for model in _models(manifest):
        parents = model["depends_on"]["nodes"]
        sources = [parent for parent in parents if parent.startswith("source.")]
        expected = 1 if _layer(model) == STAGING else 0
        assert len(sources) == expected, f"{model['name']} reads {sources}"
        assert _layer(model) != STAGING or parents == sources, model["name"]


def test_models_sources_and_all_their_columns_are_described(manifest: dict[str, Any]) -> None:
    missing = [
        f"{table['name']}.{column['name']}"
        for table in (*_models(manifest), *manifest["sources"].values())
        for column in (table, *table["columns"].values())
        if not column["description"].strip()
    ]
    assert missing == []
    assert all(table["columns"] for table in _models(manifest))


def test_marts_hold_to_a_contract_and_keep_their_descriptions_in_postgres(
    manifest: dict[str, Any],
) -> None:
    for model in _models(manifest, MARTS):
        assert model["contract"]["enforced"], model["name"]
        assert model["config"]["persist_docs"] == {"relation": True, "columns": True}


def test_every_mart_is_used_by_something_that_is_written_down(manifest: dict[str, Any]) -> None:
    used = {
        parent
        for exposure in manifest["exposures"].values()
        for parent in exposure["depends_on"]["nodes"]
    }
    unused = [m["name"] for m in _models(manifest, MARTS) if m["unique_id"] not in used]
    assert unused == []


def _models(manifest: dict[str, Any], layer: str = "") -> list[dict[str, Any]]:
    models = [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]
    return [model for model in models if not layer or _layer(model) == layer]


def _layer(model: dict[str, Any]) -> str:
    return model["fqn"][1]
