"""Contract files: a new device is a new file, and a wrong file says where it is wrong."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from telemetry_contracts.contract import ContractError, LogicalType
from telemetry_contracts.frames import bronze_schema, silver_schema
from telemetry_contracts.odcs import load_contract
from telemetry_contracts.reader import Reading, compile_reader
from telemetry_contracts.registry import Registry, load_registry
from telemetry_contracts.rules import contract_rules
from telemetry_contracts.tokens import KeyRing

PARKING = """
apiVersion: v3.1.0
kind: DataContract
id: parking
name: Parking sensors
version: 1.2.0
status: active
slaProperties:
  - {property: retention, value: 90, unit: d}
schema:
  - name: parking
    logicalType: object
    description: Occupancy of parking bays.
    customProperties:
      - {property: dedupWindow, value: 12h}
      - {property: maxLateness, value: 2d}
      - property: shapes
        value:
          - {name: gateway, requires: [bay.id, at]}
    properties:
      - name: event_id
        logicalType: string
      - name: device_id
        logicalType: string
        required: true
        customProperties:
          - property: paths
            value: [{shape: gateway, path: bay.id}]
      - name: event_time
        logicalType: timestamp
        required: true
        customProperties:
          - property: paths
            value: [{shape: gateway, path: at, format: epoch_millis}]
      - name: occupied
        logicalType: boolean
        customProperties:
          - property: paths
            value: [{shape: gateway, path: bay.occupied}]
      - name: arrived_at
        logicalType: timestamp
        customProperties:
          - property: paths
            value: [{shape: gateway, path: bay.since}]
      - name: licence_plate
        logicalType: string
        classification: restricted
        customProperties:
          - property: paths
            value: [{shape: gateway, path: car.plate}]
      - name: field_strength_percent
        logicalType: number
        logicalTypeOptions: {minimum: 0, maximum: 100}
        customProperties:
          - {property: unit, value: "%"}
          - {property: metric, value: true}
          - property: paths
            value: [{shape: gateway, path: bay.field, unit: ratio}]
"""
EVENT = {
    "bay": {"id": 17, "occupied": "yes", "since": "2026-01-05T09:00:00", "field": 0.25},
    "car": {"plate": "B-XY 1", "colour": "red"},
    "at": 1767607200000,
}


def write(directory: Path, document: Any) -> Path:
    file = directory / "parking.odcs.yaml"
    file.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return file


def document(**changes: Any) -> dict[str, Any]:
    """Return the contract with fields changed: name → property → value."""
    found = yaml.safe_load(PARKING)
    for prop in found["schema"][0]["properties"]:
        prop.update(changes.get(prop["name"], {}))
    return found


def paths(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"customProperties": [{"property": "paths", "value": list(entries)}]}


def test_one_file_is_enough_for_a_new_device(tmp_path: Path, keyring: KeyRing) -> None:
    write(tmp_path, PARKING)
    contract = load_registry(tmp_path)["parking"]
    reading = compile_reader(contract, keyring).read(EVENT)
    assert isinstance(reading, Reading)
    assert (reading.device_id, reading.event_time_us) == ("17", 1_767_607_200_000_000)
    assert json.loads(reading.payload) == {
        "_shape": "gateway",
        "_extras": '{"car":{"colour":"red"}}',
        "arrived_at": 1_767_603_600_000_000,
        "field_strength_percent": 25.0,
        "licence_plate": keyring.token("B-XY 1"),
        "occupied": True,
    }
    assert silver_schema(contract)["field_strength_percent"] == pl.Float64
    assert bronze_schema(contract)["arrived_at"] == pl.Datetime("us", "UTC")
    assert [rule.rule for rule in contract_rules(contract)] == [
        "range.field_strength_percent",
        "timeliness.future",
        "timeliness.late",
    ]
    assert (contract.dedup_window, contract.retention) == (
        timedelta(hours=12),
        timedelta(days=90),
    )


def test_every_source_can_be_sent_by_its_column_names(registry: Registry, keyring: KeyRing) -> None:
    for contract in registry.values():
        event = {
            field.name: field.examples[0]
            for field in contract.fields
            if field.sent and field.examples
        }
        reading = compile_reader(contract, keyring).read(event)
        assert isinstance(reading, Reading), reading
        sent = set(event) - {"event_id", "device_id", "event_time"}
        assert set(json.loads(reading.payload)) - {"_shape"} == sent


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        (document(occupied={"logicalType": "truth"}), "field 'occupied': logical type 'truth'"),
        (document(occupied={"name": "isOccupied"}), "field 'isOccupied': .*lower_snake_case"),
        (document(occupied={"name": "event_id"}), "described twice: event_id"),
        (document(event_id={"name": "id"}), "identity fields are missing: event_id"),
        (document(device_id={"required": False}), "field 'device_id' .*required"),
        (document(device_id={"logicalType": "integer"}), "field 'device_id' .*string"),
        (document(event_time={"logicalType": "string"}), "field 'event_time' .*timestamp"),
        (
            document(occupied=paths({"shape": "gatway", "path": "x"})),
            "field 'occupied': unknown shapes: gatway",
        ),
        (document(occupied=paths({"path": "x"})), "field 'occupied': the key 'shape' is missing"),
        (
            document(event_time=paths({"shape": "gateway", "path": "at", "format": "unix"})),
            "field 'event_time': unknown time format 'unix'",
        ),
        (
            document(arrived_at=paths({"shape": "gateway", "path": "bay"})),
            "path bay.* goes through the value of 'arrived_at'",
        ),
        (
            document(occupied=paths({"shape": "gateway", "path": "x", "unit": "Pa"})),
            "field 'occupied': no conversion from 'Pa'",
        ),
        ("schema: [", "parking.odcs.yaml"),
        ("[]", "parking.odcs.yaml"),
        ("kind: DataContract\napiVersion: v3.1.0\nid: x\n", "exactly one schema"),
        (PARKING.replace("12h", "12 hours"), "'12 hours' is not a duration"),
        (PARKING.replace("requires: [bay.id, at]", "needs: []"), "the key 'requires' is missing"),
        (PARKING.replace("- name: parking", "- name: Parking"), "'Parking' is not a lower_snake"),
    ],
    ids=str,
)
def test_a_wrong_file_names_the_file_the_field_and_the_fault(
    tmp_path: Path, changed: Any, complaint: str
) -> None:
    with pytest.raises(
        ContractError, match=f"(?s)parking.odcs.yaml: .*{complaint}|{complaint}"
    ) as told:
        load_contract(write(tmp_path, changed))
    assert str(told.value).startswith("parking.odcs.yaml: ")


def test_two_files_for_one_source_are_refused(tmp_path: Path) -> None:
    write(tmp_path, PARKING)
    (tmp_path / "again.odcs.yaml").write_text(PARKING)
    with pytest.raises(ContractError, match="same source"):
        load_registry(tmp_path)


def test_a_directory_without_contracts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"no \*\.odcs\.yaml file"):
        load_registry(tmp_path)


def test_sources_stand_in_alphabetical_order(registry: Registry) -> None:
    assert registry.sources == ("environment", "mobile", "wearable")


def test_personal_fields_are_text_without_an_example(registry: Registry) -> None:
    for contract in registry.values():
        for field in contract.fields:
            if field.restricted:
                assert field.logical_type is LogicalType.STRING
                assert not field.examples
