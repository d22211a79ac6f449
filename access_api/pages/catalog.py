"""The catalog: an index with a search, and a page for each dataset.

Without postponed annotations: the framework reads the parameters' types.
"""

from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from markupsafe import Markup
from starlette.responses import FileResponse, Response

from access_api.describing import Catalog, read_catalog
from access_api.lineage import STAGES
from access_api.pages.examples import examples
from access_api.pages.quality import read_scores
from access_api.pages.rendering import render
from access_api.pages.samples import Sample, read_sample
from access_api.pages.visitors import Visitor
from access_api.problems import no_docs, no_table, not_in_scope
from access_api.reading import Reader
from access_api.tables import MARTS, CatalogTable, TableColumn
from telemetry_platform.access_keys.api_key import ApiKey
from telemetry_platform.pages.look import table as html_table
from telemetry_platform.quality import charts, tables, words
from telemetry_platform.quality.page import section

router = APIRouter(include_in_schema=False)
_LONGEST_SEARCH = 100
_SHOWN_LAYERS = {
    MARTS: "Marts",
    "gold": "Gold",
    "silver": "Silver",
    "bronze": "Bronze",
    "landing": "Landing",
    "reference": "Reference",
}
_STAGE_LABELS = _SHOWN_LAYERS | {"exposure": "Read by"}
_RESTRICTED = Markup('<span class="restricted">restricted</span>')
# dbt's page is one file with scripts of its own. It gets no origin, so they can ask us nothing.
_DOCS_HEADERS = {
    "content-security-policy": (
        "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; "
        "style-src 'unsafe-inline'; img-src data:; font-src data:; frame-ancestors 'none'"
    ),
    "cache-control": "private, no-cache",
    "x-content-type-options": "nosniff",
}


@router.get("/catalog")
async def index(request: Request, key: Visitor) -> Response:
    """Show the datasets that the key may see, or those that a search finds."""
    asked = " ".join(request.query_params.get("q", "").split())[:_LONGEST_SEARCH]
    searched = asked.casefold().split()
    catalog = await _catalog(request)
    found = [t for t in catalog.tables.values() if t.seen_by(key) and t.matches(searched)]
    groups = [
        (label, sorted((t for t in found if t.layer == layer), key=lambda t: t.name))
        for layer, label in _SHOWN_LAYERS.items()
    ]
    values = {
        "asked": asked,
        "groups": [(label, members) for label, members in groups if members],
        "found": len(found),
        "columns": {t.key: t.matching_columns(searched) for t in found} if searched else {},
        "catalog": catalog,
        "words": words,
        "refined": {s: a.refined_at for s, a in catalog.accounts.items() if key.covers(s)},
    }
    return render(request, "catalog.html.j2", values)


@router.get("/catalog/{layer}/{name}")
async def dataset(request: Request, key: Visitor, layer: str, name: str) -> Response:
    """Show one dataset."""
    catalog = await _catalog(request)
    table = catalog.tables.get(f"{layer}/{name}")
    if table is None:
        raise no_table()
    if not table.seen_by(key):
        raise not_in_scope(tuple(s for s in table.needs() if not key.covers(s)))
    reader: Reader = request.app.state.reader
    sample = await read_sample(reader, request, key, table)
    sources = tuple(source for source in table.sources if key.covers(source))
    docs = request.app.state.settings.access_dbt_docs
    values = {
        "table": table,
        "columns": _columns(table),
        "contracts": [catalog.registry[s] for s in sources if s in catalog.registry],
        "refined": {s: catalog.accounts[s].refined_at for s in sources if s in catalog.accounts},
        "words": words,
        "sample": sample,
        "sample_table": _sample(table, sample),
        "stages": _lineage(catalog, table, key),
        "near": catalog.lineage.near(table.key),
        "examples": examples(table),
        "docs": _docs_link(table) if docs.exists() else None,
        **await _scores(reader, key, catalog, sources),
    }
    return render(request, "dataset.html.j2", values)


@router.get("/dbt")
async def dbt_docs(request: Request, _: Visitor) -> Response:
    """Show dbt's own documentation, when somebody generated it."""
    file = request.app.state.settings.access_dbt_docs
    if not file.exists():
        raise no_docs()
    return FileResponse(file, HTTPStatus.OK, _DOCS_HEADERS, "text/html; charset=utf-8")


async def _catalog(request: Request) -> Catalog:
    state = request.app.state
    return await read_catalog(state.reader, state.manifest, state.settings.root)


async def _scores(
    reader: Reader, key: ApiKey, catalog: Catalog, sources: tuple[str, ...]
) -> dict[str, Any]:
    """Return scores of the last day, and the trend of each source."""
    if not (catalog.built and sources):
        return {"overview": None, "sections": [], "chart": charts}
    report = await read_scores(reader, key, catalog.registry, sources, whole=False)
    scored = report.scored
    return {
        "overview": tables.overview(scored, "scores") if scored else None,
        "sections": [section(report, source, f"q{n}") for n, source in enumerate(scored)],
        "chart": charts,
    }


def _columns(table: CatalogTable) -> Markup:
    columns = table.columns
    shown: dict[str, list[str | None]] = {
        "Column": [column.name for column in columns],
        "Description": [column.description or None for column in columns],
        "Type": [column.type for column in columns],
        "Unit": [column.unit for column in columns],
        "Allowed": [column.limits or None for column in columns],
        "Class": [_classification(column) for column in columns],
    }
    return html_table("columns", f"The {len(columns)} columns of {table.key}", shown)


def _classification(column: TableColumn) -> str:
    return _RESTRICTED if column.restricted else "open"


def _sample(table: CatalogTable, sample: Sample) -> Markup | None:
    if sample.columns is None:
        return None
    return html_table("sample", f"Some rows of {table.place}", sample.columns)


def _lineage(
    catalog: Catalog, table: CatalogTable, key: ApiKey
) -> list[tuple[str, str, list[tuple[str, str, str | None]]]]:
    """Return the stages before, at and after a table: heading, role, and names with addresses."""
    before, after = catalog.lineage.before(table.key), catalog.lineage.after(table.key)
    stages = []
    for role, keys in (("before", before), ("here", {table.key}), ("after", after)):
        for stage in STAGES:
            by_layer = {layer: _members(keys, layer) for layer in stage}
            heading = ", ".join(_STAGE_LABELS[layer] for layer in stage if by_layer[layer])
            shown = [_linked(catalog, name, key) for names in by_layer.values() for name in names]
            if shown:
                stages.append((heading, role, shown))
    return stages


def _members(keys: set[str], layer: str) -> list[str]:
    return sorted(name for name in keys if name.partition("/")[0] == layer)


def _linked(catalog: Catalog, name: str, key: ApiKey) -> tuple[str, str, str | None]:
    table = catalog.tables.get(name)
    label = catalog.models.labels.get(name, name.partition("/")[2])
    seen = table is not None and table.seen_by(key)
    return name, label, f"/catalog/{quote(name)}" if seen else None


def _docs_link(table: CatalogTable) -> str:
    kind, name = ("model", table.name)
    if table.layer != MARTS:
        if table.loaded_as is None:
            return "/dbt"
        kind, name = "source", f"warehouse.{table.loaded_as.partition('.')[2]}"
    return f"/dbt#!/{kind}/{kind}.telemetry.{name}"
