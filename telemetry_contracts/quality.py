"""The rules that a contract declares in the `quality` lists of ODCS, checked and as plain values.

A rule is named and its arguments are fields, numbers and durations: nothing in a contract is ever
evaluated as code. What a rule means for rows is said in `rules` and in the lakehouse.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from telemetry_contracts.contract import (
    Contract,
    ContractError,
    DeclaredRule,
    Field,
    LogicalType,
    Severity,
)

if TYPE_CHECKING:
    from open_data_contract_standard.model import DataQuality

ENGINE = "telemetry"
"""Entries of ODCS `quality` for another engine are not ours to judge."""

COMPARISONS = ("<", "<=", ">", ">=", "=", "!=")
_DURATION_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_NUMBERS = (LogicalType.NUMBER, LogicalType.INTEGER)
_SEVERITIES = {severity.value: severity for severity in Severity}
_UNSUPPORTED = re.compile(r"\\[1-9]|\(\?(?:[=!>(]|<[=!]|P=|P>)|[*+?}]\+")


class Kind(StrEnum):
    """What a declared rule can ask for; CONTRIBUTING.md explains each."""

    COMPARE = "compare"
    NEEDS = "needs"
    TOGETHER = "together"
    REGISTERED = "registered"
    JUMP = "jump"
    STUCK = "stuck"


_WARNINGS_ONLY = (Kind.JUMP, Kind.STUCK)


@dataclass(frozen=True)
class _Form:
    """The arguments of a kind, and its severity when none is given."""

    required: frozenset[str]
    optional: frozenset[str] = frozenset()
    severity: Severity = Severity.ERROR


_FORMS = {
    Kind.COMPARE: _Form(frozenset({"is", "to"})),
    Kind.NEEDS: _Form(frozenset({"with"})),
    Kind.TOGETHER: _Form(frozenset({"fields"})),
    Kind.REGISTERED: _Form(frozenset(), frozenset({"exceptPrefix"}), Severity.WARNING),
    Kind.JUMP: _Form(frozenset({"limit", "per"}), severity=Severity.WARNING),
    Kind.STUCK: _Form(frozenset({"for"}), frozenset({"readings"}), Severity.WARNING),
}


def duration(text: str | None) -> timedelta | None:
    """Read a duration such as `7d`, `12h`, `10m` or `30s`.

    Raises:
        ContractError: It is written otherwise.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)([dhms])", str(text))
    if not match:
        raise ContractError(f"{text!r} is not a duration such as 7d, 12h, 10m or 30s")
    return timedelta(**{_DURATION_UNITS[match[2]]: int(match[1])})


def text_pattern(pattern: Any) -> str | None:  # noqa: ANN401  (as YAML has it)
    """Return a regular expression that the engine of the lake, which is linear in time, can run.

    Raises:
        ContractError: It is none, or asks to look around or back.
    """
    if pattern is None:
        return None
    try:
        re.compile(pattern)
    except (re.error, TypeError) as error:
        raise ContractError(f"pattern {pattern!r} is no regular expression: {error}") from error
    if _UNSUPPORTED.search(pattern):
        raise ContractError(f"pattern {pattern!r} looks around or back, which is not supported")
    return pattern


def declared_rules(entries: list[DataQuality] | None, field: str | None) -> Iterator[DeclaredRule]:
    """Read the `quality` list of one field, or of the schema object when `field` is None.

    Raises:
        ContractError: A rule is unknown, or its arguments are wrong.
    """
    for entry in entries or []:
        if entry.type != "custom" or entry.engine != ENGINE:
            continue
        if not isinstance(entry.implementation, dict):
            raise ContractError("a quality rule has an implementation with the key 'rule'")
        yield _declared(entry.implementation, entry.severity, field)


