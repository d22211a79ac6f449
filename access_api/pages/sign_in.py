"""The form that takes an API key, and what becomes of it.

Without postponed annotations: the framework reads the parameters' types.
"""

from http import HTTPStatus
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from access_api.pages.rendering import render
from access_api.pages.sessions import COOKIE, SECONDS, write_session
from access_api.problems import foreign_form
from telemetry_platform.problems import Problem

router = APIRouter(include_in_schema=False)
_MOST_BYTES = 4096
_HOME = "/catalog"


@router.get("/signin")
async def form(request: Request) -> Response:
    """Show the form."""
    return render(request, "sign_in.html.j2", {"next": _local(request.query_params.get("next"))})


@router.post("/signin")
async def sign_in(request: Request) -> Response:
    """Begin a session of the key that the form brings."""
    _ensure_own_form(request)
    fields = await _fields(request)
    target = _local(fields.get("next"))
    try:
        key = request.app.state.reader.gate.admit_text(request, fields.get("key", "").strip())
    except Problem as problem:
        values = {"next": target, "problem": problem}
        return render(request, "sign_in.html.j2", values, problem.status)
    answer = RedirectResponse(target, HTTPStatus.SEE_OTHER)
    secure = request.app.state.settings.access_url.startswith("https://")
    session = write_session(key)
    answer.set_cookie(
        COOKIE, session, SECONDS, httponly=True, samesite="strict", secure=secure, path="/"
    )
    return answer


@router.post("/signout")
async def sign_out(request: Request) -> Response:
    """End the browser's session."""
    _ensure_own_form(request)
    answer = RedirectResponse("/signin", HTTPStatus.SEE_OTHER)
    answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return answer


def _ensure_own_form(request: Request) -> None:
    """Refuse a form of another site: browsers say where it came from (Fetch Metadata).

    Raises:
        Problem: 403.
    """
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise foreign_form()


async def _fields(request: Request) -> dict[str, str]:
    """Return the fields of a small form; none of a large one."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            return {}
    return {name: values[0] for name, values in parse_qs(body.decode("latin-1")).items()}


def _local(target: str | None) -> str:
    """Return a path of this server, whatever was asked for."""
    text = target or ""
    is_path = text.startswith("/") and not text.startswith("//") and "\\" not in text
    return text if is_path and text.isprintable() else _HOME
