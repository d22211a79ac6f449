"""Queries that a person can copy: with psql, and over HTTP where a route answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from access_api.tables import MARTS

if TYPE_CHECKING:
    from access_api.datasets import Dataset
    from access_api.tables import CatalogTable

_KEY = 'KEY="x-api-key: $(cat .telemetry/secrets/dev_api_key)"'
_USER = "USER_ID"
_DEVICE = "DEVICE_ID"


class Example(NamedTuple):
    """What it does, and the commands."""

    title: str
    text: str


def examples(table: CatalogTable) -> list[Example]:
    """Return examples for one table."""
    if table.layer != MARTS:
        if table.loaded_as is None:
            return []
        return [Example(f"Its copy {table.loaded_as}, as the owner of the database", _psql(table))]
    found = [Example("In SQL", _psql(table))]
    found += [
        Example(f"Over HTTP: {dataset.summary[0].lower()}{dataset.summary[1:]}", _curl(dataset))
        for dataset in table.datasets
    ]
    return found


def _psql(table: CatalogTable) -> str:
    names = [column.name for column in table.columns]
    times = ("event_time", "event_minute", "event_hour", "event_day", "received_hour")
    ordered = [n for n in (*times, "received_day", "started_at", "valid_from") if n in names]
    order = f" order by {ordered[0]} desc" if ordered else ""
    where = ""
    if table.name == "agg_metric_minutes":
        where = f" where device_id = '{_DEVICE}' and event_minute > now() - interval '1 day'"
    relation = table.loaded_as or table.place
    question = f"select * from {relation}{where}{order} limit 10"  # noqa: S608  (shown, not run)
    return f'psql "$TELEMETRY_POSTGRES_DSN" -c "{question}"'


def _curl(dataset: Dataset) -> str:
    path = dataset.path.replace("{user}", _USER)
    options = ["limit=100"]
    if dataset.name == "metric_minutes":
        options = [f"device={_DEVICE}", "from=2026-11-22", *options]
    elif "{user}" in dataset.path:
        options = ["days=7"]
    address = f'"$TELEMETRY_ACCESS_URL{path}?{"&".join(options)}"'
    return f'{_KEY}\ncurl -s -H "$KEY" {address}\ncurl -s -H "$KEY" -H "accept: text/csv" {address}'
