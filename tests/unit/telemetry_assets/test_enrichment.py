"""Derived fields against published tables."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl
import pytest

from telemetry_assets.lakehouse.enrichment import (
    FUNCTIONS,
    derived_columns,
    dew_point,
    heat_index,
    value_where,
)
from telemetry_contracts.contract import ContractError, Derivation

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry

# Saturation vapour pressure over water in hPa by degrees Celsius: Smithsonian Meteorological
# Tables, 6th edition (List, 1949), table 94, after Goff and Gratch.
SATURATION = {
    -10: 2.8627,
    -5: 4.2148,
    0: 6.1078,
    5: 8.7192,
    10: 12.272,
    15: 17.044,
    20: 23.373,
    25: 31.671,
    30: 42.430,
    35: 56.236,
    40: 73.777,
}
# Heat index in degrees Fahrenheit by relative humidity and temperature: US National Weather
# Service, Heat Index Chart, https://www.weather.gov/safety/heat-index
CHART = {
    40: {80: 80, 90: 91, 100: 109, 110: 136},
    50: {80: 81, 90: 95, 100: 118, 106: 137},
    60: {80: 82, 90: 100, 100: 129},
    70: {80: 83, 90: 105, 98: 134},
    80: {80: 84, 90: 113, 94: 129},
    90: {80: 86, 86: 105, 92: 131},
    100: {80: 87, 84: 103, 90: 132},
}


def apply(expression: pl.Expr, temperature: float | None, humidity: float | None) -> float | None:
    schema = pl.Schema({"t": pl.Float64, "h": pl.Float64})
    frame = pl.DataFrame({"t": [temperature], "h": [humidity]}, schema=schema)
    return frame.select(expression.alias("x")).item()


@pytest.mark.parametrize("temperature", SATURATION)
@pytest.mark.parametrize("wanted", SATURATION)
def test_the_dew_point_agrees_with_the_smithsonian_tables(temperature: int, wanted: int) -> None:
    if wanted > temperature:
        return
    humidity = 100 * SATURATION[wanted] / SATURATION[temperature]
    found = apply(dew_point("t", "h"), temperature, humidity)
    assert found == pytest.approx(wanted, abs=0.4)


def test_air_without_humidity_has_no_dew_point() -> None:
    for temperature, humidity in ((20.0, 0.0), (20.0, None), (None, 50.0)):
        assert apply(dew_point("t", "h"), temperature, humidity) is None


@pytest.mark.parametrize(
    ("humidity", "fahrenheit", "wanted"),
    [(humidity, t, index) for humidity, row in CHART.items() for t, index in row.items()],
)
def test_the_heat_index_agrees_with_the_weather_services_chart(
    humidity: int, fahrenheit: int, wanted: int
) -> None:
    found = apply(heat_index("t", "h"), (fahrenheit - 32) / 1.8, humidity)
    assert found is not None
    # The chart has whole degrees, some cut and some rounded, and leaves out the adjustment for
    # humid air, which is at most 2.1 °F.
    assert found * 1.8 + 32 == pytest.approx(wanted, abs=1.0 if humidity <= 85 else 2.6)


def test_the_heat_index_of_mild_air_is_steadmans_and_near_the_temperature() -> None:
    # 68 °F and 50 %: Steadman's 66.85 °F, averaged with the temperature.
    assert apply(heat_index("t", "h"), 20.0, 50.0) == pytest.approx((67.425 - 32) / 1.8)


def test_dry_heat_feels_less_hot_than_the_regression_says() -> None:
    dry = apply(heat_index("t", "h"), 35.0, 5.0)
    assert dry is not None
    t, r = 95.0, 5.0
    regression = (
        -42.379
        + 2.04901523 * t
        + 10.14333127 * r
        - 0.22475541 * t * r
        - 0.00683783 * t * t
        - 0.05481717 * r * r
        + 0.00122874 * t * t * r
        + 0.00085282 * t * r * r
        - 0.00000199 * t * t * r * r
    )
    assert dry * 1.8 + 32 == pytest.approx(regression - (13 - r) / 4)


def test_a_missing_input_gives_no_heat_index_and_no_nan() -> None:
    assert apply(heat_index("t", "h"), None, 50.0) is None
    assert apply(heat_index("t", "h"), 20.0, None) is None
    grid = [(float(t), float(h)) for t in range(-60, 86, 5) for h in range(0, 101, 5)]
    frame = pl.DataFrame(grid, schema=["t", "h"], orient="row").select(heat_index("t", "h"))
    assert frame.to_series().is_finite().all()


def test_a_value_is_kept_where_a_field_says_so() -> None:
    frame = pl.DataFrame({"v": [1.0, 2.0, 3.0], "state": ["asleep", "awake", None]})
    assert frame.select(value_where("v", "state", "asleep"))["v"].to_list() == [1.0, None, None]


def test_every_derived_field_of_a_contract_can_be_computed(registry: Registry) -> None:
    for contract in registry.values():
        derived = [column for column in contract.columns if column.derivation]
        assert {c.derivation.function for c in derived if c.derivation} <= set(FUNCTIONS)
        sent = {column.name: [None] for column in contract.sent_columns}
        found = pl.DataFrame(sent).with_columns(pl.all().cast(pl.Float64, strict=False))
        names = [expression.meta.output_name() for expression in derived_columns(contract)]
        assert names == [column.name for column in derived]
        assert set(sent) <= set(found.columns)


@pytest.mark.parametrize(
    ("derivation", "complaint"),
    [
        (Derivation("wind_chill", {}), "dew_point.*: unknown function 'wind_chill'; known are"),
        (Derivation("dew_point", {"temperature": "t"}), "humidity"),
    ],
)
def test_a_derivation_that_cannot_be_computed_is_named(
    registry: Registry, derivation: Derivation, complaint: str
) -> None:
    contract = registry["environment"]
    fields = tuple(
        replace(f, derivation=derivation) if f.name == "dew_point_celsius" else f
        for f in contract.fields
    )
    with pytest.raises(
        ContractError, match=rf"environment\.dew_point_celsius.*{complaint}|{complaint}"
    ):
        derived_columns(replace(contract, fields=fields))
