"""What dbt's manifest says of the marts: where each comes from."""

from __future__ import annotations

from typing import Any


def tables_behind(unique_id: str, manifest: dict[str, Any]) -> set[str]:
    """Return the warehouse tables and marts that a model reads, looking through views.

    Tables that hold a setting (`meta: is_setting`) are not among them.

    Args:
        unique_id: Of a model or an exposure.
        manifest: `manifest.json` as dbt writes it.

    Returns:
        Names such as `warehouse/mobile` and `marts/fct_events`.
    """
    found: set[str] = set()
    for parent in manifest["parent_map"][unique_id]:
        node = manifest["sources"].get(parent) or manifest["nodes"].get(parent)
        if node is None or parent.startswith(("macro.", "test.", "unit_test.")):
            continue
        if parent.startswith("source."):
            if node["config"].get("meta", {}).get("is_setting"):
                continue
            found.add(f"warehouse/{node['name']}")
        elif node["schema"] == "marts":
            found.add(f"marts/{node['name']}")
        else:
            found |= tables_behind(parent, manifest)
    return found
