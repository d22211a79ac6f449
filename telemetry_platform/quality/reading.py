"""Reads the quality report from the marts, and samples of events that broke rules."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, LiteralString

from telemetry_contracts.quality_dimensions import DEFAULT_THRESHOLD, NAMES
from telemetry_platform.clock import utc_now
from telemetry_platform.postgres import connect
from telemetry_platform.quality.report import (
    QualityReport,
    RuleTally,
    Sample,
    SourceQuality,
    Span,
    Tally,
    WrongHour,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psycopg

    from telemetry_contracts.registry import Registry
    from telemetry_platform.settings import Settings

DEFAULT_DAYS = 30
WRONG_HOURS = 20
_SAMPLED_RULES = 12
"""Of each source, those that were broken most often."""
_SAMPLES = 3
_LONGEST_VALUE = 80

_BUILT: LiteralString = """
    SELECT to_regclass('marts.rpt_data_quality') IS NOT NULL
        AND to_regclass('marts.rpt_quality_rules') IS NOT NULL
"""
DAYS: LiteralString = """
    SELECT source, received_day, quality_dimension, checked, failed, most_broken_rule
    FROM marts.rpt_data_quality
    WHERE received_day BETWEEN %(first)s AND %(last)s
        AND (%(sources)s::text[] IS NULL OR source = ANY(%(sources)s))
    ORDER BY source, received_day
"""
RULES: LiteralString = """
    SELECT
        source, quality_dimension, rule_name, coalesce(field_name, ''),
        sum(checked)::bigint, sum(failed)::bigint,
        max(received_hour) FILTER (WHERE failed > 0)
    FROM marts.rpt_quality_rules
    WHERE received_hour >= %(first)s::timestamp AT TIME ZONE 'UTC'
        AND received_hour < (%(last)s::date + 1)::timestamp AT TIME ZONE 'UTC'
        AND (%(sources)s::text[] IS NULL OR source = ANY(%(sources)s))
    GROUP BY 1, 2, 3, 4
    ORDER BY 1, 6 DESC, 3
"""
WRONG: LiteralString = """
    SELECT
        source, received_hour, accepted, silver, quarantined, duplicates, superseded, erased,
        warehouse_rows, mart_rows, unaccounted,
        count(*) OVER ()
    FROM hours
    WHERE NOT adds_up
    ORDER BY received_hour DESC, source
    LIMIT %(limit)s
"""
HOURS: LiteralString = """
    WITH hours AS (
        SELECT * FROM marts.rpt_reconciliation
        WHERE received_hour >= %(first)s::timestamp AT TIME ZONE 'UTC'
            AND received_hour < (%(last)s::date + 1)::timestamp AT TIME ZONE 'UTC'
            AND (%(sources)s::text[] IS NULL OR source = ANY(%(sources)s))
    )
"""
COUNT_HOURS: LiteralString = "SELECT count(*) FROM hours"

# Each rule is looked for in the last hour in which it was broken: one day's partition, one hour.
_ASKED: LiteralString = """
    WITH asked AS (
        SELECT * FROM unnest(%(sources)s::text[], %(rules)s::text[], %(hours)s::timestamptz[])
            AS asked (source, rule, hour)
    )
"""
_QUARANTINED: LiteralString = """
    SELECT asked.source, asked.rule, event_id, device_id, event_time, receipt_id, payload, reasons
    FROM asked CROSS JOIN LATERAL (
        SELECT * FROM warehouse.quarantine AS kept
        WHERE kept.received_hour = asked.hour
            AND kept.source = asked.source AND asked.rule = ANY (kept.rules)
        ORDER BY kept.received_at, kept.event_id LIMIT %(limit)s
    ) AS kept
"""
_DUPLICATED: LiteralString = """
    SELECT asked.source, asked.rule, event_id, received_at, receipt_id, first_receipt_id
    FROM asked CROSS JOIN LATERAL (
        SELECT * FROM warehouse.duplicates AS lost
        WHERE lost.received_hour = asked.hour AND lost.source = asked.source
        ORDER BY lost.received_at, lost.event_id LIMIT %(limit)s
    ) AS lost
    WHERE asked.rule = 'unique.event_id'
"""
_REFUSED: LiteralString = """
    SELECT asked.source, asked.rule, received_at, receipt_id, event_index, field, message
    FROM asked CROSS JOIN LATERAL (
        SELECT * FROM warehouse.rejected AS refused
        WHERE refused.received_hour = asked.hour AND refused.source = asked.source
            AND (refused.rule = 'required') = (asked.rule = 'edge.required')
        ORDER BY refused.received_at, refused.event_index LIMIT %(limit)s
    ) AS refused
    WHERE asked.rule IN ('edge.required', 'edge.readable')