def _declared(
    implementation: dict[str, Any], severity: str | None, field: str | None
) -> DeclaredRule:
    arguments = dict(implementation)
    name = arguments.pop("rule", None)
    kinds = [kind.value for kind in Kind]
    if name not in kinds:
        raise ContractError(f"quality rule {name!r} is none of {', '.join(kinds)}")
    kind = Kind(name)
    form = _FORMS[kind]
    if missing := form.required - set(arguments):
        raise ContractError(f"quality rule {name!r} lacks {', '.join(sorted(missing))}")
    if unknown := set(arguments) - form.required - form.optional:
        raise ContractError(f"quality rule {name!r} has no {', '.join(sorted(unknown))}")
    if (kind is Kind.TOGETHER) == (field is not None):
        place = "schema object" if kind is Kind.TOGETHER else "field that it is about"
        raise ContractError(f"quality rule {name!r} belongs to the {place}")
    if severity is not None and severity not in _SEVERITIES:
        raise ContractError(f"severity {severity!r} is none of {', '.join(_SEVERITIES)}")
    weight = _SEVERITIES[severity] if severity else form.severity
    if kind in _WARNINGS_ONLY and weight is not Severity.WARNING:
        raise ContractError(f"quality rule {name!r} can only be a warning")
    return DeclaredRule(kind.value, field, weight, _READERS[kind](arguments))


def _compare(arguments: dict[str, Any]) -> dict[str, Any]:
    if arguments["is"] not in COMPARISONS:
        raise ContractError(f"{arguments['is']!r} is none of {' '.join(COMPARISONS)}")
    if isinstance(arguments["to"], bool) or not isinstance(arguments["to"], str | int | float):
        raise ContractError("`to` is the name of a field or a number")
    return arguments


def _together(arguments: dict[str, Any]) -> dict[str, Any]:
    names = arguments["fields"]
    if not isinstance(names, list) or len(set(map(str, names))) < 2:  # noqa: PLR2004 - a pair
        raise ContractError("`fields` lists two fields or more")
    return {"fields": tuple(names)}


def _jump(arguments: dict[str, Any]) -> dict[str, Any]:
    return {"limit": _positive(arguments["limit"], "limit"), "per": _span(arguments["per"], "per")}


def _stuck(arguments: dict[str, Any]) -> dict[str, Any]:
    readings = int(_positive(arguments.get("readings", 3), "readings"))
    return {"for": _span(arguments["for"], "for"), "readings": readings}


def _positive(value: Any, name: str) -> float:  # noqa: ANN401  (as YAML has it)
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise ContractError(f"`{name}` is a number above 0")
    return float(value)


def _span(value: Any, name: str) -> timedelta:  # noqa: ANN401  (as YAML has it)
    span = duration(value)
    if not span:
        raise ContractError(f"`{name}` is a duration above 0")
    return span


_READERS: dict[Kind, Callable[[dict[str, Any]], dict[str, Any]]] = {
    Kind.COMPARE: _compare,
    Kind.NEEDS: dict,
    Kind.TOGETHER: _together,
    Kind.REGISTERED: dict,
    Kind.JUMP: _jump,
    Kind.STUCK: _stuck,
}


def require_sound_rules(contract: Contract) -> None:
    """Hold the declared rules against the fields that they are about.

    Raises:
        ContractError: A rule names a field that is unknown, derived or of another type.
    """
    names = [rule.name for rule in contract.rules]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise ContractError(f"quality rules are declared twice: {', '.join(sorted(repeated))}")
    for rule in contract.rules:
        fields = [contract.field(name) for name in rule.fields]
        if derived := [field.name for field in fields if not field.sent]:
            raise ContractError(f"{rule.name}: {derived[0]!r} is derived, after rules are judged")
        if problem := _type_problem(rule, fields):
            raise ContractError(f"{rule.name}: {problem}")


def _type_problem(rule: DeclaredRule, fields: list[Field]) -> str | None:
    if rule.kind == Kind.REGISTERED and rule.field != "device_id":
        return "the registry knows devices by `device_id`"
    if rule.kind in (Kind.JUMP, Kind.STUCK) and fields[0].logical_type not in _NUMBERS:
        return "only numbers jump or stick"
    if rule.kind != Kind.COMPARE:
        return None
    if any(field.restricted for field in fields):
        return "a token is not comparable"
    kinds = {_comparable(field.logical_type) for field in fields}
    if not isinstance(rule.arguments["to"], str):
        kinds.add(LogicalType.NUMBER)
    return None if len(kinds) == 1 else "the two sides are of different types"


def _comparable(kind: LogicalType) -> LogicalType:
    return LogicalType.NUMBER if kind in _NUMBERS else kind
