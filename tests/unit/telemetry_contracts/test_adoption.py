"""Contracts that change while processes run: good ones are followed, others change nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from telemetry_contracts.adoption import ContractFolder
from telemetry_contracts.registry import SOURCES
from tests.unit.telemetry_contracts.soil import put, soil

BUILT_IN = {"environment", "mobile", "wearable"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "contracts"
    made.mkdir()
    return made


@pytest.fixture
def follower(folder: Path) -> ContractFolder:
    return ContractFolder(folder, folder.parent / "accepted")


def again(folder: Path) -> ContractFolder:
    """Return what another process, started later, follows the same folder with."""
    return ContractFolder(folder, folder.parent / "accepted")


def test_without_a_folder_the_built_in_contracts_are_in_force(tmp_path: Path) -> None:
    found = ContractFolder(tmp_path / "none", tmp_path / "accepted").look()
    assert set(found.registry) == BUILT_IN
    assert found.refused == {}


def test_a_file_that_comes_is_in_force_at_the_next_look(
    folder: Path, follower: ContractFolder
) -> None:
    before = follower.look()
    assert follower.look() is before
    put(folder, soil())
    found = follower.look()
    assert set(found.registry) == {*BUILT_IN, "soil"}
    assert follower.look() is found


def test_a_file_that_is_still_being_written_waits(folder: Path, follower: ContractFolder) -> None:
    file = put(folder, soil()[: len(soil()) // 2])
    os.utime(file)
    assert set(follower.look().registry) == BUILT_IN
    assert follower.look().refused == {}
    put(folder, soil())
    assert "soil" in follower.look().registry


def test_a_compatible_version_follows_and_an_incompatible_one_is_refused_with_the_reason(
    folder: Path, follower: ContractFolder
) -> None:
    put(folder, soil())
    follower.look()
    put(folder, soil(version="1.1.0", new_field="soil_acidity_ph"))
    grown = follower.look()
    assert grown.registry["soil"].version == "1.1.0"
    put(folder, soil(version="1.2.0"))
    refused = follower.look()
    assert refused.registry is grown.registry
    assert "soil_acidity_ph: the field was removed" in refused.refused["soil.odcs.yaml"]
    put(folder, soil(version="2.0.0"))
    assert follower.look().registry["soil"].version == "2.0.0"
    assert follower.look().refused == {}


def test_a_process_that_starts_later_refuses_the_same(folder: Path) -> None:
    put(folder, soil(version="1.1.0", new_field="soil_acidity_ph"))
    again(folder).look()
    put(folder, soil(version="1.2.0"))
    found = again(folder).look()
    assert found.registry["soil"].version == "1.1.0"
    assert "removed" in found.refused["soil.odcs.yaml"]


@pytest.mark.parametrize("text", ["{", "", "kind: DataContract", "a: [b"])
def test_an_unreadable_file_leaves_the_version_before_it_in_force(
    folder: Path, follower: ContractFolder, text: str
) -> None:
    put(folder, soil())
    before = follower.look().registry
    put(folder, text)
    found = follower.look()
    assert found.registry is before
    assert list(found.refused) == ["soil.odcs.yaml"]


def test_a_file_that_is_gone_leaves_its_contract_in_force(
    folder: Path, follower: ContractFolder
) -> None:
    file = put(folder, soil())
    before = follower.look().registry
    file.unlink()
    assert follower.look().registry is before
    assert "soil" in again(folder).look().registry


def test_a_built_in_contract_is_followed_by_a_newer_one_and_by_no_other(
    folder: Path, follower: ContractFolder
) -> None:
    text = (SOURCES / "wearable.odcs.yaml").read_text()
    assert text.count("\nversion: 1.1.0\n") == 1
    put(folder, text.replace("metric, value: true", "metric, value: false"), "wearable")
    found = follower.look()
    assert "no longer a metric" in found.refused["wearable.odcs.yaml"]
    assert found.registry["wearable"].metrics
    put(folder, text.replace("\nversion: 1.1.0\n", "\nversion: 1.3.0\n"), "wearable")
    assert follower.look().registry["wearable"].version == "1.3.0"


def test_two_files_of_one_source_are_one_too_many(folder: Path, follower: ContractFolder) -> None:
    put(folder, soil())
    put(folder, soil(version="1.1.0", new_field="soil_acidity_ph"), "soil_too")
    found = follower.look()
    assert found.registry["soil"].version == "1.0.0"
    assert "same source" in found.refused["soil_too.odcs.yaml"]


def test_what_was_released_beside_the_files_binds_them_too(
    folder: Path, follower: ContractFolder
) -> None:
    (folder / "released.json").write_text(
        '{"soil": {"version": "1.0.0", "fields": {"depth_cm": {"type": "number"}}}}'
    )
    put(folder, soil(version="1.1.0"))
    found = follower.look()
    assert "soil" not in found.registry
    assert "depth_cm: the field was removed" in found.refused["soil.odcs.yaml"]


@pytest.mark.parametrize("name", ["order", "user", "extras", "ctid", "x" * 64])
def test_a_field_that_no_table_takes_is_refused(
    folder: Path, follower: ContractFolder, name: str
) -> None:
    put(folder, soil(new_field=name))
    assert name in follower.look().refused["soil.odcs.yaml"]


@pytest.mark.parametrize("name", ["quarantine", "devices", "Soil", "s" * 41])
def test_a_source_whose_tables_would_be_others_is_refused(
    folder: Path, follower: ContractFolder, name: str
) -> None:
    put(folder, soil().replace("- name: soil\n", f"- name: {name}\n"))
    assert name in follower.look().refused["soil.odcs.yaml"]


def test_a_version_that_none_can_follow_is_refused(folder: Path, follower: ContractFolder) -> None:
    put(folder, soil(version="new"))
    assert "MAJOR.MINOR.PATCH" in follower.look().refused["soil.odcs.yaml"]


def test_a_folder_that_cannot_be_written_beside_is_followed_all_the_same(
    folder: Path,
) -> None:
    blocked = folder.parent / "file"
    blocked.write_text("")
    follower = ContractFolder(folder, blocked / "accepted")
    put(folder, soil())
    assert "soil" in follower.look().registry
    put(folder, soil(version="1.1.0", new_field="soil_acidity_ph"))
    assert follower.look().registry["soil"].version == "1.1.0"
