"""Who looks at a page: an API key in a header, a signed-in browser, or whoever sits at a loopback.

Without postponed annotations: the framework reads the parameters' types.
"""

from typing import Annotated
from urllib.parse import quote, urlsplit

from fastapi import Depends, Request
from starlette.responses import RedirectResponse, Response

from access_api.pages.sessions import COOKIE, read_session
from access_api.problems import may_not_read
from telemetry_platform.access_keys.api_key import ALL_SOURCES, READ, ApiKey
from telemetry_platform.clock import utc_now

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


class SignInNeeded(Exception):
    """Nobody is signed in; `visit` is where to go on afterwards."""

    def __init__(self, visit: str) -> None:
        super().__init__("sign in first")
        self.visit = visit


async def visitor(request: Request) -> ApiKey:
    """Return the key that a page is shown to; keep it for the layout.

    Raises:
        SignInNeeded: There is none.
        Problem: 401, 429 or 403: a key came as a header, and may not read.
    """
    key = _visitor(request)
    if not key.may(READ):
        raise may_not_read()
    request.state.visitor = key
    return key


Visitor = Annotated[ApiKey, Depends(visitor)]
"""The parameter of a page's route."""


async def to_sign_in(_: Request, error: Exception) -> Response:
    """Send a browser to the form."""
    visit = error.visit if isinstance(error, SignInNeeded) else "/"
    return RedirectResponse(f"/signin?next={quote(visit)}", 303)


def _visitor(request: Request) -> ApiKey:
    gate = request.app.state.reader.gate
    if "x-api-key" in request.headers or "authorization" in request.headers:
        return gate.admit(request)
    key = read_session(gate.keys, request.cookies.get(COOKIE, ""))
    if key is not None:
        return key
    if request.app.state.settings.access_open_on_loopback and _sits_here(request):
        return ApiKey("loopback", "this machine", (ALL_SOURCES,), "", utc_now(), roles=(READ,))
    target = request.url
    raise SignInNeeded(f"{target.path}?{target.query}" if target.query else target.path)


def _sits_here(request: Request) -> bool:
    """Whether the client is on this machine and asks for it by a name of it.

    A page elsewhere can have its own name lead to 127.0.0.1, but the browser says that name; a
    proxy on this machine says for whom it asks.
    """
    client = request.client.host if request.client else ""
    asked = urlsplit(f"//{request.headers.get('host', '')}").hostname
    forwarded = any(name in request.headers for name in _FORWARDED)
    return client in _LOOPBACK and asked in _LOOPBACK and not forwarded
