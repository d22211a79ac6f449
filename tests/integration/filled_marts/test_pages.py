"""Catalog and quality pages over filled marts: complete, within a key's scope, for everybody."""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe

from telemetry_contracts.registry import load_registry
from telemetry_platform.access_keys.key_file import create_key
from telemetry_platform.postgres import connect
from tests.browser import CHROMIUM, MISSING, open_browser, open_page
from tests.stack_process import DEADLINE_SECONDS, wait_until
from tests.unit.telemetry_contracts.soil import put, soil

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from telemetry_platform.settings import Settings

# One of each form: axe looks at every element, so more of the same would only take longer.
PAGES = {
    "light": ("/catalog?q=heart", "/catalog/marts/fct_sleep_episodes", "/quality", "/signin"),
    "dark": ("/catalog/marts/fct_sleep_episodes", "/signin"),
}
_MARTS = """
    select c.relname, a.attname, col_description(c.oid, a.attnum), obj_description(c.oid)
    from pg_class as c join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0
    where c.relnamespace = 'marts'::regnamespace and c.relkind in ('r', 'p', 'v')
        and not a.attisdropped
"""


@pytest.fixture(scope="module")
def here(stack: Settings) -> Iterator[httpx.Client]:
    """Return a browser on this machine, which needs no key."""
    with httpx.Client(base_url=stack.access_url, headers=_HTML, timeout=DEADLINE_SECONDS) as client:
        yield client


@pytest.fixture(scope="module")
def phones(stack: Settings) -> Iterator[httpx.Client]:
    """Return a reader of mobile data alone."""
    yield from _reader(stack, "page-phones", ["mobile"], ["read"])


