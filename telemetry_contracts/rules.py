"""The rules that follow from a contract, as Polars expressions.

A rule is true where a row breaks it. Rules judge rows that could be read; the edge's reader has
already refused the others. The same rules split silver from quarantine and check CSV files.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from telemetry_contracts.contract import (
    DEVICE_ID,
    EVENT_TIME,
    Contract,
    DeclaredRule,
    Field,
    LogicalType,
    Severity,
)
from telemetry_contracts.frames import DTYPES
from telemetry_contracts.quality import Kind

RECEIVED_AT = "received_at"
COMPLETENESS = "completeness"
VALIDITY = "validity"
TIMELINESS = "timeliness"
CONSISTENCY = "consistency"
INTEGRITY = "integrity"

REGISTERED = "registry.known"
"""Boolean column of rows that were joined with the registry; null when there is no registry."""

_ALWAYS = pl.lit(value=True)
_COMPARED: dict[str, Callable[[pl.Expr, pl.Expr], pl.Expr]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True)
class Rule:
    """One promise that a row can break.

    Attributes:
        rule: Stable identifier, such as `range.temperature_celsius`.
        dimension: Quality dimension that a failure counts against (ISO/IEC 25012 names).
        field: Column that the rule is about; None for rules over several columns.
        message: What was expected, without any value of the row.
        broken: Boolean expression over silver columns; never null.
        checked: Boolean expression: rows that the rule can be applied to.
        severity: Whether the rows go to quarantine or are only counted.
        suspected: One truth value over all rows, far cheaper than `broken`: false only when no row
            breaks the rule; None when there is no such thing.
    """

    rule: str
    dimension: str
    field: str | None
    message: str
    broken: pl.Expr
    checked: pl.Expr
    severity: Severity = Severity.ERROR
    suspected: pl.Expr | None = None


def contract_rules(contract: Contract) -> tuple[Rule, ...]:
    """Return every rule that an event can be judged by alone, in a stable order."""
    rules: list[Rule] = []
    for column in contract.columns:
        if column.sent:
            rules.extend(_field_rules(column))
    if contract.at_least_one:
        names = ", ".join(contract.at_least_one)
        rules.append(
            Rule(
                "at_least_one",
                COMPLETENESS,
                None,
                f"expected a value in at least one of {names}",
                pl.all_horizontal(pl.col(name).is_null() for name in contract.at_least_one),
                _ALWAYS,
            )
        )
    rules.extend(_DECLARED[rule.kind](rule) for rule in contract.rules if rule.kind in _DECLARED)
    rules.extend(_timeliness(contract))
    return tuple(rules)


def registry_rules(contract: Contract) -> tuple[Rule, ...]:
    """Return the rules that need the column `REGISTERED`. Without a registry none is checked."""
    return tuple(_registered(rule) for rule in contract.rules if rule.kind == Kind.REGISTERED)


def pattern_problems(contract: Contract) -> list[str]:
    """Return a sentence for each pattern that Polars' regular expressions do not know."""
    problems = []
    for column in contract.sent_columns:
        rows = pl.LazyFrame(schema={column.name: DTYPES[column.logical_type]})
        try:
            rows.select(rule.broken for rule in _field_rules(column)).collect()
        except pl.exceptions.PolarsError as error:
            problems.append(f"{contract.source}.{column.name}: {str(error).splitlines()[0]}")
    return problems


def _field_rules(column: Field) -> Iterator[Rule]:
    value = pl.col(column.name)
    present = value.is_not_null()
    if column.required and column.name not in (DEVICE_ID, EVENT_TIME):
        yield Rule(
            f"required.{column.name}",
            COMPLETENESS,
            column.name,
            "expected a value, found none",
            value.is_null(),
            _ALWAYS,
            suspected=value.null_count() > 0,
        )
    if column.minimum is not None or column.maximum is not None:
        yield Rule(
            f"range.{column.name}",
            VALIDITY,
            column.name,
            f"expected {_bounds(column)}",
            _outside(column, value, value).fill_null(value=False),
            present,
            suspected=_outside(column, value.min(), value.max()),
        )
    if column.logical_type is LogicalType.STRING:
        yield from _format_rule(column)
    if column.enum:
        yield Rule(
            f"enum.{column.name}",
            VALIDITY,
            column.name,
            f"expected one of {', '.join(column.enum)}",
            (~value.is_in(list(column.enum))).fill_null(value=False),
            present,
        )


