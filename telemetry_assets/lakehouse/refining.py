"""From bronze to silver: who came first, what can be believed, what follows from it."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from telemetry_assets.lakehouse.enrichment import derived_columns
from telemetry_assets.lakehouse.judging import judge, outcome
from telemetry_assets.lakehouse.plausibility import neighbour_warnings
from telemetry_assets.lakehouse.registered import DEVICES, PREFIX, join_registry
from telemetry_assets.lakehouse.tables import DUPLICATES, QUARANTINE
from telemetry_contracts.contract import Contract, Severity
from telemetry_contracts.frames import silver_schema
from telemetry_contracts.rules import contract_rules, registry_rules

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
    devices: pl.DataFrame | None = None,
    landing_version: int | None = None,
) -> Refined:
    """Split one bronze partition.

    Args:
        bronze: Rows of `bronze/<source>` of one arrival hour.
        earlier: `event_id`, `receipt_id`, `received_at` of events that landed in earlier hours of
            the dedup window with an id that `bronze` has, too.
        contract: The source's contract.
        devices: The registry of devices, columns of `registered.DEVICES`; None when there is none.
        landing_version: Version of `landing/events` that `bronze` was read from.

    Returns:
        The split; rows within a frame are in order of arrival, so the result does not depend on
        the order of the input.
    """
    ordered = bronze.sort(_ARRIVAL, nulls_last=True)
    unique, duplicates = _first_arrivals(ordered, earlier)
    known = join_registry(unique, DEVICES.to_frame() if devices is None else devices, contract)
    judged = judge(known, (*contract_rules(contract), *registry_rules(contract)))
    refused = judged.bad.with_columns(
        pl.lit(contract.version).alias("judged_by"),
        pl.lit(landing_version, pl.Int64).alias("landing_version"),
    )
    silver = _enriched(judged.good, contract)
    outcomes = [
        judged.outcomes,
        neighbour_warnings(silver, contract),
        _uniqueness(ordered.height, duplicates.height),
    ]
    return Refined(silver, _quarantine(refused), duplicates, pl.concat(outcomes))


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


def _enriched(kept: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    rows = kept.lazy()
    for derived in derived_columns(contract):
        rows = rows.with_columns(derived)
    return rows.select(list(silver_schema(contract))).collect()


def _quarantine(refused: pl.DataFrame) -> pl.DataFrame:
    provenance = [
        name
        for name in refused.columns
        if name not in QUARANTINE.schema and not name.startswith(PREFIX)
    ]
    return refused.with_columns(pl.struct(provenance).struct.json_encode().alias("payload")).select(
        list(QUARANTINE.schema)
    )


def _uniqueness(landed: int, duplicates: int) -> pl.DataFrame:
    return outcome("uniqueness", "unique.event_id", "event_id", Severity.ERROR, landed, duplicates)
