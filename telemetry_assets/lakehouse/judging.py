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

    Each rule is evaluated once, over whole columns. What the rows were refused for is spelt out
    for the refused ones alone: they are few.
    """
    verdicts = rows.lazy().select(
        *(rule.broken.alias(f"broken.{rule.rule}") for rule in rules),
        *(rule.checked.alias(f"checked.{rule.rule}") for rule in rules),
    )
    found = verdicts.collect()
    outcomes = _outcomes(found, rows.height, rules)
    refusing = [rule for rule in rules if rule.severity is Severity.ERROR]
    broken = found.select(f"broken.{rule.rule}" for rule in refusing)
    if not refusing or not any(outcomes["failed"]):
        return Judged(rows, _reasons(rows.clear(), broken.clear(), refusing), outcomes)
    refused = broken.select(pl.any_horizontal(pl.all())).to_series()
    bad = _reasons(rows.filter(refused), broken.filter(refused), refusing)
    return Judged(rows.filter(~refused), bad, outcomes)


def outcome(  # noqa: PLR0913, PLR0917 - a row of the table
    dimension: str, rule: str, field: str | None, severity: Severity, checked: int, failed: int
) -> pl.DataFrame:
    """Return one row of `OUTCOME_SCHEMA`."""
    row = (dimension, rule, field or "", severity.value, checked, failed)
    return pl.DataFrame([row], schema=OUTCOME_SCHEMA, orient="row")


def _reasons(refused: pl.DataFrame, broken: pl.DataFrame, rules: list[Rule]) -> pl.DataFrame:
    columns = {"rules": pl.List(pl.String), "reasons": pl.String}
    if refused.is_empty():
        return refused.with_columns(
            pl.lit(None, dtype).alias(name) for name, dtype in columns.items()
        )
    wrong = {rule.rule: pl.col(f"broken.{rule.rule}") for rule in rules}
    names = [pl.when(wrong[rule.rule]).then(pl.lit(rule.rule)) for rule in rules]
    reasons = [pl.when(wrong[rule.rule]).then(pl.lit(_reason(rule))) for rule in rules]
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


def _outcomes(found: pl.DataFrame, height: int, rules: tuple[Rule, ...]) -> pl.DataFrame:
    rows = []
    for rule in rules:
        checked = found[f"checked.{rule.rule}"]
        # A constant has one value for all rows.
        always = checked.len() == 1 and height != 1
        rows.append(
            (
                rule.dimension,
                rule.rule,
                rule.field or "",
                rule.severity.value,
                height if always else int(checked.sum()),
                int(found[f"broken.{rule.rule}"].sum()),
            )
        )
    return pl.DataFrame(rows, schema=OUTCOME_SCHEMA, orient="row")
