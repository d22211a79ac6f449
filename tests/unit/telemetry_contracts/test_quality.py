"""Declared rules: what a contract may ask for, and what it is told when it asks for more."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
import yaml

from telemetry_contracts.compatibility import schema_problems
from telemetry_contracts.contract import Contract, ContractError, Severity
from telemetry_contracts.registry import load_registry
from telemetry_contracts.rules import (
    RECEIVED_AT,
    REGISTERED,
    contract_rules,
    pattern_problems,
    registry_rules,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TYPES = {
    "event_id": "string",
    "device_id": "string",
    "event_time": "timestamp",
    "opened_at": "timestamp",
    "closed_at": "timestamp",
    "low": "number",
    "high": "integer",
    "plate": "string",
    "owner": "string",
}
Load = "Callable[..., Contract]"


def document(*table_rules: dict[str, Any], **fields: dict[str, Any]) -> dict[str, Any]:
    """Return a contract of the fields in TYPES, with rules of the table and changes by field."""
    properties = []
    for name, kind in TYPES.items():
        prop = {"name": name, "logicalType": kind, "required": name in ("device_id", "event_time")}
        properties.append(prop | ({"classification": "restricted"} if name == "owner" else {}))
    for prop in properties:
        prop.update(deepcopy(fields.get(str(prop["name"]), {})))
    table = {"name": "gate", "logicalType": "object", "properties": properties}
    if table_rules:
        table["quality"] = list(table_rules)
    return {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": "gate",
        "version": "1.0.0",
        "status": "active",
        "schema": [table],
    }


def rule(severity: str | None = None, **implementation: Any) -> dict[str, Any]:
    entry = {"type": "custom", "engine": "telemetry", "implementation": implementation}
    return entry | ({"severity": severity} if severity else {})


def on(*rules: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {"quality": list(rules)} | ({"logicalTypeOptions": options} if options else {})


@pytest.fixture
def load(tmp_path: Path) -> Callable[[dict[str, Any]], Contract]:
    def read(found: dict[str, Any]) -> Contract:
        (tmp_path / "gate.odcs.yaml").write_text(yaml.safe_dump(found))
        assert schema_problems(tmp_path) == []
        return load_registry(tmp_path)["gate"]

    return read


def judged(contract: Contract, **values: Any) -> dict[str, tuple[bool, bool]]:
    """Return, for each rule but timeliness, whether one row is checked and whether it breaks it."""
    schema = {
        **dict.fromkeys(("device_id", "plate", "owner"), pl.String),
        **dict.fromkeys(("event_time", "opened_at", "closed_at", RECEIVED_AT), pl.Int64),
        "low": pl.Float64,
        "high": pl.Int64,
        REGISTERED: pl.Boolean,
    }
    row = pl.DataFrame([values], schema=schema)
    rules = (*contract_rules(contract), *registry_rules(contract))
    return {
        each.rule: (row.select(each.checked).item(), row.select(each.broken).item())
        for each in rules
        if not each.rule.startswith("timeliness")
    }


def test_one_field_is_compared_with_another_where_both_are_known(load: Any) -> None:
    contract = load(document(closed_at=on(rule(rule="compare", **{"is": ">="}, to="opened_at"))))
    name = "compare.closed_at.opened_at"
    assert judged(contract, closed_at=5, opened_at=5) == {name: (True, False)}
    assert judged(contract, closed_at=4, opened_at=5) == {name: (True, True)}
    assert judged(contract, closed_at=4) == {name: (False, False)}
    (found,) = [each for each in contract_rules(contract) if each.rule == name]
    assert (found.dimension, found.severity) == ("consistency", Severity.ERROR)
    assert found.message == "expected closed_at >= opened_at"


@pytest.mark.parametrize(
    ("sign", "holds"),
    [("<", [1]), ("<=", [1, 2]), (">", [3]), (">=", [2, 3]), ("=", [2]), ("!=", [1, 3])],
)
def test_a_field_is_compared_with_a_number(load: Any, sign: str, holds: list[int]) -> None:
    contract = load(document(high=on(rule(rule="compare", **{"is": sign}, to=2))))
    kept = [value for value in (1, 2, 3) if not judged(contract, high=value)["compare.high.2"][1]]
    assert kept == holds


def test_a_field_needs_another(load: Any) -> None:
    contract = load(document(low=on(rule(rule="needs", **{"with": "high"}))))
    assert judged(contract, low=1.0, high=2)["needs.low.high"] == (True, False)
    assert judged(contract, low=1.0)["needs.low.high"] == (True, True)
    assert judged(contract, high=2)["needs.low.high"] == (False, False)


def test_fields_come_together_or_not_at_all(load: Any) -> None:
    contract = load(document(rule(rule="together", fields=["low", "high"])))
    for values, broken in (({}, False), ({"low": 1.0}, True), ({"low": 1.0, "high": 1}, False)):
        assert judged(contract, **values)["together.low.high"][1] is broken


def test_text_has_a_form_and_a_length(load: Any) -> None:
    contract = load(document(plate=on(pattern="^[A-Z]+-", minLength=4, maxLength=8)))
    for plate, broken in (
        ("AB-1", False),
        ("ab-12", True),
        ("A-1", True),
        ("AB-123456", True),
        (None, False),
    ):
        assert judged(contract, plate=plate)["format.plate"] == (plate is not None, broken)


def test_a_device_that_the_registry_does_not_know_is_warned_of(load: Any) -> None:
    contract = load(document(device_id=on(rule(rule="registered", exceptPrefix="session:"))))
    name = "registered.device_id"
    assert judged(contract, device_id="a", **{REGISTERED: True})[name] == (True, False)
    assert judged(contract, device_id="a", **{REGISTERED: False})[name] == (True, True)
    assert judged(contract, device_id="session:a", **{REGISTERED: False})[name] == (False, False)
    assert judged(contract, device_id="a")[name] == (False, False), "there is no registry"
    (found,) = registry_rules(contract)
    assert (found.severity, found.dimension) == (Severity.WARNING, "integrity")


def test_a_severity_can_be_given(load: Any) -> None:
    contract = load(document(low=on(rule("warning", rule="needs", **{"with": "high"}))))
    assert contract.warns
    refusing = load(document(device_id=on(rule("error", rule="registered"))))
    assert registry_rules(refusing)[0].severity is Severity.ERROR


def test_what_is_meant_for_another_engine_is_left_alone(load: Any) -> None:
    other = {"type": "custom", "engine": "soda", "implementation": "checks for gate: []"}
    text = {"type": "text", "description": "Should be plausible."}
    assert load(document(other, low=on(text))).rules == ()


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (document(low=on(rule(rule="eval", code="1"))), "'eval' is none of compare, needs"),
        (document(low=on(rule(rule="jump", limit=1))), "'jump' lacks per"),
        (document(low=on(rule(rule="jump", limit=1, per="1m", by=2))), "'jump' has no by"),
        (document(low=on(rule(rule="jump", limit=-1, per="1m"))), "`limit` is a number above 0"),
        (document(low=on(rule(rule="stuck", **{"for": "0m"}))), "`for` is a duration above 0"),
        (document(plate=on(rule(rule="jump", limit=1, per="1m"))), "only numbers jump"),
        (document(low=on(rule("error", rule="jump", limit=1, per="1m"))), "only be a warning"),
        (document(low=on(rule("fatal", rule="needs", **{"with": "high"}))), "'fatal' is none of"),
        (document(low=on(rule(rule="needs", **{"with": "width"}))), "no field 'width'"),
        (document(low=on(rule(rule="compare", **{"is": "~"}, to=1))), "'~' is none of"),
        (document(low=on(rule(rule="compare", **{"is": "<"}, to="plate"))), "different types"),
        (document(owner=on(rule(rule="compare", **{"is": "<"}, to="plate"))), "not comparable"),
        (document(rule(rule="needs", **{"with": "high"})), "belongs to the field"),
        (document(low=on(rule(rule="together", fields=["low", "high"]))), "the schema object"),
        (document(rule(rule="together", fields=["low"])), "two fields or more"),
        (document(plate=on(rule(rule="registered"))), "knows devices by `device_id`"),
        (document(low=on(*[rule(rule="needs", **{"with": "high"})] * 2)), "declared twice"),
        (document(plate=on(pattern="(?=x)")), "looks around or back"),
        (document(plate=on(pattern="(")), "no regular expression"),
        (document(owner=on(pattern="x")), "a token has no format"),
        (document(opened_at=on(timezone=False)), "only a derived timestamp"),
    ],
)
def test_a_rule_that_cannot_be_kept_is_refused(
    load: Any, wrong: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ContractError, match=complaint):
        load(wrong)


def test_a_pattern_that_polars_does_not_know_is_found_by_the_check(load: Any) -> None:
    contract = load(document(plate=on(pattern="a\\Z")))
    (problem,) = pattern_problems(contract)
    assert problem.startswith("gate.plate: ")
