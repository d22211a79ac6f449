"""Which page is where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse, Response

from access_api.lineage import Manifest
from access_api.pages import catalog, quality, sign_in, trace
from access_api.pages.rendering import style_sheet

if TYPE_CHECKING:
    from fastapi import FastAPI


def add_pages(app: FastAPI) -> None:
    """Add the pages to the application. They are not part of its OpenAPI document."""
    app.add_api_route("/", _home, include_in_schema=False)
    app.add_api_route("/pages/style.css", style_sheet, include_in_schema=False)
    app.state.manifest = Manifest(app.state.settings)
    for router in (sign_in.router, catalog.router, quality.router, trace.router):
        app.include_router(router)


async def _home() -> Response:
    return RedirectResponse("/catalog", 303)
