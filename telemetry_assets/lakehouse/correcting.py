"""What corrections do to the events of an hour: which are known, which versions of an event go.

Pure. A correction is a landed event that names another one, `corrects`, and says what becomes of
it; of several, the last to arrive holds. Where corrections are kept is `correction_log`'s matter.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from telemetry_assets.lakehouse.judging import Judged, judge
from telemetry_assets.lakehouse.tables import CORRECTIONS, SUPERSEDED
from telemetry_contracts.contract import DELETE
from telemetry_contracts.rules import INTEGRITY, Rule
from telemetry_platform.layout import RECEIVED_HOUR

REPLACED = "replaced"
DELETED = "deleted"
DELETION = "deletion"
"""Fates: events that a replacement or a deletion took out of silver, and deletions themselves."""

APPLIED = "applied"
REFUSED = "refused"
UNKNOWN = "unknown"
"""Outcomes of corrections: it counts, a rule refused it, the event that it names never landed."""

IS_CORRECTION = pl.col("corrects").is_not_null()
VERSION_OF = pl.coalesce("corrects", "event_id")
"""The event that a bronze row is a version of."""

_PLACES = pl.Schema({"event_id": pl.String, RECEIVED_HOUR: pl.String})
_KNOWN = "__known"
_RULE = Rule(
    "known.corrects",
    INTEGRITY,
    "corrects",
    "expected the id of an event of this source that had landed",
    ~pl.col(_KNOWN),
    pl.lit(value=True),
)
_LAST = ("received_at", "receipt_id", "correction_id")
_WINNER = ("correction_id", "correction", "received_at", "receipt_id", RECEIVED_HOUR)


@dataclass(frozen=True)
class Elsewhere:
    """What other hours know that decides about corrections in this one.

    Attributes:
        landed: Of the ids that corrections of this hour name, those of events (no corrections) of
            earlier hours: `event_id` and `received_hour`.
        corrections: Corrections of later hours that name an event of this hour or one that this
            hour corrects, too; columns of `tables.CORRECTIONS`.
    """

    landed: pl.DataFrame = field(default_factory=_PLACES.to_frame)
    corrections: pl.DataFrame = field(default_factory=CORRECTIONS.schema.to_frame)


@dataclass(frozen=True)
class Applied:
    """What is left of an hour's kept events once corrections are applied.

    Attributes:
        kept: Rows that stay. A replacement has the `event_id` of what it replaces, and its own
            as `correction_id`, which is null for other events.
        superseded: Rows of `tables.SUPERSEDED`, in order of arrival.
        corrections: The hour's own, rows of `tables.CORRECTIONS`.
    """

    kept: pl.DataFrame
    superseded: pl.DataFrame
    corrections: pl.DataFrame


def judge_targets(unique: pl.DataFrame, elsewhere: Elsewhere) -> Judged | None:
    """Judge whether corrections name an event that landed by the end of this hour.

    Args:
        unique: Bronze rows, first arrivals.
        elsewhere: What other hours know.

    Returns:
        All rows, judged by that alone; None when there is no correction among them.
    """
    if unique["corrects"].null_count() == unique.height:
        return None
    here = unique.filter(~IS_CORRECTION)["event_id"]
    known = pl.concat([here, elsewhere.landed["event_id"]]).unique()
    rows = unique.with_columns(
        (~IS_CORRECTION | pl.col("corrects").is_in(known.implode())).alias(_KNOWN)
    )
    checked = judge(rows, (_RULE,))
    corrections = int(unique.select(IS_CORRECTION.sum()).item())
    outcomes = checked.outcomes.with_columns(pl.lit(corrections, pl.Int64).alias("checked"))
    return Judged(checked.good.drop(_KNOWN), checked.bad.drop(_KNOWN), outcomes)


def apply(
    good: pl.DataFrame, deletions: pl.DataFrame, refused: pl.DataFrame, elsewhere: Elsewhere
) -> Applied:
    """Take former versions out of the rows that rules have left.

    Args:
        good: Rows that break no rule, replacements among them; at least bronze's columns.
        deletions: Deletions of known events; bronze's columns.
        refused: Corrections of the hour that do not count: bronze's columns and `outcome`.
        elsewhere: What other hours know.
    """
    replacements = good.filter(IS_CORRECTION)
    own = pl.concat(
        [
            _corrections(replacements, pl.lit(APPLIED)),
            _corrections(deletions, pl.lit(APPLIED)),
            _corrections(refused, pl.col("outcome")),
        ]
    ).sort(_LAST)
    holding = winners(pl.concat([own, elsewhere.corrections]))
    if holding.is_empty():
        return Applied(_renamed(good), SUPERSEDED.schema.to_frame(), own)
    versions = good.with_row_index("__place").join(
        holding,
        left_on=VERSION_OF,
        right_on="corrected_event_id",
        how="left",
        maintain_order="left",
    )
    gone = versions.filter(_is_former(pl.col("event_id"), IS_CORRECTION))
    kept = good.with_row_index("__place").join(
        gone, on="__place", how="anti", maintain_order="left"
    )
    fates = pl.when(pl.col("correction_of_winner") == DELETE).then(pl.lit(DELETED))
    superseded = pl.concat(
        [
            _superseded(gone, fates.otherwise(pl.lit(REPLACED))),
            _superseded(_without_winner(deletions), pl.lit(DELETION)),
        ]
    ).sort("received_at", "receipt_id", "event_id")
    return Applied(_renamed(kept.drop("__place")), superseded, own)


def winners(corrections: pl.DataFrame) -> pl.DataFrame:
    """Return the correction that holds of each event, by `corrected_event_id`.

    Args:
        corrections: Rows of `tables.CORRECTIONS`.

    Returns:
        `corrected_event_id`, and of the winner: `correction_id`, the others with the suffix
        `_of_winner`.
    """
    last = (
        corrections.filter(pl.col("outcome") == APPLIED)
        .sort(_LAST)
        .unique("corrected_event_id", keep="last", maintain_order=True)
    )
    return last.select(
        "corrected_event_id",
        "correction_id",
        *(pl.col(name).alias(f"{name}_of_winner") for name in _WINNER[1:]),
    )


def former(versions: pl.DataFrame) -> pl.DataFrame:
    """Return the versions that must have left silver.

    Args:
        versions: Landed versions of events, joined with `winners`: `event_id`, `received_hour`,
            and `is_correction`.
    """
    return versions.filter(_is_former(pl.col("event_id"), pl.col("is_correction")))


def _is_former(own_id: pl.Expr, is_correction: pl.Expr) -> pl.Expr:
    """Tell a version that another one superseded. What lands after the correction is new again."""
    before = pl.col(RECEIVED_HOUR) <= pl.col(f"{RECEIVED_HOUR}_of_winner")
    other = pl.col("correction_id") != own_id
    return (other & (is_correction | before)).fill_null(value=False)


def _corrections(rows: pl.DataFrame, outcome: pl.Expr) -> pl.DataFrame:
    return rows.select(
        "source",
        RECEIVED_HOUR,
        pl.col("event_id").alias("correction_id"),
        pl.col("corrects").alias("corrected_event_id"),
        "correction",
        outcome.alias("outcome"),
        "received_at",
        "receipt_id",
    )


def _superseded(rows: pl.DataFrame, fate: pl.Expr) -> pl.DataFrame:
    return rows.select(
        "source",
        RECEIVED_HOUR,
        "event_id",
        VERSION_OF.alias("corrected_event_id"),
        "device_id",
        "event_time",
        "received_at",
        "receipt_id",
        fate.alias("fate"),
        "correction_id",
        pl.col("receipt_id_of_winner").alias("correction_receipt_id"),
        pl.col("received_at_of_winner").alias("correction_received_at"),
    )


def _without_winner(deletions: pl.DataFrame) -> pl.DataFrame:
    return deletions.with_columns(
        pl.lit(None, pl.String).alias("correction_id"),
        pl.lit(None, pl.String).alias("receipt_id_of_winner"),
        pl.lit(None, deletions.schema["received_at"]).alias("received_at_of_winner"),
    )


def _renamed(kept: pl.DataFrame) -> pl.DataFrame:
    return kept.with_columns(
        VERSION_OF.alias("event_id"),
        pl.when(IS_CORRECTION).then("event_id").alias("correction_id"),
    )
