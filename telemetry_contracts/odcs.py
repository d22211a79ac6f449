"""Reads one Open Data Contract Standard (ODCS v3) file into a `Contract`.

What ODCS has no word for (paths, units, shapes) stands in `customProperties`; CONTRIBUTING.md
lists them. https://bitol-io.github.io/open-data-contract-standard/
"""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import yaml
from open_data_contract_standard.model import (
    CustomProperty,
    OpenDataContractStandard,
    SchemaObject,
    SchemaProperty,
)
from pydantic import ValidationError

from telemetry_contracts.contract import (
    CANONICAL_SHAPE,
    DEVICE_ID,
    EVENT_ID,
    EVENT_TIME,
    IDENTITY_FIELDS,
    Contract,
    ContractError,
    DeclaredRule,
    Derivation,
    Field,
    FieldPath,
    LogicalType,
    Shape,
)
from telemetry_contracts.names import field_problem, source_problem
from telemetry_contracts.quality import (
    declared_rules,
    duration,
    require_sound_rules,
    text_pattern,
)
from telemetry_contracts.quality_dimensions import read_thresholds
from telemetry_contracts.units import conversion

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The parser in C takes a tenth of the time; PyYAML can be built without it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_IDENTITY_TYPES = {
    EVENT_ID: LogicalType.STRING,
    DEVICE_ID: LogicalType.STRING,
    EVENT_TIME: LogicalType.TIMESTAMP,
}


def load_contract(path: Path) -> Contract:
    """Read and check one contract file.

    Raises:
        ContractError: The file is not ODCS, or asks for something unknown; the message names the
            file and the field.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ContractError(f"{path.name}: {error}") from error
    return read_contract(text, path.name)


def read_contract(text: str, name: str) -> Contract:
    """Read and check a contract.

    Args:
        text: The YAML.
        name: The file it came from.

    Raises:
        ContractError: As `load_contract`.
    """
    try:
        return _parse(text)
    except KeyError as error:
        raise ContractError(f"{name}: the key {error} is missing") from error
    except (ValidationError, yaml.YAMLError, ValueError, TypeError, AttributeError) as error:
        raise ContractError(f"{name}: {error}") from error


@lru_cache(maxsize=64)
def _parse(text: str) -> Contract:
    """Read one file's text; a process that loads the same contracts again pays once."""
    return _contract(OpenDataContractStandard.model_validate(yaml.load(text, _LOADER)))  # noqa: S506  (a safe one)


def _contract(document: OpenDataContractStandard) -> Contract:
    if not document.schema_ or len(document.schema_) != 1:
        raise ContractError("a contract describes exactly one schema object")
    table = document.schema_[0]
    source = table.name or ""
    if problem := source_problem(source):
        raise ContractError(problem)
    properties = _custom(table.customProperties)
    shapes = tuple(_shape(entry) for entry in properties.get("shapes", []))
    fields = tuple(_named_field(prop, shapes) for prop in table.properties or [])
    _require_identity(fields)
    for shape in shapes:
        _require_distinct_paths(shape, fields)
    sla = {entry.property: entry for entry in document.slaProperties or []}
    durations = {name: duration(f"{sla[name].value}{sla[name].unit or ''}") for name in sla if name}
    contract = Contract(
        source=source,
        version=document.version or "",
        description=(table.description or "").strip(),
        fields=fields,
        shapes=(*shapes, Shape(CANONICAL_SHAPE, ((DEVICE_ID,), (EVENT_TIME,)), "Column names.")),
        at_least_one=tuple(properties.get("atLeastOne", [])),
        rules=tuple(_rules(table)),
        dedup_window=duration(properties.get("dedupWindow", "7d")) or timedelta(days=7),
        max_lateness=duration(properties.get("maxLateness")),
        max_future=duration(properties.get("maxFuture", "10m")) or timedelta(minutes=10),
        retention=durations.get("retention"),
        freshness=durations.get("latency"),
        quality_thresholds=tuple(read_thresholds(properties.get("qualityThresholds", {})).items()),
    )
    for name in contract.at_least_one:
        contract.field(name)
    require_sound_rules(contract)
    return contract


def _rules(table: SchemaObject) -> Iterator[DeclaredRule]:
    yield from declared_rules(table.quality, None)
    for prop in table.properties or []:
        yield from declared_rules(prop.quality, prop.name)


def _require_identity(fields: tuple[Field, ...]) -> None:
    names = [field.name for field in fields]
    missing = [name for name in IDENTITY_FIELDS if name not in names]
    if missing:
        raise ContractError(f"identity fields are missing: {', '.join(missing)}")
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise ContractError(f"fields are described twice: {', '.join(sorted(repeated))}")
    by_name = {field.name: field for field in fields}
    for name in (DEVICE_ID, EVENT_TIME):
        if not by_name[name].required:
            raise ContractError(f"field {name!r} identifies events and must be required")
    for name, wanted in _IDENTITY_TYPES.items():
        if by_name[name].logical_type is not wanted:
            raise ContractError(f"field {name!r} must have the logical type {wanted.value}")


