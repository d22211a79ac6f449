"""Who is let in to the pages, and what a page may load."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from pydantic import SecretStr

from access_api.app import access_app
from access_api.pages.sessions import COOKIE, SECONDS, read_session, write_session
from telemetry_platform.access_keys.key_file import create_key, revoke_key
from telemetry_platform.access_keys.key_store import KeyStore
from telemetry_platform.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from fastapi import FastAPI

pytestmark = pytest.mark.unit
HERE = ("127.0.0.1", 50_000)
AWAY = ("192.0.2.7", 50_000)
LOOPBACK = "http://127.0.0.1:8081"
# A page that asks the database nothing: who may look gets 404, for nobody generated it.
PAGE = "/dbt"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    (tmp_path / "secrets").mkdir()
    return tmp_path / "secrets" / "api_keys.json"


class Browser:
    """Asks an application from an address, and keeps the cookies that it is given."""

    def __init__(self, app: FastAPI, base: str, client: tuple[str, int]) -> None:
        self._open: dict[str, Any] = {
            "transport": httpx.ASGITransport(app, client=client),
            "base_url": base,
            "headers": {"accept": "text/html"},
        }
        self.cookies = httpx.Cookies()

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Ask for a page."""
        return self._ask("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        """Send a form."""
        return self._ask("POST", path, **options)

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(**self._open, cookies=self.cookies) as client:
                answer = await client.request(method, path, **options)
                self.cookies = client.cookies
                return answer

        return asyncio.run(ask())


def browser(
    home: Path, client: tuple[str, int] = AWAY, base: str = LOOPBACK, **changes: Any
) -> Browser:
    """Return a browser that asks an application without a database."""
    dsn = SecretStr("postgresql://nobody@127.0.0.1:1/none")
    app = access_app(Settings(home=home, access_postgres_dsn=dsn, **changes))
    return Browser(app, base, client)


def test_who_is_not_signed_in_is_sent_to_the_form_and_back(tmp_path: Path, keys: Path) -> None:
    _, text = create_key(keys, "analysts", ["mobile"], roles=["read"])
    client = browser(tmp_path)
    sent = client.get(f"{PAGE}?a=1")
    assert (sent.status_code, sent.headers["location"]) == (303, "/signin?next=/dbt%3Fa%3D1")
    form = client.get(sent.headers["location"])
    assert 'name="next" value="/dbt?a=1"' in form.text
    answer = client.post("/signin", data={"key": text, "next": "/dbt?a=1"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/dbt?a=1")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert text not in cookie
    page = client.get(PAGE)
    assert page.status_code == 404
    assert "analysts (mobile)" in page.text
    client.post("/signout")
    assert client.get(PAGE).status_code == 303


def test_a_cookie_is_for_https_alone_where_pages_are(tmp_path: Path, keys: Path) -> None:
    _, text = create_key(keys, "analysts", ["*"], roles=["read"])
    client = browser(tmp_path, access_url="https://data.example.org")
    assert "; Secure" in client.post("/signin", data={"key": text}).headers["set-cookie"]


def test_a_session_ends_with_its_key_its_time_and_any_change(tmp_path: Path, keys: Path) -> None:
    _, text = create_key(keys, "analysts", ["*"], roles=["read"])
    other, _ = create_key(keys, "others", ["*"], roles=["read"])
    store = KeyStore(keys)
    key = store.verify(text)
    assert key
    cookie = write_session(key, now=1000)
    assert read_session(store, cookie, now=1000 + SECONDS - 1) == key
    assert read_session(store, cookie, now=1000 + SECONDS) is None
    _, end, signature = cookie.split(".")
    later = f"{key.id}.{int(end) + 60}.{signature}"
    for wrong in ("", ".", cookie[:-1], later, f"{other}.{end}.{signature}", f"{cookie}é"):
        assert read_session(store, wrong, now=1000) is None
    revoke_key(keys, key.id)
    store.check_now()
    assert read_session(store, cookie, now=1000) is None


def test_a_wrong_key_a_senders_key_and_a_foreign_form_open_nothing(
    tmp_path: Path, keys: Path
) -> None:
    _, sender = create_key(keys, "vans", ["*"], roles=["write"])
    client = browser(tmp_path, auth_failure_limit=1)
    refused = client.post("/signin", data={"key": sender})
    assert (refused.status_code, "may not read" in refused.text) == (403, True)
    foreign = client.post("/signin", data={"key": sender}, headers={"sec-fetch-site": "cross-site"})
    assert "another site" in foreign.text
    assert client.post("/signin", data={"key": "x"}).status_code == 401
    assert client.post("/signin", data={"key": "x"}).status_code == 429
    assert client.post("/signin", content=b"key=" + b"x" * 5000).status_code == 429
    assert client.get(PAGE, headers={"x-api-key": sender}).status_code == 403
    assert COOKIE not in client.cookies


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "", "/a\r\nb"]
)
def test_the_form_leads_to_this_server_alone(tmp_path: Path, keys: Path, target: str) -> None:
    _, text = create_key(keys, "analysts", ["*"], roles=["read"])
    answer = browser(tmp_path).post("/signin", data={"key": text, "next": target})
    assert answer.headers["location"] == "/catalog"


def test_a_loopback_is_open_where_the_setting_says_so_and_for_nobody_elsewhere(
    tmp_path: Path,
) -> None:
    opened: dict[str, Any] = {"access_open_on_loopback": True}
    page = browser(tmp_path, HERE, **opened).get(PAGE)
    assert (page.status_code, "this machine" in page.text) == (404, True)
    assert browser(tmp_path, HERE).get(PAGE).status_code == 303
    assert browser(tmp_path, AWAY, **opened).get(PAGE).status_code == 303
    # A name elsewhere that leads to this machine, and a proxy on it.
    rebound = browser(tmp_path, HERE, "http://evil.example:8081", **opened)
    assert rebound.get(PAGE).status_code == 303
    proxied = browser(tmp_path, HERE, **opened)
    assert proxied.get(PAGE, headers={"x-forwarded-for": "192.0.2.7"}).status_code == 303
    # The API asks for a key all the same.
    assert browser(tmp_path, HERE, **opened).get("/v1/datasets").status_code == 401


def test_a_page_loads_its_style_sheet_and_nothing_else(tmp_path: Path) -> None:
    client = browser(tmp_path)
    form = client.get("/signin")
    policy = form.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self';")
    assert "script" not in policy
    assert "unsafe" not in policy
    assert "<script" not in form.text
    assert " style=" not in form.text
    address = form.text.partition('rel="stylesheet" href="')[2].partition('"')[0]
    style = client.get(address)
    assert style.headers["content-type"].startswith("text/css")
    assert "immutable" in style.headers["cache-control"]
    assert "url(" not in style.text


def test_programs_get_problems_and_browsers_get_pages(tmp_path: Path) -> None:
    client = browser(tmp_path)
    assert "<h1>Not Found</h1>" in client.get("/nowhere").text
    asked = client.get("/nowhere", headers={"accept": "application/json"})
    assert asked.headers["content-type"] == "application/problem+json"
    assert client.get("/v1/events").headers["content-type"] == "application/problem+json"
