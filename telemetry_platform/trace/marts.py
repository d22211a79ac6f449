"""What the marts know of an event or a receipt: look-ups by index, of ids, times and rules alone.

The connection needs no more than SELECT on schema `marts`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, LiteralString, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    import psycopg

_FROM_EVENTS: LiteralString = """
    SELECT source, to_char(received_hour, 'YYYY-MM-DD"T"HH24') AS received_hour, event_id,
        receipt_id, received_at, device_id, event_time, source_file, source_row, loaded_at,
        correction_id
    FROM marts.fct_events
"""
_FROM_QUARANTINE: LiteralString = """
    SELECT source, to_char(received_hour, 'YYYY-MM-DD"T"HH24') AS received_hour, event_id,
        receipt_id, received_at, device_id, event_time, source_file, source_row,
        rule, quality_dimension AS dimension, field, message
    FROM marts.rpt_quarantine
"""
_FROM_DUPLICATES: LiteralString = """
    SELECT source, to_char(received_hour, 'YYYY-MM-DD"T"HH24') AS received_hour, event_id,
        receipt_id, received_at, first_receipt_id, first_received_at
    FROM marts.rpt_duplicates
"""
_FROM_SUPERSEDED: LiteralString = """
    SELECT source, to_char(received_hour, 'YYYY-MM-DD"T"HH24') AS received_hour, event_id,
        receipt_id, received_at, device_id, event_time, corrected_event_id, fate, correction_id,
        correction_receipt_id
    FROM marts.rpt_superseded
"""
_METRICS: LiteralString = """
    SELECT 'agg_metric_minutes' AS mart, metric, event_minute AS begins, n, average
    FROM marts.agg_metric_minutes
    WHERE source = %(source)s AND device_id = %(device)s
        AND event_minute = date_trunc('minute', %(at)s::timestamptz, 'UTC')
    UNION ALL
    SELECT 'agg_metric_hours', metric, event_hour, n, average FROM marts.agg_metric_hours
    WHERE source = %(source)s AND device_id = %(device)s AND n > 0
        AND metric = ANY(%(metrics)s)
        AND event_hour = date_trunc('hour', %(at)s::timestamptz, 'UTC')
    UNION ALL
    SELECT 'agg_metric_days', metric, event_day::timestamp AT TIME ZONE 'UTC', n, average
    FROM marts.agg_metric_days
    WHERE source = %(source)s AND device_id = %(device)s AND n > 0
        AND metric = ANY(%(metrics)s) AND event_day = (%(at)s::timestamptz AT TIME ZONE 'UTC')::date
    ORDER BY metric, begins DESC, mart DESC
"""


class Hour(NamedTuple):
    """The account of a source's arrival hour.

    Attributes:
        accepted: Landed events when it was last refined.
        complete: Whether the mart of events has every event that silver kept, save those that
            retention let go.
    """

    accepted: int
    complete: bool


class Marts:
    """Looks things up on one connection."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def kept(self, event_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return the rows of events in `marts.fct_events`."""
        return self._rows(_FROM_EVENTS + " WHERE event_id = ANY(%s)", (list(event_ids),))

    def quarantined(self, event_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return the quarantined arrivals of events, a row for each reason."""
        query = _FROM_QUARANTINE + " WHERE event_id = ANY(%s) ORDER BY received_at, reason_number"
        return self._rows(query, (list(event_ids),))

    def duplicates(self, event_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return the later arrivals of events, which silver left out."""
        return self._rows(_FROM_DUPLICATES + " WHERE event_id = ANY(%s)", (list(event_ids),))

    def superseded(self, event_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return superseded versions of events, by any id that they or their correction have."""
        query = (
            " WHERE event_id = ANY(%(ids)s) OR corrected_event_id = ANY(%(ids)s)"
            " OR correction_id = ANY(%(ids)s)"
        )
        return self._rows(_FROM_SUPERSEDED + query, {"ids": list(event_ids)})

    def counts(self, receipt: str, hours: Collection[datetime]) -> dict[str, int]:
        """Count the events of a receipt by outcome; `hours` are those it can have arrived in."""
        (row,) = self._rows(
            """
            SELECT
                (SELECT count(*) FROM marts.fct_events WHERE receipt_id = %(receipt)s) AS kept,
                (SELECT count(DISTINCT event_id) FROM marts.rpt_quarantine
                 WHERE received_hour = ANY(%(hours)s) AND receipt_id = %(receipt)s) AS quarantined,
                (SELECT count(*) FROM marts.rpt_duplicates
                 WHERE received_hour = ANY(%(hours)s) AND receipt_id = %(receipt)s) AS duplicate,
                (SELECT count(*) FROM marts.rpt_superseded
                 WHERE received_hour = ANY(%(hours)s) AND receipt_id = %(receipt)s) AS superseded
            """,
            {"receipt": receipt, "hours": list(hours)},
        )
        return row

    def ids_of(self, receipt: str, hours: Collection[datetime], limit: int) -> list[str]:
        """Return ids of a receipt's events: those that were stopped first, then kept ones."""
        rows = self._rows(
            """
            SELECT event_id FROM (
                (SELECT DISTINCT event_id, 0 AS place FROM marts.rpt_quarantine
                 WHERE received_hour = ANY(%(hours)s) AND receipt_id = %(receipt)s
                 LIMIT %(limit)s)
                UNION ALL
                (SELECT event_id, 1 FROM marts.rpt_duplicates
                 WHERE received_hour = ANY(%(hours)s) AND receipt_id = %(receipt)s
                 LIMIT %(limit)s)
                UNION ALL
                (SELECT event_id, 1 FROM marts.rpt_superseded
                 WHERE received_hour = ANY(%(hours)s) AND receipt_id = %(receipt)s
                 LIMIT %(limit)s)
                UNION ALL
                (SELECT event_id, 2 FROM marts.fct_events
                 WHERE receipt_id = %(receipt)s LIMIT %(limit)s)
            ) AS found
            GROUP BY event_id ORDER BY min(place), event_id LIMIT %(limit)s
            """,
            {"receipt": receipt, "hours": list(hours), "limit": limit},
        )
        return [row["event_id"] for row in rows]

    def hours(self) -> dict[tuple[str, str], Hour]:
        """Return the accounts of all arrival hours by source and hour (`2026-11-22T14`)."""
        rows = self._rows(
            """
            SELECT source, to_char(received_hour, 'YYYY-MM-DD"T"HH24') AS received_hour,
                accepted, NOT is_kept OR mart_rows + expired_rows = silver AS complete
            FROM marts.rpt_reconciliation
            """,
            None,
        )
        return {
            (row["source"], row["received_hour"]): Hour(row["accepted"], row["complete"])
            for row in rows
        }

    def metrics(self, source: str, device: str, at: datetime) -> list[dict[str, Any]]:
        """Return the metrics of the minute, hour and day of a device that an event falls into.

        Returns:
            Rows with mart, metric, begins, n and average; hours and days of the metrics that the
            minute has.
        """
        minute = self._rows(
            "SELECT metric FROM marts.agg_metric_minutes WHERE source = %s AND device_id = %s "
            "AND event_minute = date_trunc('minute', %s::timestamptz, 'UTC')",
            (source, device, at),
        )
        metrics = [row["metric"] for row in minute]
        values = {"source": source, "device": device, "at": at, "metrics": metrics}
        return self._rows(_METRICS, values)

    def _rows(self, query: LiteralString, values: Any) -> list[dict[str, Any]]:  # noqa: ANN401
        from psycopg.rows import dict_row

        with self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, values).fetchall()