@pytest.fixture(scope="module")
def restricted(stack: Settings) -> Iterator[httpx.Client]:
    """Return a reader who may see tokens."""
    yield from _reader(stack, "page-restricted", ["*"], ["read", "read:restricted"])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium."""
    if CHROMIUM is None:
        pytest.skip(MISSING)
    with open_browser() as started:
        yield started


_HTML = {"accept": "text/html"}


def _reader(
    stack: Settings, name: str, sources: list[str], roles: list[str]
) -> Iterator[httpx.Client]:
    _, text = create_key(stack.secrets_dir / "api_keys.json", name, sources, roles=roles)
    headers = {**_HTML, "x-api-key": text}
    with httpx.Client(
        base_url=stack.access_url, headers=headers, timeout=DEADLINE_SECONDS
    ) as client:
        _wait_for(client, "/catalog")
        yield client


def _wait_for(client: httpx.Client, path: str) -> httpx.Response:
    """Ask until the answer is 200: keys and contracts are followed with a pace."""
    wait_until(
        lambda: client.get(path).status_code == 200,
        f"{path} is there",
        lambda: client.get(path).text,
    )
    return client.get(path)


def _shown(client: httpx.Client, path: str) -> str:
    """Return the text of a page, without its markup."""
    answer = client.get(path)
    assert answer.status_code == 200, f"{path}: {answer.text}"
    return html.unescape(re.sub(r"<[^>]+>", " ", answer.text))


def test_every_mart_has_a_page_that_shows_each_column_with_its_description(
    here: httpx.Client, stack: Settings
) -> None:
    with connect(stack) as connection:
        rows = connection.execute(_MARTS).fetchall()
    index = _shown(here, "/catalog")
    pages = {mart: _shown(here, f"/catalog/marts/{mart}") for mart in {row[0] for row in rows}}
    assert len(pages) >= 19
    for mart, column, description, summary in rows:
        assert column in pages[mart]
        assert description
        assert description in pages[mart], f"{mart}.{column}"
        assert summary in pages[mart]
        assert mart in index


def test_every_table_of_a_contract_has_a_page_with_units_version_and_classification(
    here: httpx.Client,
) -> None:
    for source, contract in load_registry().items():
        bronze, silver = (
            _shown(here, f"/catalog/{each}/{source}") for each in ("bronze", "silver")
        )
        assert f"{source} {contract.version}" in silver
        for field in contract.columns:
            assert field.name in silver
            assert field.description in silver
            assert (f" {field.name} " in bronze) == field.sent
            assert not field.unit or field.unit in silver
        assert ("restricted" in silver) == any(field.restricted for field in contract.fields)


def test_a_dataset_says_how_fresh_and_good_it_is_and_where_it_comes_from(
    here: httpx.Client,
) -> None:
    page = here.get("/catalog/marts/fct_environment_readings").text
    assert re.search(r"environment: refined <time datetime=\"20\d\d-", page)
    assert "estimated from Postgres" in page
    assert page.count("<polyline") + page.count("<circle") >= 4
    lineage = page[page.index('<ol class="lineage">') : page.index("</ol>")]
    for name in ("landing/events", "bronze/environment", "silver/environment"):
        assert f'href="/catalog/{name}"' in lineage
    assert "bronze/mobile" not in lineage
    assert "/assets/marts/fct_environment_readings" in page
    assert "select * from marts.fct_environment_readings" in page
    assert "/v1/readings?" in page
    assert "was not generated" in page
    assert here.get("/dbt").status_code == 404
    devices = _shown(here, "/catalog/marts/agg_metric_minutes")
    assert "Some rows of marts.agg_metric_minutes" in devices


def test_dbt_documentation_is_shown_once_it_was_generated(
    here: httpx.Client, stack: Settings
) -> None:
    stack.access_dbt_docs.parent.mkdir(parents=True, exist_ok=True)
    stack.access_dbt_docs.write_text("<title>dbt docs</title>")
    try:
        answer = here.get("/dbt")
        assert (answer.status_code, answer.text) == (200, "<title>dbt docs</title>")
        assert answer.headers["content-security-policy"].startswith("sandbox allow-scripts;")
        link = '/dbt#!/model/model.telemetry.fct_events"'
        assert link in here.get("/catalog/marts/fct_events").text
    finally:
        stack.access_dbt_docs.unlink()


def test_a_search_finds_names_columns_and_descriptions(here: httpx.Client) -> None:
    page = here.get("/catalog", params={"q": "Heart  RATE"}).text
    for name in ("marts/fct_wearable_days", "marts/agg_heart_rate_by_age", "silver/wearable"):
        assert f'href="/catalog/{name}"' in page
    assert "marts/fct_environment_readings" not in page
    assert "0 datasets" in _shown(here, "/catalog?q=nothing-is-called-so")
    hostile = "\"><script>alert('x')</script>"
    answer = here.get("/catalog", params={"q": hostile})
    assert "<script" not in answer.text
    assert "script-src" not in answer.headers["content-security-policy"]
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_pages_hold_the_scope_of_a_key(phones: httpx.Client, here: httpx.Client) -> None:
    index = phones.get("/catalog").text
    assert "marts/fct_mobile_sessions" in index
    hidden = (
        *("marts/fct_environment_readings", "marts/fct_sleep_episodes", "marts/dim_users"),
        *("silver/wearable", "bronze/environment"),
    )
    for key in hidden:
        assert f'"/catalog/{key}"' not in index
        assert here.get(f"/catalog/{key}").status_code == 200
        refused = phones.get(f"/catalog/{key}")
        assert refused.status_code == 403
        assert "text/html" in refused.headers["content-type"]
    for page in ("/catalog", "/catalog/marts/fct_events", "/quality", "/catalog/gold/ledger"):
        assert "mobile" in _shown(phones, page)
        # The columns' descriptions and the lineage name sources; rows, scores and times do not.
        told = re.sub(
            r"(?s)(<section aria-labelledby=\"(columns|lineage).*?</section>|<li>\n<a.*?</li>)",
            "",
            phones.get(page).text,
        )
        assert not re.search(r"environment|wearable|watch-|sensor-", told), page
    for mart in ("agg_metric_minutes", "rpt_reconciliation", "rpt_quarantine", "dim_devices"):
        told = phones.get(f"/catalog/marts/{mart}").text
        rows = told[told.index("rows-heading", told.index("<section")) :].partition("</section>")[0]
        assert not re.search(r"environment|wearable|watch-|sensor-", rows), mart


def test_tokens_are_for_those_who_may_and_each_look_is_recorded(
    here: httpx.Client, restricted: httpx.Client, stack: Settings
) -> None:
    path = "/catalog/marts/fct_mobile_sessions"
    page = here.get(path).text
    assert "tok_1_someone" not in page
    assert "Left out because they are restricted: user_email." in page
    audit = stack.access_audit_file
    before = audit.read_text().splitlines() if audit.exists() else []
    assert "tok_1_someone" in restricted.get(path).text
    (line,) = audit.read_text().splitlines()[len(before) :]
    assert json.loads(line)["fleet"] == "page-restricted"
    assert json.loads(line)["columns"] == ["user_email"]


def test_a_contract_that_comes_is_in_api_and_catalog_without_a_restart(
    here: httpx.Client, restricted: httpx.Client, stack: Settings
) -> None:
    assert here.get("/catalog/silver/soil").status_code == 404
    stack.contracts_path.mkdir(exist_ok=True)
    put(stack.contracts_path, soil())
    page = _wait_for(here, "/catalog/silver/soil").text
    assert "soil_temperature_celsius" in page
    assert ">soil 1.0.0" in re.sub(r"\n", "", page)
    asked = {"source": "soil", "unit": "degC"}
    as_json = {"accept": "application/json"}
    answer = restricted.get("/v1/metrics/hours", params=asked, headers=as_json)
    assert answer.json()["data"] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_a_phone(
    scheme: Any, browser: Browser, stack: Settings
) -> None:
    with open_page(browser, color_scheme=scheme, viewport={"width": 390, "height": 844}) as page:
        asked: set[str] = set()
        page.on("request", lambda request: asked.add(request.url))
        for path in PAGES[scheme]:
            answer = page.goto(stack.access_url + path)
            assert answer
            assert answer.status == 200
            found = Axe().run(page).response["violations"]
            assert not [v for v in found if v["impact"] in ("serious", "critical")], path
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        assert all(url.startswith((stack.access_url, "data:")) for url in asked)


def test_the_search_and_a_dataset_are_reached_with_the_keyboard(
    browser: Browser, stack: Settings
) -> None:
    with open_page(browser, viewport={"width": 390, "height": 844}) as page:
        page.goto(f"{stack.access_url}/catalog")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        page.keyboard.press("Enter")
        _tab_to(page, "Search names, columns and descriptions", "searchbox")
        page.keyboard.type("heart rate")
        page.keyboard.press("Enter")
        page.wait_for_url("**/catalog?q=heart+rate")
        _tab_to(page, "fct_wearable_days", "link")
        page.keyboard.press("Enter")
        page.wait_for_url("**/catalog/marts/fct_wearable_days")
        assert page.get_by_role("heading", name="fct_wearable_days", level=1).is_visible()
        for region in page.get_by_role("region").filter(has=page.locator("table")).all():
            region.focus()
        assert page.locator("table:not(:has(caption))").count() == 0


def _tab_to(page: Page, name: str, role: Any) -> None:
    target = page.get_by_role(role, name=name)
    for _ in range(40):
        page.keyboard.press("Tab")
        if target.evaluate("element => element === document.activeElement"):
            return
    pytest.fail(f"{name} is not reached with the keyboard")
