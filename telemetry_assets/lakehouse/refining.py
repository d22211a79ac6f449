"""From bronze to silver: who came first, what can be believed, what follows from it."""

from __future__ import annotations

import json
from dataclasses import dataclass

import polars as pl

from telemetry_assets.lakehouse.enrichment import derived_columns
from telemetry_assets.lakehouse.tables import DUPLICATES, QUARANTINE, RULE_OUTCOMES
from telemetry_contracts.contract import Contract
from telemetry_contracts.frames import silver_schema
from telemetry_contracts.rules import Rule, contract_rules

# Within one post an id lands once, so its own place breaks every tie.
_ARRIVAL = ("received_at", "receipt_id", "source_row", "event_id")


@dataclass(frozen=True)
class Refined:
    """One source's arrival hour, every landed event in exactly one of the first three frames.

    Attributes:
        silver: Unique events that break no rule, with derived columns; `silver_schema`.
        quarantine: Unique events that break a rule; columns of `tables.QUARANTINE`.
        duplicates: Events whose id arrived before; columns of `tables.DUPLICATES`.
        outcomes: How many rows each rule checked and failed; columns of `tables.RULE_OUTCOMES`.
    """

    silver: pl.DataFrame
    quarantine: pl.DataFrame
    duplicates: pl.DataFrame
    outcomes: pl.DataFrame


def refine(
    bronze: pl.DataFrame,
    earlier: pl.DataFrame,
    contract: Contract,
    landing_version: int | None = None,
) -> Refined:
    """Split one bronze partition.

    Args:
        bronze: Rows of `bronze/<source>` of one arrival hour.
        earlier: `event_id`, `receipt_id`, `received_at` of events that landed in earlier hours of
            the dedup window with an id that `bronze` has, too.
        contract: The source's contract.
        landing_version: Version of `landing/events` that `bronze` was read from.

    Returns:
        The split; rows within a frame are in order of arrival, so the result does not depend on
        the order of the input.
    """
    ordered = bronze.sort(_ARRIVAL, nulls_last=True)
    unique, duplicates = _first_arrivals(ordered, earlier)
    rules = contract_rules(contract)
    broken = unique.select(rule.broken.alias(rule.rule) for rule in rules)
    refused = broken.select(pl.any_horizontal(pl.all())).to_series()
    keep, refuse = unique.filter(~refused), unique.filter(refused)
    enriched = keep.with_columns(derived_columns(contract)).select(list(silver_schema(contract)))
    return Refined(
        silver=enriched,
        quarantine=_quarantine(
            refuse.with_columns(
                pl.lit(contract.version).alias("judged_by"),
                pl.lit(landing_version, pl.Int64).alias("landing_version"),
            ),
            rules,
        ),
        duplicates=duplicates,
        outcomes=_outcomes(unique, broken, duplicates.height, rules),
    )


def _first_arrivals(
    ordered: pl.DataFrame, earlier: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the first arrival of each id, and the rows that came after one."""
    order = ["received_at", "receipt_id"]
    before = earlier.sort(order).unique("event_id", keep="first", maintain_order=True)
    if before.is_empty() and ordered["event_id"].n_unique() == ordered.height:
        return ordered, DUPLICATES.schema.to_frame()
    candidates = ordered.with_row_index("__position")
    here = candidates.unique("event_id", keep="first", maintain_order=True)
    unique = here.join(before, on="event_id", how="anti", maintain_order="left")
    winners = pl.concat(
        [before.select("event_id", *order), unique.select("event_id", *order)]
    ).rename({"receipt_id": "first_receipt_id", "received_at": "first_received_at"})
    lost = candidates.join(unique, on="__position", how="anti", maintain_order="left")
    duplicates = lost.join(winners, on="event_id", how="left", maintain_order="left")
    return unique.drop("__position"), duplicates.select(list(DUPLICATES.schema))


def _quarantine(refused: pl.DataFrame, rules: tuple[Rule, ...]) -> pl.DataFrame:
    names = [pl.when(rule.broken).then(pl.lit(rule.rule)) for rule in rules]
    reasons = [pl.when(rule.broken).then(pl.lit(_reason(rule))) for rule in rules]
    provenance = [name for name in refused.columns if name not in QUARANTINE.schema]
    return refused.with_columns(
        pl.concat_list(names).list.drop_nulls().alias("rules"),
        pl.format("[{}]", pl.concat_list(reasons).list.drop_nulls().list.join(",")).alias(
            "reasons"
        ),
        pl.struct(provenance).struct.json_encode().alias("payload"),
    ).select(list(QUARANTINE.schema))


def _reason(rule: Rule) -> str:
    return json.dumps(
        {
            "rule": rule.rule,
            "dimension": rule.dimension,
            "field": rule.field,
            "message": rule.message,
        }
    )


def _outcomes(
    unique: pl.DataFrame, broken: pl.DataFrame, duplicates: int, rules: tuple[Rule, ...]
) -> pl.DataFrame:
    checked = unique.select(
        (rule.checked & pl.col("event_id").is_not_null()).sum().alias(rule.rule) for rule in rules
    )
    rows = [
        {
            "dimension": rule.dimension,
            "rule": rule.rule,
            "field": rule.field or "",
            "checked": checked[rule.rule][0],
            "failed": broken[rule.rule].sum(),
        }
        for rule in rules
    ]
    landed = unique.height + duplicates
    unique_row = {
        "dimension": "uniqueness",
        "rule": "unique.event_id",
        "field": "event_id",
        "checked": landed,
        "failed": duplicates,
    }
    columns = [name for name in RULE_OUTCOMES.schema if name not in ("source", "received_hour")]
    schema = {name: RULE_OUTCOMES.schema[name] for name in columns}
    return pl.DataFrame([*rows, unique_row], schema=schema)