def _format_rule(column: Field) -> Iterator[Rule]:
    value = pl.col(column.name)
    wrong, wanted = pl.lit(value=False), []
    if column.pattern is not None:
        wrong |= ~value.str.contains(column.pattern)
        wanted.append(f"text like {column.pattern}")
    if column.min_length is not None:
        wrong |= value.str.len_chars() < column.min_length
        wanted.append(f"at least {column.min_length} characters")
    if column.max_length is not None:
        wrong |= value.str.len_chars() > column.max_length
        wanted.append(f"at most {column.max_length} characters")
    if wanted:
        yield Rule(
            f"format.{column.name}",
            VALIDITY,
            column.name,
            f"expected {', '.join(wanted)}",
            wrong.fill_null(value=False),
            value.is_not_null(),
        )


def _compare(rule: DeclaredRule) -> Rule:
    sign, other = rule.arguments["is"], rule.arguments["to"]
    left = pl.col(rule.fields[0])
    right = pl.col(other) if isinstance(other, str) else pl.lit(other)
    holds = _COMPARED[sign](left, right)
    return _declared(
        rule,
        f"expected {rule.field} {sign} {other}",
        (~holds).fill_null(value=False),
        left.is_not_null() & right.is_not_null(),
    )


def _needs(rule: DeclaredRule) -> Rule:
    present, other = pl.col(rule.fields[0]).is_not_null(), pl.col(rule.fields[1])
    message = f"expected a value in {rule.fields[1]} with {rule.field}"
    return _declared(rule, message, present & other.is_null(), present)


def _together(rule: DeclaredRule) -> Rule:
    there = [pl.col(name).is_not_null() for name in rule.fields]
    some, every = pl.any_horizontal(there), pl.all_horizontal(there)
    message = f"expected values in all of {', '.join(rule.fields)} or in none"
    return _declared(rule, message, some & ~every, some)


def _registered(rule: DeclaredRule) -> Rule:
    known, checked = pl.col(REGISTERED), pl.col(REGISTERED).is_not_null()
    if prefix := rule.arguments.get("exceptPrefix"):
        checked &= ~pl.col(DEVICE_ID).str.starts_with(prefix)
    return Rule(
        rule.name,
        INTEGRITY,
        rule.field,
        "expected a device that the registry knows",
        checked & ~known.fill_null(value=True),
        checked,
        rule.severity,
    )


def _declared(rule: DeclaredRule, message: str, broken: pl.Expr, checked: pl.Expr) -> Rule:
    return Rule(rule.name, CONSISTENCY, rule.field, message, broken, checked, rule.severity)


_DECLARED: dict[str, Callable[[DeclaredRule], Rule]] = {
    Kind.COMPARE: _compare,
    Kind.NEEDS: _needs,
    Kind.TOGETHER: _together,
}


def _timeliness(contract: Contract) -> Iterator[Rule]:
    event_time, received_at = pl.col(EVENT_TIME), pl.col(RECEIVED_AT)
    yield Rule(
        "timeliness.future",
        TIMELINESS,
        EVENT_TIME,
        f"expected a time at most {_spell(contract.max_future)} ahead of its arrival",
        event_time > received_at + contract.max_future,
        _ALWAYS,
        suspected=event_time.max() > received_at.min() + contract.max_future,
    )
    if contract.max_lateness is not None:
        yield Rule(
            "timeliness.late",
            TIMELINESS,
            EVENT_TIME,
            f"expected a time at most {_spell(contract.max_lateness)} before its arrival",
            event_time < received_at - contract.max_lateness,
            _ALWAYS,
            suspected=event_time.min() < received_at.max() - contract.max_lateness,
        )


def _outside(column: Field, least: pl.Expr, greatest: pl.Expr) -> pl.Expr:
    outside = pl.lit(value=False)
    if column.minimum is not None:
        outside |= least < column.minimum
    if column.maximum is not None:
        outside |= greatest > column.maximum
    return outside


def _bounds(column: Field) -> str:
    unit = f" {column.unit}" if column.unit else ""
    if column.minimum is None:
        return f"at most {column.maximum}{unit}"
    if column.maximum is None:
        return f"at least {column.minimum}{unit}"
    return f"{column.minimum} to {column.maximum}{unit}"


def _spell(duration: timedelta) -> str:
    minutes = int(duration.total_seconds() // 60)
    for size, name in ((1440, "days"), (60, "hours")):
        if minutes >= size and minutes % size == 0:
            return f"{minutes // size} {name}"
    return f"{minutes} minutes"
