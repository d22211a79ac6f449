"""Turns a template into an answer: layout, links, and headers that let a page load nothing else."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse, Response

from telemetry_platform.pages import look

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from telemetry_platform.problems import Problem
    from telemetry_platform.settings import Settings

_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "cache-control": "private, no-store",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "vary": "accept, authorization, cookie, x-api-key",
}
_SITE = (("/catalog", "Catalog"), ("/quality", "Quality"), ("/trace", "Trace"))
_FOR_PROGRAMS = ("/v1/", "/docs", "/openapi.json", "/healthz", "/readyz")


def render(
    request: Request,
    template: str,
    values: Mapping[str, object],
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a page.

    Args:
        request: What is answered. `request.state.visitor` is who reads, once that is known.
        template: A file of `templates`; it extends `base.html.j2`.
        values: What the template shows; all of it is escaped.
        status: HTTP status.
        headers: Headers beside those of every page.
    """
    settings: Settings = request.app.state.settings
    environment = look.environment("access_api.pages.templates", "telemetry_platform.quality")
    text = environment.get_template(template).render(
        path=request.url.path,
        site=_SITE,
        visitor=getattr(request.state, "visitor", None),
        dagster_url=settings.dagster_url,
        style_version=_style()[1],
        **values,
    )
    return HTMLResponse(text, status, {**_HEADERS, **(headers or {})})


def render_problem(request: Request, problem: Problem) -> Response:
    """Return a problem as a page."""
    headers = {name: text for name, text in problem.headers().items() if name != "content-type"}
    return render(request, "problem.html.j2", {"problem": problem}, problem.status, headers)


def wants_page(request: Request) -> bool:
    """Whether a browser asks for something that people look at."""
    is_page = not request.url.path.startswith(_FOR_PROGRAMS)
    return is_page and "text/html" in request.headers.get("accept", "")


async def style_sheet() -> Response:
    """Return the style sheet of all pages. Its address changes with its content."""
    headers = {"cache-control": "public, max-age=31536000, immutable"}
    return Response(_style()[0], headers=headers, media_type="text/css")


@lru_cache(maxsize=1)
def _style() -> tuple[str, str]:
    own = files("access_api.pages").joinpath("style.css").read_text(encoding="utf-8")
    text = look.style_sheet() + own
    return text, sha256(text.encode()).hexdigest()[:12]
