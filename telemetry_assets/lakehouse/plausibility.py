"""Warnings about readings that contradict the device's other readings: jumps and stuck values.

They look at one arrival hour, refuse nothing, and are only counted.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from telemetry_assets.lakehouse.judging import OUTCOME_SCHEMA, outcome
from telemetry_contracts.contract import Contract, DeclaredRule, Severity
from telemetry_contracts.quality import Kind
from telemetry_contracts.rules import CONSISTENCY


def neighbour_warnings(silver: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Count the readings that jump or are stuck, as the contract declares.

    A reading is compared with those of the same device before it, in the order of event time and
    event id, so the counts do not depend on the order of the rows.

    - `jump`: the value differs from the reading before by more than `limit`, times the number of
      `per` between the two when there is more than one. A reading without one before it is not
      checked.
    - `stuck`: the value has been the same for longer than `for`, over at least `readings` readings.
      All readings of the field are checked; those count that lie beyond `for`.

    Args:
        silver: Rows of `silver/<source>` of one arrival hour, without the quarantined.
        contract: The source's contract.

    Returns:
        Columns of `judging.OUTCOME_SCHEMA`, one row a rule.
    """
    declared = [rule for rule in contract.rules if rule.kind in _COUNTED]
    if not declared:
        return OUTCOME_SCHEMA.to_frame()
    fields = sorted({name for rule in declared for name in rule.fields})
    ordered = (
        silver.lazy()
        .select("device_id", "event_time", "event_id", *fields)
        .sort("device_id", "event_time", "event_id")
        .drop("event_id")
        .collect()
        .lazy()
    )
    counts = pl.collect_all(
        [_COUNTED[rule.kind](_readings(ordered, rule), rule) for rule in declared]
    )
    return pl.concat(
        outcome(CONSISTENCY, rule.name, rule.field, Severity.WARNING, *count.row(0))
        for rule, count in zip(declared, counts, strict=True)
    )


def _readings(ordered: pl.LazyFrame, rule: DeclaredRule) -> pl.LazyFrame:
    value = pl.col(rule.fields[0])
    return ordered.select("device_id", "event_time", value.alias("value")).filter(
        pl.col("value").is_not_null()
    )


def _jumps(readings: pl.LazyFrame, rule: DeclaredRule) -> pl.LazyFrame:
    followed = pl.col("device_id") == pl.col("device_id").shift()
    apart = (pl.col("event_time") - pl.col("event_time").shift()).dt.total_microseconds()
    spans = (apart / (rule.arguments["per"].total_seconds() * 1e6)).clip(lower_bound=1.0)
    change = (pl.col("value") - pl.col("value").shift()).abs()
    jumped = followed & (change > rule.arguments["limit"] * spans)
    return readings.select(followed.sum().alias("checked"), jumped.sum().alias("failed"))


def _stuck(readings: pl.LazyFrame, rule: DeclaredRule) -> pl.LazyFrame:
    goes_on = (pl.col("device_id") == pl.col("device_id").shift()) & (
        pl.col("value") == pl.col("value").shift()
    )
    begins = ~goes_on.fill_null(value=False)
    place = pl.int_range(pl.len())
    first = pl.when(begins).then(place).forward_fill()
    since = pl.when(begins).then(pl.col("event_time")).forward_fill()
    beyond = pl.col("event_time") - since > rule.arguments["for"]
    stuck = beyond & (place - first + 1 >= rule.arguments["readings"])
    return readings.select(pl.len().alias("checked"), stuck.sum().alias("failed"))


_COUNTED: dict[str, Callable[[pl.LazyFrame, DeclaredRule], pl.LazyFrame]] = {
    Kind.JUMP: _jumps,
    Kind.STUCK: _stuck,
}
