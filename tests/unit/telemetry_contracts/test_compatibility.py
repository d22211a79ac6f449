"""Compatibility: a change that would break readers is refused until the major version is raised."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from telemetry_contracts.compatibility import RELEASED, check, release
from telemetry_contracts.contract import (
    CANONICAL_SHAPE,
    ContractError,
    Field,
    FieldPath,
    LogicalType,
)
from telemetry_contracts.registry import SOURCES, Registry, load_registry

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def released(registry: Registry, tmp_path: Path) -> Path:
    file = tmp_path / "released.json"
    release(registry, file)
    return file


def altered(
    registry: Registry, source: str, change: Callable[[Field], Field | None], version: str = "1.1.0"
) -> Registry:
    """Return the contracts with every field of one changed; None removes a field."""
    contract = registry[source]
    fields = tuple(new for field in contract.fields if (new := change(field)) is not None)
    grown = replace(contract, fields=fields, version=version)
    return Registry([grown, *(c for c in registry.values() if c.source != source)])


def only(name: str, **changes: Any) -> Callable[[Field], Field]:
    return lambda field: replace(field, **changes) if field.name == name else field


def renamed(field: Field, name: str) -> Field:
    old = FieldPath(CANONICAL_SHAPE, (field.name,))
    return replace(field, name=name, paths=(*field.paths, old))


MISFITS = {
    "type": (
        "mobile",
        only("battery_level_percent", logical_type=LogicalType.INTEGER),
        "battery_level_percent: the type changed from number to integer",
    ),
    "unit": ("environment", only("pressure_hpa", unit="Pa"), "unit changed from hPa to Pa"),
}
"""What no version may do, because rows that are stored would say something else."""
BREAKS = {
    "removed": (
        "wearable",
        lambda f: None if f.name == "step_count" else f,
        "step_count: .*removed",
    ),
    "renamed": (
        "wearable",
        lambda f: renamed(f, "steps_taken") if f.name == "step_count" else f,
        "step_count: the field was renamed to steps_taken",
    ),
    "enum value": ("wearable", only("sleep_state", enum=("awake",)), "the enum lost asleep"),
    "enum": ("mobile", only("os_name", enum=("android",)), "os_name: .*limited to an enum"),
    "required": ("mobile", only("latitude", required=True), "latitude: the field became required"),
    "restriction": ("mobile", only("wifi_ip", restricted=False), "wifi_ip: the restriction"),
    "metric": ("wearable", only("step_count", metric=False), "no longer a metric"),
    "attribute": ("mobile", only("os_name", device_attribute=False), "no longer describes"),
}


def test_the_contracts_in_force_keep_what_was_released(registry: Registry) -> None:
    assert check(registry) == []


def test_the_released_file_lies_beside_the_code_that_reads_it(registry: Registry) -> None:
    assert set(json.loads(RELEASED.read_text())) <= set(registry)


@pytest.mark.parametrize("case", BREAKS)
def test_a_change_that_breaks_readers_is_refused(
    registry: Registry, released: Path, case: str
) -> None:
    source, change, complaint = BREAKS[case]
    for version in ("1.1.0", "1.2.0"):
        (problem,) = check(altered(registry, source, change, version), released)
        assert problem.startswith(f"{source}.")
        assert problem.endswith("undo that, or raise the version to 2.0.0")
        assert re.search(complaint, problem), problem


@pytest.mark.parametrize("case", BREAKS)
def test_a_new_major_version_may_break(registry: Registry, released: Path, case: str) -> None:
    source, change, _ = BREAKS[case]
    assert check(altered(registry, source, change, "2.0.0"), released) == []


@pytest.mark.parametrize("case", MISFITS)
@pytest.mark.parametrize("version", ["1.1.0", "1.2.0", "2.0.0"])
def test_no_version_may_change_what_stored_values_mean(
    registry: Registry, released: Path, case: str, version: str
) -> None:
    source, change, complaint = MISFITS[case]
    (problem,) = check(altered(registry, source, change, version), released)
    assert problem.endswith("give the field another name")
    assert re.search(complaint, problem), problem


def test_whole_numbers_may_become_numbers_in_a_minor_version(
    registry: Registry, released: Path
) -> None:
    widen = only("device_sdk", logical_type=LogicalType.NUMBER)
    assert check(altered(registry, "mobile", widen, "1.2.0"), released) == []
    assert check(altered(registry, "mobile", widen), released) == [
        "mobile: fields changed; raise the version to 1.2.0"
    ]


def test_further_values_and_names_are_no_break(registry: Registry, released: Path) -> None:
    grown = only("sleep_state", enum=("asleep", "awake", "dozing"))
    assert check(altered(registry, "wearable", grown, "1.2.0"), released) == []
    synonym = FieldPath(CANONICAL_SHAPE, ("pulse",))
    rate = registry["wearable"].field("heart_rate_bpm")
    named = only(rate.name, paths=(*rate.paths, synonym))
    assert check(altered(registry, "wearable", named), released) == []


def test_a_new_optional_field_needs_a_new_minor_version(registry: Registry, released: Path) -> None:
    def grown(version: str, **changes: Any) -> list[str]:
        contract = registry["wearable"]
        new = replace(contract.field("heart_rate_bpm"), name="oxygen_percent", **changes)
        grown = replace(contract, fields=(*contract.fields, new), version=version)
        others = [c for c in registry.values() if c.source != "wearable"]
        return check(Registry([grown, *others]), released)

    assert grown("1.2.0") == []
    assert grown("1.1.0") == ["wearable: fields changed; raise the version to 1.2.0"]
    assert "new and required" in grown("1.2.0", required=True)[0]


def test_a_released_source_must_stay(registry: Registry, released: Path) -> None:
    left = Registry([c for c in registry.values() if c.source != "mobile"])
    assert check(left, released) == ["mobile: the contract was released and is gone; put it back"]


@pytest.mark.parametrize("version", ["0.9.9", "one", "1.0", ""])
def test_a_version_only_grows(registry: Registry, released: Path, version: str) -> None:
    (problem,) = check(altered(registry, "mobile", lambda f: f, version), released)
    assert problem.startswith("mobile: version")


def test_nothing_that_breaks_can_be_released(registry: Registry, released: Path) -> None:
    before = released.read_text()
    source, change, _ = BREAKS["removed"]
    with pytest.raises(ContractError, match="removed"):
        release(altered(registry, source, change), released)
    assert released.read_text() == before
    release(altered(registry, source, change, "2.0.0"), released)
    assert "2.0.0" in released.read_text()


def test_a_missing_or_broken_released_file_is_told(registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "released.json"
    assert "telemetry contracts release" in check(registry, file)[0]
    file.write_text("{")
    with pytest.raises(ContractError, match=r"released\.json is not JSON"):
        check(registry, file)


def test_a_file_that_is_not_odcs_is_told_with_the_place(tmp_path: Path, released: Path) -> None:
    shutil.copytree(SOURCES, tmp_path / "sources")
    file = tmp_path / "sources" / "mobile.odcs.yaml"
    file.write_text(file.read_text().replace("apiVersion: v3.1.0", "apiVersion: v1.2.3"))
    problems = check(load_registry(tmp_path / "sources"), released)
    assert any("mobile.odcs.yaml" in problem and "apiVersion" in problem for problem in problems)
