"""Splits rows by the rules of their contract, in one pass, with every reason of every row."""

from __future__ import annotations

import json
from dataclasses import dataclass

import polars as pl

from telemetry_contracts.contract import Severity
from telemetry_contracts.rules import Rule

OUTCOME_SCHEMA = pl.Schema(
    {
        "dimension": pl.String,
        "rule": pl.String,
        "field": pl.String,
        "severity": pl.String,
        "checked": pl.Int64,
        "failed": pl.Int64,
    }
)


@dataclass(frozen=True)
class Judged:
    """Rows that were judged; each is in exactly one of the first two frames.

    Attributes:
        good: Rows that break no rule of severity `error`, in the order they came.
        bad: The others with two more columns: `rules`, the names of the rules of that severity
            that the row breaks, and `reasons`, a JSON list of rule, dimension, field and message.
        outcomes: Rows that each rule checked and failed, warnings too; `OUTCOME_SCHEMA`.
    """

    good: pl.DataFrame
    bad: pl.DataFrame
    outcomes: pl.DataFrame


def judge(rows: pl.DataFrame, rules: tuple[Rule, ...]) -> Judged:
    """Judge every row by every rule.

    Rules are evaluated over whole columns, each once; a rule that the extremes of its columns
    acquit is not evaluated at all. What rows were refused for is spelt out for those alone: they
    are few.
    """
    suspected = rows.select(
        pl.lit(value=True).alias(rule.rule)
        if rule.suspected is None
        else rule.suspected.fill_null(value=False).alias(rule.rule)
        for rule in rules
    )
    checked = rows.select(_count(rule.checked, rows).alias(rule.rule) for rule in rules)
    evaluated = [rule for rule in rules if suspected[rule.rule][0]]
    broken = rows.select(rule.broken.alias(rule.rule) for rule in evaluated)
    outcomes = pl.concat(
        [
            OUTCOME_SCHEMA.to_frame(),
            *(
                outcome(
                    rule.dimension,
                    rule.rule,
                    rule.field,
                    rule.severity,
                    checked[rule.rule][0],
                    int(broken[rule.rule].sum()) if rule.rule in broken.columns else 0,
                )
                for rule in rules
            ),
        ]
    )
    refusing = [
        rule for rule in evaluated if rule.severity is Severity.ERROR and broken[rule.rule].any()
    ]
    if not refusing:
        return Judged(rows, _with_reasons(rows.clear(), broken.clear(), []), outcomes)
    broken = broken.select(rule.rule for rule in refusing)
    refused = broken.select(pl.any_horizontal(pl.all())).to_series()
    bad = _with_reasons(rows.filter(refused), broken.filter(refused), refusing)
    return Judged(rows.filter(~refused), bad, outcomes)


def _count(checked: pl.Expr, rows: pl.DataFrame) -> pl.Expr:
    # A constant is as long as one row, however many there are.
    return checked.sum() * rows.height if checked.meta.is_literal() else checked.sum()


def outcome(  # noqa: PLR0913, PLR0917 - a row of the table
    dimension: str, rule: str, field: str | None, severity: Severity, checked: int, failed: int
) -> pl.DataFrame:
    """Return one row of `OUTCOME_SCHEMA`."""
    row = (dimension, rule, field or "", severity.value, checked, failed)
    return pl.DataFrame([row], schema=OUTCOME_SCHEMA, orient="row")


def _with_reasons(refused: pl.DataFrame, broken: pl.DataFrame, rules: list[Rule]) -> pl.DataFrame:
    if not rules:
        return refused.with_columns(
            pl.lit(None, pl.List(pl.String)).alias("rules"),
            pl.lit(None, pl.String).alias("reasons"),
        )
    names = [pl.when(rule.rule).then(pl.lit(rule.rule)) for rule in rules]
    reasons = [pl.when(rule.rule).then(pl.lit(_reason(rule))) for rule in rules]
    spelt = broken.select(
        pl.concat_list(names).list.drop_nulls().alias("rules"),
        pl.format("[{}]", pl.concat_str(reasons, separator=",", ignore_nulls=True)).alias(
            "reasons"
        ),
    )
    return refused.hstack(spelt)


def _reason(rule: Rule) -> str:
    return json.dumps(
        {
            "rule": rule.rule,
            "dimension": rule.dimension,
            "field": rule.field,
            "message": rule.message,
        }
    )
