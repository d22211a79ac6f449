"""The quality page, and the scores on the page of each dataset: the report, as far as a key sees.

Without postponed annotations: the framework reads the parameters' types.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, LiteralString

from fastapi import APIRouter, Request
from psycopg import sql
from starlette.responses import Response

from access_api.pages.rendering import render
from access_api.pages.visitors import Visitor
from access_api.queries import Query
from access_api.reading import Reader
from telemetry_contracts.registry import Registry
from telemetry_platform.access_keys.api_key import ALL_SOURCES, ApiKey
from telemetry_platform.clock import utc_now
from telemetry_platform.quality import page
from telemetry_platform.quality.reading import (
    COUNT_HOURS,
    DAYS,
    DEFAULT_DAYS,
    HOURS,
    RULES,
    WRONG,
    WRONG_HOURS,
    days_of,
    rules_of,
    sources_of,
)
from telemetry_platform.quality.report import QualityReport, WrongHour

router = APIRouter(include_in_schema=False)


@router.get("/quality")
async def quality(request: Request, key: Visitor) -> Response:
    """Show the scores of the sources that the key covers."""
    reader: Reader = request.app.state.reader
    registry = reader.contracts.now.registry
    seen = registry.sources if ALL_SOURCES in key.sources else key.sources
    report = await read_scores(reader, key, registry, seen, whole=True)
    return render(request, "quality.html.j2", page.shown(report))


async def read_scores(
    reader: Reader, key: ApiKey, registry: Registry, sources: Sequence[str], *, whole: bool
) -> QualityReport:
    """Return the scores of the last 30 days of arrival, of those sources that the key covers.

    Args:
        reader: Its database is asked.
        key: Who reads.
        registry: Contracts in force, which say thresholds.
        sources: Sources that are wanted.
        whole: Whether rules and hours that do not add up are wanted, too. Events that broke a rule
            are not: they stand in `marts.rpt_quarantine`.
    """
    made_at = utc_now()
    last = made_at.date()
    first = last - timedelta(days=DEFAULT_DAYS - 1)
    allowed = [source for source in sources if key.covers(source)]
    window = {"first": first, "last": last, "sources": allowed, "limit": WRONG_HOURS}

    async def asked(text: LiteralString) -> list[tuple[Any, ...]]:
        return await reader.database.rows(Query(sql.Composed([sql.SQL(text)]), window))

    days = days_of(await asked(DAYS))
    rules = rules_of(await asked(RULES)) if whole else {}
    wrong = await asked(HOURS + WRONG) if whole else []
    ((hours,),) = await asked(HOURS + COUNT_HOURS) if whole else [(0,)]
    found = sources_of(registry, days, rules, {})
    return QualityReport(
        made_at,
        first,
        last,
        tuple(source for source in found if source.source in allowed),
        hours=hours,
        wrong=wrong[0][10] if wrong else 0,
        wrong_hours=tuple(WrongHour(*row[:10]) for row in wrong),
    )