"""


def read_report(
    settings: Settings, registry: Registry, days: int = DEFAULT_DAYS, last: date | None = None
) -> QualityReport:
    """Read the report of the last `days` days of arrival, today (UTC) included.

    Before the first arrival hour was refined there are no marts: the report is then empty.

    Raises:
        NotConfigured: TELEMETRY_POSTGRES_DSN is not set.
        psycopg.Error: The database cannot be asked.
    """
    made_at = utc_now()
    last = last or made_at.date()
    first = last - timedelta(days=days - 1)
    with connect(settings) as connection:
        connection.read_only = True
        built = connection.execute(_BUILT).fetchone()
        if not built or not built[0]:
            return QualityReport(made_at, first, last, sources_of(registry, {}, {}, {}))
        window = {"first": first, "last": last, "sources": None}
        spans = days_of(connection.execute(DAYS, window))
        rules = rules_of(connection.execute(RULES, window))
        samples = _read_samples(connection, rules)
        wrong = connection.execute(HOURS + WRONG, {**window, "limit": WRONG_HOURS}).fetchall()
        counted = connection.execute(HOURS + COUNT_HOURS, window).fetchone()
    return QualityReport(
        made_at,
        first,
        last,
        sources_of(registry, spans, rules, samples),
        hours=counted[0] if counted else 0,
        wrong=wrong[0][10] if wrong else 0,
        wrong_hours=tuple(WrongHour(*row[:10]) for row in wrong),
    )


def sources_of(
    registry: Registry,
    spans: dict[str, list[Span]],
    rules: dict[str, list[RuleTally]],
    samples: dict[str, list[Sample]],
) -> tuple[SourceQuality, ...]:
    """Return the sources of the contracts, and those that only the past knows."""
    found = []
    for source in sorted({*registry, *spans}):
        contract = registry.get(source)
        declared = dict(contract.quality_thresholds) if contract else {}
        found.append(
            SourceQuality(
                source,
                contract.description if contract else "A source without a contract today.",
                {name: declared.get(name, DEFAULT_THRESHOLD) for name in NAMES},
                tuple(spans.get(source, ())),
                tuple(rules.get(source, ())),
                tuple(samples.get(source, ())),
            )
        )
    return tuple(found)


def days_of(rows: Iterable[tuple[Any, ...]]) -> dict[str, list[Span]]:
    """Return the days of each source, from rows of `DAYS`."""
    days: defaultdict[tuple[str, date], dict[str, Tally]] = defaultdict(dict)
    for source, day, dimension, checked, failed, worst in rows:
        days[source, day][dimension] = Tally(checked, failed, worst)
    spans: defaultdict[str, list[Span]] = defaultdict(list)
    for (source, day), tallies in days.items():
        spans[source].append(Span(day, day, tallies))
    return spans


def rules_of(rows: Iterable[tuple[Any, ...]]) -> dict[str, list[RuleTally]]:
    """Return the rules of each source, from rows of `RULES`."""
    rules: defaultdict[str, list[RuleTally]] = defaultdict(list)
    for source, *rest in rows:
        rules[source].append(RuleTally(*rest))
    return rules


def _read_samples(
    connection: psycopg.Connection, rules: dict[str, list[RuleTally]]
) -> dict[str, list[Sample]]:
    """Return up to three events for each rule, in the order of the rules."""
    asked = [
        (source, rule)
        for source, tallies in rules.items()
        for rule in [each for each in tallies if each.last_failed][:_SAMPLED_RULES]
    ]
    if not asked:
        return {}
    question = {
        "sources": [source for source, _ in asked],
        "rules": [rule.rule for _, rule in asked],
        "hours": [rule.last_failed for _, rule in asked],
        "limit": _SAMPLES,
    }
    found: defaultdict[tuple[str, str], list[Sample]] = defaultdict(list)
    fields = {(source, rule.rule): rule.field for source, rule in asked}
    for row in connection.execute(_ASKED + _QUARANTINED, question):
        found[row[0], row[1]].append(_quarantined(row, fields[row[0], row[1]]))
    for source, rule, event, at, receipt, first in connection.execute(
        _ASKED + _DUPLICATED, question
    ):
        lost = f"had landed before, with receipt {first}"
        found[source, rule].append(Sample(rule, event, None, at, None, lost, receipt))
    for source, rule, at, receipt, index, field, message in connection.execute(
        _ASKED + _REFUSED, question
    ):
        what = f"{field}: {message}" if field else message or "refused"
        place = receipt if index is None else f"{receipt} #{index}"
        found[source, rule].append(Sample(rule, None, None, at, None, what, place))
    samples: defaultdict[str, list[Sample]] = defaultdict(list)
    for source, rule in asked:
        samples[source].extend(found[source, rule.rule])
    return samples


def _quarantined(row: tuple[Any, ...], field: str) -> Sample:
    _, rule, event, device, at, receipt, payload, reasons = row
    message = next((each["message"] for each in reasons or () if each.get("rule") == rule), "")
    # Only the field that broke the rule: what a report shows is read by more people than the lake.
    value = at if field == "event_time" else json.loads(payload or "{}").get(field)
    text = None if value is None else str(value)[:_LONGEST_VALUE]
    return Sample(rule, event, device, at, text, message, receipt)
