"""How an hour comes out by today's contract, held against how it stands; pure comparison."""

from __future__ import annotations

import polars as pl

from telemetry_assets.lakehouse.refining import Refined

RELEASED = "released"
REFUSED = "refused"
WITHDRAWN = "withdrawn"
DUPLICATE = "duplicate"
MISSING = "missing"
"""Outcomes: from quarantine to silver, in quarantine still, from silver to quarantine, a copy of an
event that arrived before, and no longer landed."""

_RULES = pl.List(pl.String)
_EXAMPLES = 3


def differences(quarantine: pl.DataFrame, silver: pl.DataFrame, fresh: Refined) -> pl.DataFrame:
    """Compare one source's hour as it stands with the same hour refined anew.

    Args:
        quarantine: Rows of `silver/quarantine`, at least `event_id` and `rules`.
        silver: Rows of `silver/<source>`, at least `event_id` and `correction_id`.
        fresh: What refining gives now.

    Returns:
        `event_id`, `rules` (those that refused it; none when it was in silver), `outcome` and
        `rules_now`: every quarantined event, and those of silver that would leave it. Events that
        landed since the hour was refined are not among them.
    """
    nothing = pl.lit([], _RULES)
    before = pl.concat(
        [
            quarantine.select("event_id", "rules"),
            silver.select(_landed_as(), nothing.alias("rules")),
        ]
    )
    now = pl.concat(
        [
            fresh.quarantine.select("event_id", pl.col("rules").alias("rules_now")),
            fresh.silver.select(_landed_as(), nothing.alias("rules_now")),
            # A correction says where these are, not a rule.
            fresh.superseded.select("event_id", nothing.alias("rules_now")),
        ]
    )
    copies = fresh.duplicates.select("event_id", pl.lit(value=True).alias("copy")).unique()
    was_kept, kept = pl.col("rules").list.len() == 0, pl.col("rules_now").list.len() == 0
    outcome = (
        pl.when(kept & ~was_kept)
        .then(pl.lit(RELEASED))
        .when(~kept & was_kept)
        .then(pl.lit(WITHDRAWN))
        .when(~kept)
        .then(pl.lit(REFUSED))
        .when(pl.col("rules_now").is_null() & pl.col("copy"))
        .then(pl.lit(DUPLICATE))
        .when(pl.col("rules_now").is_null())
        .then(pl.lit(MISSING))
    )
    return (
        before.join(now, on="event_id", how="left", maintain_order="left")
        .join(copies, on="event_id", how="left", maintain_order="left")
        .with_columns(outcome.alias("outcome"))
        .filter(pl.col("outcome").is_not_null())
        .select("event_id", "rules", "outcome", pl.col("rules_now").fill_null(nothing))
    )


def _landed_as() -> pl.Expr:
    """Return the id with which a row of silver landed: a replacement has that of its event."""
    return pl.coalesce("correction_id", "event_id").alias("event_id")


def changes(judged: pl.DataFrame) -> bool:
    """Tell whether refining again would change where an event is, or why."""
    rules, now = (pl.col(name).list.join("\n") for name in ("rules", "rules_now"))
    return not judged.filter((pl.col("outcome") != REFUSED) | (rules != now)).is_empty()


def counted(judged: pl.DataFrame) -> pl.DataFrame:
    """Count events by `rules`, `outcome` and `rules_now`, with ids of a few as `examples`."""
    return judged.group_by("rules", "outcome", "rules_now", maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("events"),
        pl.col("event_id").head(_EXAMPLES).alias("examples"),
    )
