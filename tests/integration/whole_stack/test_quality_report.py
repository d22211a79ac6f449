"""The quality report of a whole stack: scored from marts, kept in the bucket, seen in a browser.

`make screenshots` runs this module with TELEMETRY_SCREENSHOTS set and keeps what it saw.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from telemetry_cli.privacy_scan import simulated_values
from telemetry_contracts.quality_dimensions import NAMES
from telemetry_platform.objects import s3_client
from telemetry_platform.postgres import dsn
from telemetry_platform.quality.storing import FOLDER, LATEST
from tests.browser import CHROMIUM, MISSING, open_page, wait_until_quiet
from tests.integration.dagster_client import DagsterClient
from tests.integration.whole_stack.settling import wait_until_settled
from tests.stack_process import telemetry, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from telemetry_cli.demo_report import DemoReport
    from telemetry_platform.settings import Settings

pytestmark = pytest.mark.integration

SOURCES = {"environment", "mobile", "wearable"}
LIGHT, DARK = "rgb(246, 247, 249)", "rgb(18, 22, 29)"


@pytest.fixture(scope="module")
def stored(stack: Settings, report: DemoReport) -> str:
    """Let Dagster write the report; returns the page in the bucket."""
    assert report.problem == ""
    wait_until_settled(stack)
    dagster = DagsterClient(stack.dagster_url)
    run = dagster.launch_job("report_quality", {})
    wait_until(lambda: dagster.status(run) in {"SUCCESS", "FAILURE"}, "the report is written")
    assert dagster.status(run) == "SUCCESS"
    client = s3_client(stack)
    return client.get_object(Bucket=stack.s3_bucket, Key=LATEST)["Body"].read().decode()


def test_every_source_and_day_with_accepted_events_has_six_scores(
    stack: Settings, report: DemoReport
) -> None:
    assert report.problem == ""
    wait_until_settled(stack)
    days = _query(
        stack,
        "select source, (received_hour at time zone 'UTC')::date from warehouse.ledger "
        "where accepted > 0 group by 1, 2",
    )
    scored = _query(
        stack,
        "select source, received_day, count(score) from marts.rpt_data_quality group by 1, 2",
    )
    assert {source for source, _ in days} == SOURCES
    assert {(source, day): 6 for source, day in days}.items() <= {
        (source, day): scores for source, day, scores in scored
    }.items()


def test_dagster_checks_each_source_and_keeps_a_page_for_the_day(
    stack: Settings, stored: str
) -> None:
    outcomes = DagsterClient(stack.dagster_url).check_outcomes(["reports", "quality"])
    assert {name for name, _ in outcomes} == SOURCES
    listing = s3_client(stack).list_objects_v2(Bucket=stack.s3_bucket, Prefix=f"{FOLDER}/")
    kept = {entry["Key"].removeprefix(f"{FOLDER}/") for entry in listing["Contents"]}
    assert "latest.html" in kept
    assert any(re.fullmatch(r"\d{4}-\d{2}-\d{2}\.html", name) for name in kept), kept
    assert all(f">{source}</h2>" in stored for source in SOURCES)


def test_samples_show_what_failed_and_no_personal_value(stored: str) -> None:
    assert "unique.event_id" in stored or "range." in stored
    assert "Some of these events" in stored
    assert simulated_values().count(stored.encode()) == 0


def test_the_command_writes_the_same_scores_and_a_page(
    stack: Settings, stored: str, tmp_path: Path
) -> None:
    assert stored
    wait_until_settled(stack)
    page = tmp_path / "quality.html"
    done = telemetry(stack.home, "quality", "--json", "--days", "7", "--output", str(page))
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    assert page.read_text().startswith("<!doctype html>")
    found = {
        (source["source"], day["day"], name): (figures["checked"], figures["failed"])
        for source in document["sources"]
        for day in source["days"]
        for name, figures in day["dimensions"].items()
    }
    rows = _query(
        stack,
        "select source, received_day::text, quality_dimension, checked, failed "
        "from marts.rpt_data_quality where received_day > current_date - 7",
    )
    assert found == {row[:3]: row[3:] for row in rows}
    assert document["reconciliation"]["not_adding_up"] == 0


@pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("device", "width"), [("phone", 390), ("desktop", 1280)])
def test_the_page_reads_on_phone_and_desktop_in_light_and_dark(  # noqa: PLR0913 - fixtures
    *,
    stored: str,
    browser: Browser,
    pictures: Path,
    tmp_path: Path,
    scheme: Any,
    device: str,
    width: int,
) -> None:
    file = tmp_path / "quality.html"
    file.write_text(stored)
    with open_page(browser, color_scheme=scheme, viewport={"width": width, "height": 900}) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        page.screenshot(path=pictures / f"quality-{device}-{scheme}.png")
        assert asked == [file.as_uri()]
        _reads_well(page)
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == (DARK if scheme == "dark" else LIGHT)


def _reads_well(page: Page) -> None:
    """Hold the open page against what everybody can read without a mouse."""
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    for heading in ("At a glance", "Account of events", "How scores are made", *SOURCES):
        assert page.get_by_role("heading", name=heading, exact=True).is_visible()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the scores"
    # What is wider than the screen can be scrolled with the keyboard.
    for region in page.get_by_role("region").filter(has=page.locator("table")).all():
        if region.get_attribute("class") == "scroll":
            region.focus()
            assert region.evaluate("e => document.activeElement === e")
    charts = page.get_by_role("img").all()
    assert len(charts) == len(NAMES) * len(SOURCES)
    assert all(chart.get_attribute("aria-label") for chart in charts)
    assert page.locator("table:not(:has(caption))").count() == 0
    assert page.locator("[title]").count() == 0


@pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
def test_the_check_of_a_source_shows_its_scores_in_dagster(
    stack: Settings, stored: str, browser: Browser, pictures: Path
) -> None:
    assert stored
    with open_page(browser, viewport={"width": 1600, "height": 1000}) as page:
        page.goto(f"{stack.dagster_url}/assets/reports/quality?view=checks&checkDetail=mobile")
        scores = page.locator("tr", has_text="scores")
        scores.first.wait_for()
        wait_until_quiet(page)
        page.screenshot(path=pictures / "quality-check.png")
        for name in NAMES:
            page.get_by_text(name, exact=True).first.wait_for()
        scores.get_by_text("[Show Markdown]").first.click()
        page.get_by_role("dialog").get_by_text("most broken rule").wait_for()


def _query(stack: Settings, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn(stack)) as connection:
        return connection.execute(sql.encode()).fetchall()
