"""Linear conversions between the units that devices send and the canonical ones.

Unit names are those of the contracts. Factors: BIPM SI Brochure, 9th edition, tables 4 and 8.
"""

from __future__ import annotations

from typing import NamedTuple

from telemetry_contracts.contract import ContractError


class Conversion(NamedTuple):
    """canonical = value * factor + offset."""

    factor: float
    offset: float


IDENTITY = Conversion(1.0, 0.0)

_ALIASES = {
    "C": "degC",
    "°C": "degC",
    "celsius": "degC",
    "F": "degF",
    "°F": "degF",
    "fahrenheit": "degF",
    "K": "kelvin",
    "mbar": "hPa",
    "%RH": "%",
    "percent": "%",
    "lx": "lux",
}
_CONVERSIONS = {
    ("degF", "degC"): Conversion(5 / 9, -160 / 9),
    ("kelvin", "degC"): Conversion(1.0, -273.15),
    ("Pa", "hPa"): Conversion(0.01, 0.0),
    ("kPa", "hPa"): Conversion(10.0, 0.0),
    ("ratio", "%"): Conversion(100.0, 0.0),
    ("ppb", "ppm"): Conversion(0.001, 0.0),
}


def conversion(unit: str | None, canonical: str | None) -> Conversion:
    """Return how to bring a value in `unit` to `canonical`; no unit means canonical already.

    Raises:
        ContractError: There is no conversion between the two.
    """
    if unit is None:
        return IDENTITY
    name = _ALIASES.get(unit, unit)
    if name == canonical:
        return IDENTITY
    found = _CONVERSIONS.get((name, canonical or ""))
    if found is None:
        raise ContractError(f"no conversion from {unit!r} to {canonical!r}")
    return found


def accepted_units(canonical: str | None) -> dict[str, Conversion]:
    """Return every spelling that converts to `canonical`, with its conversion."""
    if canonical is None:
        return {}
    names = {canonical: IDENTITY}
    names |= {unit: found for (unit, to), found in _CONVERSIONS.items() if to == canonical}
    aliases = {alias: names[name] for alias, name in _ALIASES.items() if name in names}
    return names | aliases