def _require_distinct_paths(shape: Shape, fields: tuple[Field, ...]) -> None:
    """Refuse a shape in which one place is both a value and an object of further values."""
    owners = {
        place: field.name
        for field in fields
        for path in field.paths
        if path.shape == shape.name
        for place in (path.path, path.unit_path, path.when[0] if path.when else None)
        if place
    }
    for place, owner in owners.items():
        for length in range(1, len(place)):
            if place[:length] in owners:
                raise ContractError(
                    f"field {owner!r}: path {'.'.join(place)} of shape {shape.name!r} goes "
                    f"through the value of {owners[place[:length]]!r}"
                )


def _named_field(prop: SchemaProperty, shapes: tuple[Shape, ...]) -> Field:
    """Read one field; what is wrong in it is told with its name."""
    try:
        return _field(prop, shapes)
    except KeyError as error:
        raise ContractError(f"field {prop.name!r}: the key {error} is missing") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise ContractError(f"field {prop.name!r}: {error}") from error


def _shape(entry: dict[str, Any]) -> Shape:
    return Shape(
        name=entry["name"],
        requires=tuple(_path(path) for path in entry["requires"]),
        description=str(entry.get("description", "")).strip(),
    )


def _field(prop: SchemaProperty, shapes: tuple[Shape, ...]) -> Field:
    name = prop.name or ""
    if problem := field_problem(name):
        raise ContractError(problem)
    options = prop.logicalTypeOptions or {}
    custom = _custom(prop.customProperties)
    known_shapes = {shape.name for shape in shapes} | {CANONICAL_SHAPE}
    paths = [_field_path(entry) for entry in custom.get("paths", [])]
    unknown = {path.shape for path in paths} - known_shapes
    if unknown:
        raise ContractError(f"unknown shapes: {', '.join(sorted(unknown))}")
    synonyms = [entry.synonym for entry in prop.synonyms or [] if entry.synonym]
    paths += [FieldPath(CANONICAL_SHAPE, (alias,)) for alias in (name, *synonyms)]
    unit = custom.get("unit")
    for path in paths:
        conversion(path.unit, unit)
    derived = custom.get("derived")
    restricted = prop.classification == "restricted"
    if restricted and options.keys() & {"pattern", "minLength", "maxLength"}:
        raise ContractError("a token has no format; restricted fields take no pattern or length")
    zoned = bool(options.get("timezone", True))
    if not zoned and not derived:
        raise ContractError("devices send moments; only a derived timestamp is without a zone")
    return Field(
        name=name,
        logical_type=_logical_type(prop.logicalType),
        description=(prop.description or "").strip(),
        required=bool(prop.required),
        minimum=options.get("minimum"),
        maximum=options.get("maximum"),
        enum=tuple(str(entry.value) for entry in prop.enum or []),
        unit=unit,
        pattern=text_pattern(options.get("pattern")),
        min_length=options.get("minLength"),
        max_length=options.get("maxLength"),
        zoned=zoned,
        restricted=restricted,
        metric=bool(custom.get("metric", False)),
        device_attribute=bool(custom.get("deviceAttribute", False)),
        paths=() if derived else tuple(paths),
        derivation=_derivation(derived) if derived else None,
        examples=tuple(prop.examples or ()),
    )


def _logical_type(name: str | None) -> LogicalType:
    known = [kind.value for kind in LogicalType]
    if name is not None and name not in known:
        raise ContractError(f"logical type {name!r} is none of {', '.join(known)}")
    return LogicalType(name or LogicalType.STRING)


def _field_path(entry: dict[str, Any]) -> FieldPath:
    when = entry.get("when")
    if "unitPath" in entry and not when:
        raise ContractError("unitPath is read together with `when` only")
    return FieldPath(
        shape=entry["shape"],
        path=_path(entry["path"]),
        unit=entry.get("unit"),
        unit_path=_path(entry["unitPath"]) if "unitPath" in entry else None,
        when=(_path(when["path"]), str(when["equals"])) if when else None,
        time_format=_time_format(entry),
        prefix=entry.get("prefix", ""),
    )


def _time_format(entry: dict[str, Any]) -> str:
    time_format = entry.get("format", "iso8601")
    named = time_format in {"iso8601", "epoch_seconds", "epoch_millis"}
    if not named and "%" not in time_format:
        raise ContractError(f"unknown time format {time_format!r}")
    return time_format


def _derivation(entry: dict[str, Any]) -> Derivation:
    arguments = {key: value for key, value in entry.items() if key != "function"}
    return Derivation(function=entry["function"], arguments=arguments)


def _custom(properties: list[CustomProperty] | None) -> dict[str, Any]:
    return {entry.property: entry.value for entry in properties or [] if entry.property}


def _path(dotted: str) -> tuple[str, ...]:
    return tuple(dotted.split("."))
