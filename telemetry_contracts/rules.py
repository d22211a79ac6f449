"""The rules that follow from a contract, as Polars expressions.

A rule is true where a row breaks it. Rules judge rows that could be read; the edge's reader has
already refused the others. The same rules split silver from quarantine and check CSV files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from telemetry_contracts.contract import DEVICE_ID, EVENT_TIME, Contract, Field

RECEIVED_AT = "received_at"
COMPLETENESS = "completeness"
VALIDITY = "validity"
TIMELINESS = "timeliness"


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
    """

    rule: str
    dimension: str
    field: str | None
    message: str
    broken: pl.Expr
    checked: pl.Expr


def contract_rules(contract: Contract) -> tuple[Rule, ...]:
    """Return every row rule of `contract`, in a stable order."""
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
                pl.lit(value=True),
            )
        )
    rules.extend(_timeliness(contract))
    return tuple(rules)


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
            pl.lit(value=True),
        )
    if column.minimum is not None or column.maximum is not None:
        yield Rule(
            f"range.{column.name}",
            VALIDITY,
            column.name,
            f"expected {_bounds(column)}",
            _outside(column).fill_null(value=False),
            present,
        )
    if column.enum:
        yield Rule(
            f"enum.{column.name}",
            VALIDITY,
            column.name,
            f"expected one of {', '.join(column.enum)}",
            (~value.is_in(list(column.enum))).fill_null(value=False),
            present,
        )


def _timeliness(contract: Contract) -> Iterator[Rule]:
    event_time, received_at = pl.col(EVENT_TIME), pl.col(RECEIVED_AT)
    yield Rule(
        "timeliness.future",
        TIMELINESS,
        EVENT_TIME,
        f"expected a time at most {_spell(contract.max_future)} ahead of its arrival",
        event_time > received_at + contract.max_future,
        pl.lit(value=True),
    )
    if contract.max_lateness is not None:
        yield Rule(
            "timeliness.late",
            TIMELINESS,
            EVENT_TIME,
            f"expected a time at most {_spell(contract.max_lateness)} before its arrival",
            event_time < received_at - contract.max_lateness,
            pl.lit(value=True),
        )


def _outside(column: Field) -> pl.Expr:
    value = pl.col(column.name)
    outside = pl.lit(value=False)
    if column.minimum is not None:
        outside |= value < column.minimum
    if column.maximum is not None:
        outside |= value > column.maximum
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
