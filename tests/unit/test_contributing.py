"""CONTRIBUTING.md: its example works, and it explains every word that a contract may use."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from telemetry_contracts.contract import ContractError
from telemetry_contracts.reader import Reading, compile_reader
from telemetry_contracts.registry import load_registry
from telemetry_contracts.tokens import KeyRing

pytestmark = pytest.mark.unit

PROJECT = Path(__file__).resolve().parents[2]
TEXT = (PROJECT / "CONTRIBUTING.md").read_text()
CODE = (PROJECT / "telemetry_contracts" / "odcs.py").read_text()


def _block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert found, f"there is no {language} example"
    return found[1]


def _words(node: Any) -> set[str]:
    """Return the names of all `customProperties` below `node`."""
    if isinstance(node, dict):
        own = {entry["property"] for entry in node.get("customProperties", [])}
        return own.union(*map(_words, node.values()))
    return set().union(*map(_words, node)) if isinstance(node, list) else set()


def test_the_example_contract_reads_the_example_event(tmp_path: Path) -> None:
    (tmp_path / "soil.odcs.yaml").write_text(_block("yaml"))
    contract = load_registry(tmp_path)["soil"]
    reading = compile_reader(contract, KeyRing.generate()).read(json.loads(_block("json")))
    assert isinstance(reading, Reading), reading
    payload = json.loads(reading.payload)
    assert payload["soil_temperature_celsius"] == pytest.approx(15.0)
    assert payload["soil_moisture_percent"] == pytest.approx(31.0)
    assert payload["user_email"].startswith("tok_1_")
    assert reading.device_id == "bed-4"
    assert reading.event_time_us == 1_767_607_200_000_000


def test_a_unit_path_that_would_not_be_read_is_refused(tmp_path: Path) -> None:
    text = _block("yaml").replace("unit: degF", "unitPath: soil.unit")
    (tmp_path / "soil.odcs.yaml").write_text(text)
    with pytest.raises(ContractError, match=r"soil_temperature_celsius.*unitPath"):
        load_registry(tmp_path)


def test_every_custom_property_in_use_is_explained() -> None:
    files = sorted((PROJECT / "telemetry_contracts" / "sources").glob("*.yaml"))
    used = set().union(*(_words(yaml.safe_load(file.read_text())) for file in files))
    assert {"paths", "shapes"} <= used
    explained = set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE))
    assert used <= explained


def test_every_custom_property_that_the_loader_reads_is_explained() -> None:
    read = set(re.findall(r'(?:properties|custom|entry)(?:\.get\(|\[)"(\w+)"', CODE))
    assert {"derived", "unitPath", "requires"} <= read
    assert {word for word in read if f"`{word}`" not in TEXT and f"{word}," not in TEXT} == set()
