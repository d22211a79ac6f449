"""Fields that silver derives from what devices sent. Functions are named in contracts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

from telemetry_assets.lakehouse.places import geohash, local_time
from telemetry_assets.lakehouse.registered import COLUMNS, registry_column
from telemetry_contracts.contract import Contract, ContractError

_MAGNUS_A = 17.625
_MAGNUS_B = 243.04
_HEAT_INDEX_FROM_F = 80.0
_DRY_BELOW_PERCENT = 13.0
_HUMID_ABOVE_PERCENT = 85.0


def dew_point(temperature: str, humidity: str) -> pl.Expr:
    """Return the dew point in degrees Celsius.

    Magnus formula with the coefficients of Alduchov and Eskridge (1996), Journal of Applied
    Meteorology 35, 601-609; within 0.4 K from -40 to 50 °C. Null where an input is null or the
    humidity is not above 0.

    Args:
        temperature: Column of the air temperature in degrees Celsius.
        humidity: Column of the relative humidity in percent.
    """
    celsius, percent = pl.col(temperature), pl.col(humidity)
    gamma = (percent / 100).log() + _MAGNUS_A * celsius / (_MAGNUS_B + celsius)
    value = _MAGNUS_B * gamma / (_MAGNUS_A - gamma)
    return pl.when(percent > 0).then(value)


def heat_index(temperature: str, humidity: str) -> pl.Expr:
    """Return the heat index in degrees Celsius.

    The algorithm of the US National Weather Service: the regression of Rothfusz (1990, technical
    attachment SR 90-23) with its two adjustments, and Steadman's simple formula where that gives
    less than 80 °F. https://www.wpc.ncep.noaa.gov/html/heatindex_equation.shtml

    Args:
        temperature: Column of the air temperature in degrees Celsius.
        humidity: Column of the relative humidity in percent.
    """
    percent = pl.col(humidity)
    t = pl.col(temperature) * 1.8 + 32
    simple = (0.5 * (t + 61 + (t - 68) * 1.2 + percent * 0.094) + t) / 2
    full = (
        -42.379
        + 2.04901523 * t
        + 10.14333127 * percent
        - 0.22475541 * t * percent
        - 0.00683783 * t**2
        - 0.05481717 * percent**2
        + 0.00122874 * t**2 * percent
        + 0.00085282 * t * percent**2
        - 0.00000199 * t**2 * percent**2
    )
    dry = ((_DRY_BELOW_PERCENT - percent) / 4) * ((17 - (t - 95).abs()) / 17).clip(0).sqrt()
    humid = ((percent - _HUMID_ABOVE_PERCENT) / 10) * ((87 - t) / 5)
    adjusted = (
        pl.when((percent < _DRY_BELOW_PERCENT) & t.is_between(80, 112))
        .then(full - dry)
        .when((percent > _HUMID_ABOVE_PERCENT) & t.is_between(80, 87))
        .then(full + humid)
        .otherwise(full)
    )
    fahrenheit = pl.when(simple < _HEAT_INDEX_FROM_F).then(simple).otherwise(adjusted)
    return (fahrenheit - 32) / 1.8


def value_where(value: str, field: str, equals: str) -> pl.Expr:
    """Return column `value` in the rows where column `field` equals a constant, else null."""
    return pl.when(pl.col(field) == equals).then(pl.col(value))


def registered(column: str) -> pl.Expr:
    """Return what the registry of devices says of the event's device at the event's time.

    Null where the registry does not know the device.

    Args:
        column: One of `registered.COLUMNS`.

    Raises:
        TypeError: The registry has no such column.
    """
    if column not in COLUMNS:
        raise TypeError(f"the registry has {', '.join(COLUMNS)} and no {column!r}")
    return pl.col(registry_column(column))


FUNCTIONS: dict[str, Callable[..., pl.Expr]] = {
    "dew_point": dew_point,
    "geohash": geohash,
    "heat_index": heat_index,
    "local_time": local_time,
    "registered": registered,
    "value_where": value_where,
}


def derived_columns(contract: Contract) -> list[pl.Expr]:
    """Return an expression for every derived field of `contract`, in the contract's order.

    Apply one after the other: a field may be derived from those before it.

    Raises:
        ContractError: The contract names an unknown function or wrong arguments.
    """
    expressions = []
    for column in contract.columns:
        if column.derivation is None:
            continue
        function = FUNCTIONS.get(column.derivation.function)
        if function is None:
            known = ", ".join(sorted(FUNCTIONS))
            raise ContractError(
                f"{contract.source}.{column.name}: unknown function "
                f"{column.derivation.function!r}; known are {known}"
            )
        arguments: dict[str, Any] = column.derivation.arguments
        try:
            expressions.append(function(**arguments).alias(column.name))
        except TypeError as error:
            raise ContractError(f"{contract.source}.{column.name}: {error}") from error
    return expressions
