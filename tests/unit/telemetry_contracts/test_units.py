"""Units: exact at the fixed points of their definitions."""

from __future__ import annotations

import pytest

from telemetry_contracts.contract import ContractError
from telemetry_contracts.units import IDENTITY, accepted_units, conversion


@pytest.mark.parametrize(
    ("value", "unit", "canonical", "wanted"),
    [
        (32, "degF", "degC", 0),
        (212, "F", "degC", 100),
        (-40, "fahrenheit", "degC", -40),
        (273.15, "K", "degC", 0),
        (21, "celsius", "degC", 21),
        (101_325, "Pa", "hPa", 1013.25),
        (101.325, "kPa", "hPa", 1013.25),
        (1013.25, "mbar", "hPa", 1013.25),
        (0.5, "ratio", "%", 50),
        (1500, "ppb", "ppm", 1.5),
    ],
)
def test_fixed_points(value: float, unit: str, canonical: str, wanted: float) -> None:
    factor, offset = conversion(unit, canonical)
    assert value * factor + offset == pytest.approx(wanted, abs=1e-9)


def test_no_unit_means_the_canonical_one() -> None:
    assert conversion(None, "hPa") == IDENTITY


def test_units_of_different_kinds_do_not_convert() -> None:
    with pytest.raises(ContractError, match="no conversion from 'Pa' to 'degC'"):
        conversion("Pa", "degC")


@pytest.mark.parametrize("canonical", ["degC", "hPa", "%", "ppm", "lux", "m/s2"])
def test_every_accepted_spelling_converts_as_told(canonical: str) -> None:
    accepted = accepted_units(canonical)
    assert accepted[canonical] == IDENTITY
    assert accepted == {unit: conversion(unit, canonical) for unit in accepted}


def test_a_field_without_a_unit_accepts_none() -> None:
    assert accepted_units(None) == {}
