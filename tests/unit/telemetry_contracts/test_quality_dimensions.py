"""Thresholds of quality scores come from the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from telemetry_contracts.contract import ContractError
from telemetry_contracts.quality_dimensions import DEFAULT_THRESHOLD, NAMES, read_thresholds

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry


def test_a_contract_sets_the_thresholds_that_it_names_and_leaves_the_others() -> None:
    found = read_thresholds({"validity": 0.95, "uniqueness": 1})
    assert found == {name: DEFAULT_THRESHOLD for name in NAMES} | {
        "validity": 0.95,
        "uniqueness": 1,
    }


@pytest.mark.parametrize(
    ("declared", "named"),
    [
        ({"beauty": 0.9}, "beauty"),
        ({"validity": 99}, "validity"),
        ({"validity": True}, "validity"),
        ({"validity": "0.9"}, "validity"),
        (["validity"], "maps dimensions"),
    ],
)
def test_a_threshold_that_means_nothing_is_refused_by_name(declared: Any, named: str) -> None:
    with pytest.raises(ContractError, match=named):
        read_thresholds(declared)


def test_every_built_in_contract_has_a_threshold_for_every_dimension(registry: Registry) -> None:
    for contract in registry.values():
        assert tuple(name for name, _ in contract.quality_thresholds) == NAMES
