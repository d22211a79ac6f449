"""Whether the contracts in force still give their readers what the released ones gave.

The released contracts are kept in one small file, `released.json`, written by `release`.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import yaml

from telemetry_contracts.contract import Contract, ContractError, Field
from telemetry_contracts.registry import PATTERN, SOURCES, Registry

if TYPE_CHECKING:
    from collections.abc import Iterator

RELEASED = Path(__file__).with_name("released.json")
WIDENED = frozenset({("integer", "number")})
"""Changes of type that keep every stored value: old type and new."""
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


class ReleasedField(TypedDict, total=False):
    """What readers rely on in one field; what is false or none is left out."""

    type: str
    unit: str
    required: bool
    restricted: bool
    metric: bool
    device_attribute: bool
    enum: list[str]


class ReleasedContract(TypedDict):
    """One source as it was released."""

    version: str
    fields: dict[str, ReleasedField]


def check(registry: Registry, released: Path = RELEASED) -> list[str]:
    """Compare `registry` with the released contracts, and its files with the ODCS schema.

    Args:
        registry: Contracts in force.
        released: File written by `release`.

    Returns:
        One sentence for each problem: source, field, and what to do. None means all is well.
    """
    # Imported here: Polars starts threads, and nothing else here needs it.
    from telemetry_contracts.rules import pattern_problems

    problems = schema_problems(registry.directory)
    for contract in registry.values():
        problems += pattern_problems(contract)
    if not released.exists():
        return [*problems, f"{released.name} is missing; run `telemetry contracts release`"]
    before = read_released(released)
    if registry.directory == SOURCES:
        problems += [
            f"{source}: the contract was released and is gone; put it back"
            for source in before
            if source not in registry
        ]
    for source, contract in registry.items():
        if source in before:
            problems += change_problems(contract, before[source])
    return problems


def release(registry: Registry, released: Path = RELEASED) -> None:
    """Write the contracts in force as the released ones.

    Raises:
        ContractError: They break their readers without a new major version.
    """
    problems = check(registry, released) if released.exists() else []
    if problems:
        raise ContractError("\n".join(problems))
    sources = []
    for source, contract in registry.items():
        fields = ",\n".join(
            f"   {json.dumps(field.name)}: {json.dumps(_describe(field))}"
            for field in sorted(contract.fields, key=lambda field: field.name)
        )
        head = f' {json.dumps(source)}: {{\n  "version": {json.dumps(contract.version)},\n'
        sources.append(f'{head}  "fields": {{\n{fields}\n  }}\n }}')
    released.write_text("{\n" + ",\n".join(sources) + "\n}\n")


def described(contract: Contract) -> ReleasedContract:
    """Return what readers rely on in a contract."""
    return ReleasedContract(
        version=contract.version,
        fields={field.name: _describe(field) for field in contract.fields},
    )


def read_released(released: Path) -> dict[str, ReleasedContract]:
    """Return the released contracts of a file written by `release`, by source.

    Raises:
        ContractError: It cannot be read.
    """
    try:
        return json.loads(released.read_text())
    except (OSError, ValueError) as error:
        raise ContractError(f"{released.name} is not JSON: {error}") from error


def change_problems(contract: Contract, before: ReleasedContract) -> list[str]:
    """Compare one contract with what it was.

    Returns:
        One sentence for each problem: source, field, and what to do. None means all is well.
    """
    return list(_contract_problems(contract, before))


def schema_problems(directory: Path) -> list[str]:
    """Hold every contract file in `directory` against the JSON schema of ODCS.

    The schema is the one that the open-data-contract-standard package ships.
    """
    return [
        f"{file.name}: {problem}; see the ODCS schema"
        for file in sorted(directory.glob(PATTERN))
        for problem in _file_problems(file.read_text())
    ]


@lru_cache(maxsize=64)
def _file_problems(text: str) -> tuple[str, ...]:
    """Validate one file; a file that was seen before costs nothing, since this takes 0.3 s."""
    # Imported here: only this check needs it.
    from jsonschema import Draft201909Validator

    schema = resources.files("open_data_contract_standard").joinpath("schema.json").read_text()
    validator = Draft201909Validator(json.loads(schema))
    errors = validator.iter_errors(yaml.safe_load(text))
    return tuple(f"{error.json_path}: {error.message}" for error in errors)


def _describe(field: Field) -> ReleasedField:
    described: dict[str, Any] = {
        "type": field.logical_type.value,
        "unit": field.unit,
        "required": field.required,
        "restricted": field.restricted,
        "metric": field.metric,
        "device_attribute": field.device_attribute,
        "enum": sorted(field.enum),
    }
    return ReleasedField(**{key: value for key, value in described.items() if value})


def _contract_problems(contract: Contract, before: ReleasedContract) -> Iterator[str]:
    version, released = _numbers(contract.version), _numbers(before["version"])
    if version is None or released is None:
        yield f"{contract.source}: version {contract.version!r} is not MAJOR.MINOR.PATCH"
        return
    if version < released:
        yield f"{contract.source}: version {contract.version} is below the released one; raise it"
        return
    now = described(contract)["fields"]
    misfits = list(_misfits(before["fields"], now))
    yield from (
        f"{contract.source}.{name}: {what}, which stored values do not fit; give the field another "
        "name"
        for name, what in misfits
    )
    breaks = list(_breaks(before["fields"], contract))
    if version[0] == released[0]:
        way_out = f"undo that, or raise the version to {released[0] + 1}.0.0"
        yield from (f"{contract.source}.{name}: {what}; {way_out}" for name, what in breaks)
    if version == released and now != before["fields"] and not breaks and not misfits:
        minor = f"{released[0]}.{released[1] + 1}.0"
        yield f"{contract.source}: fields changed; raise the version to {minor}"


def _misfits(
    before: dict[str, ReleasedField], now: dict[str, ReleasedField]
) -> Iterator[tuple[str, str]]:
    """Return what no version may change: rows that are stored hold values of that type and unit."""
    for name, old in before.items():
        new = now.get(name)
        if new is None:
            continue
        if old["type"] != new["type"] and (old["type"], new["type"]) not in WIDENED:
            yield name, f"the type changed from {old['type']} to {new['type']}"
        if old.get("unit") != new.get("unit"):
            yield name, f"the unit changed from {old.get('unit')} to {new.get('unit')}"


def _breaks(before: dict[str, ReleasedField], contract: Contract) -> Iterator[tuple[str, str]]:
    now = described(contract)["fields"]
    renamed = {
        former: field.name
        for field in contract.fields
        for former in field.former_names
        if former in before and former not in now
    }
    for name, old in before.items():
        if name in now:
            yield from ((name, what) for what in _field_breaks(old, now[name]))
        elif name in renamed:
            yield name, f"the field was renamed to {renamed[name]}, and readers know the old name"
        else:
            yield name, "the field was removed"
    for name, new in now.items():
        if name not in before and new.get("required") and name not in renamed.values():
            yield name, "the field is new and required, which senders do not know"


def _field_breaks(old: ReleasedField, new: ReleasedField) -> Iterator[str]:
    if new.get("required") and not old.get("required"):
        yield "the field became required"
    for flag, lost in (
        ("restricted", "the restriction was lifted, so plain values would be stored"),
        ("metric", "the field is no longer a metric"),
        ("device_attribute", "the field no longer describes the device"),
    ):
        if old.get(flag) and not new.get(flag):
            yield lost
    allowed, wanted = new.get("enum"), old.get("enum")
    if allowed and not wanted:
        yield "the values were limited to an enum"
    elif allowed and wanted and (removed := sorted(set(wanted) - set(allowed))):
        yield f"the enum lost {', '.join(removed)}"


def _numbers(version: str) -> tuple[int, int, int] | None:
    match = _VERSION.fullmatch(version)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None
