"""From bronze to silver: who came first, what can be believed, what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from telemetry_assets.lakehouse import correcting
from telemetry_assets.lakehouse.enrichment import derived_columns
from telemetry_assets.lakehouse.judging import judge, outcome
from telemetry_assets.lakehouse.plausibility import neighbour_warnings
from telemetry_assets.lakehouse.registered import DEVICES, PREFIX, join_registry
from telemetry_assets.lakehouse.tables import CORRECTIONS, DUPLICATES, QUARANTINE, SUPERSEDED
from telemetry_contracts.contract import DELETE, Contract, Severity
from telemetry_contracts.frames import silver_schema
from telemetry_contracts.rules import contract_rules, registry_rules

if TYPE_CHECKING:
    from telemetry_assets.lakehouse.correcting import Elsewhere
    from telemetry_assets.lakehouse.judging import Judged

_IS_EVENT = pl.col("correction").is_null() | (pl.col("correction") != DELETE)
# Within one post an id lands once, so its own place breaks every tie.
_ARRIVAL = ("received_at", "receipt_id", "source_row", "event_id")


@dataclass(frozen=True)
class Refined:
    """One source's arrival hour, every landed event in exactly one of the first four frames.

    Attributes:
        silver: Unique events that break no rule, with derived columns; `silver_schema`.
        quarantine: Unique events that break a rule; columns of `tables.QUARANTINE`.
        duplicates: Events whose id arrived before; columns of `tables.DUPLICATES`.
        superseded: Events that a correction replaced or deleted, and deletions; columns of
            `tables.SUPERSEDED`.
        corrections: The corrections of the hour, wherever they are; columns of
            `tables.CORRECTIONS`.
        outcomes: How many rows each rule checked and failed; columns of `tables.RULE_OUTCOMES`.
    """

    silver: pl.DataFrame
    quarantine: pl.DataFrame
    duplicates: pl.DataFrame
    superseded: pl.DataFrame
    corrections: pl.DataFrame
    outcomes: pl.DataFrame


def refine(  # noqa: PLR0913, PLR0917 - what an hour is judged by
    bronze: pl.DataFrame,
    earlier: pl.DataFrame,
    contract: Contract,
    devices: pl.DataFrame | None = None,
    landing_version: int | None = None,
    elsewhere: Elsewhere | None = None,
) -> Refined:
    """Split one bronze partition.

    Args:
        bronze: Rows of `bronze/<source>` of one arrival hour.
        earlier: `event_id`, `receipt_id`, `received_at` of events that landed in earlier hours of
            the dedup window with an id that `bronze` has, too.
        contract: The source's contract.
        devices: The registry of devices, columns of `registered.DEVICES`; None when there is none.
        landing_version: Version of `landing/events` that `bronze` was read from.
        elsewhere: What other hours know about corrections; None when they know nothing.

    Returns:
        The split; rows within a frame are in order of arrival, so the result does not depend on
        the order of the input.
    """
    ordered = bronze.sort(_ARRIVAL, nulls_last=True)
    unique, duplicates = _first_arrivals(ordered, earlier)
    elsewhere = elsewhere or correcting.Elsewhere()
    found = correcting.judge_targets(unique, elsewhere)
    events = unique if found is None else found.good.filter(_IS_EVENT)
    known = join_registry(events, DEVICES.to_frame() if devices is None else devices, contract)
    judged = judge(known, (*contract_rules(contract), *registry_rules(contract)))
    kept, superseded, corrections = _corrected(judged, found, elsewhere)
    bad = [judged.bad] if found is None else [judged.bad, found.bad]
    silver = _enriched(kept, contract)
    outcomes = [
        judged.outcomes,
        neighbour_warnings(silver, contract),
        _uniqueness(ordered.height, duplicates.height),
        *([] if found is None else [found.outcomes]),
    ]
    quarantine = pl.concat(_quarantine(refused, contract, landing_version) for refused in bad)
    if found is not None:
        quarantine = quarantine.sort(_ARRIVAL, nulls_last=True)
    return Refined(silver, quarantine, duplicates, superseded, corrections, pl.concat(outcomes))


def _corrected(
    judged: Judged, found: Judged | None, elsewhere: Elsewhere
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return the rows that stay, those that corrections took out, and the hour's corrections."""
    if found is None:
        if elsewhere.corrections.is_empty():
            kept = judged.good.with_columns(pl.lit(None, pl.String).alias("correction_id"))
            return kept, SUPERSEDED.schema.to_frame(), CORRECTIONS.schema.to_frame()
        applied = correcting.apply(
            judged.good, judged.good.clear(), _refused(judged.bad.clear(), ""), elsewhere
        )
    else:
        refused = [
            _refused(found.bad, correcting.UNKNOWN),
            _refused(judged.bad.filter(correcting.IS_CORRECTION), correcting.REFUSED),
        ]
        deletions = found.good.filter(~_IS_EVENT)
        applied = correcting.apply(
            judged.good, deletions, pl.concat(refused, how="diagonal"), elsewhere
        )
    return applied.kept, applied.superseded, applied.corrections


def _refused(corrections: pl.DataFrame, outcome: str) -> pl.DataFrame:
    return corrections.with_columns(pl.lit(outcome).alias("outcome"))


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


def _quarantine(
    refused: pl.DataFrame, contract: Contract, landing_version: int | None
) -> pl.DataFrame:
    refused = refused.with_columns(
        pl.lit(contract.version).alias("judged_by"),
        pl.lit(landing_version, pl.Int64).alias("landing_version"),
    )
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
