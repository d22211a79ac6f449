"""Dagster's pages on a whole stack, seen in a real browser.

`make screenshots` runs this module and `test_quality_report` with TELEMETRY_SCREENSHOTS set, and
keeps what they saw.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from telemetry_platform.postgres import connect
from tests.browser import CHROMIUM, MISSING, open_page, wait_until_quiet
from tests.integration.dagster_client import DagsterClient
from tests.stack_process import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from telemetry_cli.demo_report import DemoReport
    from telemetry_platform.settings import Settings

FULLEST_HOUR = """
    select to_char(received_hour at time zone 'UTC', 'YYYY-MM-DD"T"HH24') from warehouse.ledger
    group by received_hour order by sum(accepted) desc limit 1
"""

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(CHROMIUM is None, reason=MISSING),
]


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """Open a browser window."""
    with open_page(browser, viewport={"width": 1600, "height": 1000}) as opened:
        yield opened


def test_the_asset_graph_shows_every_layer(
    stack: Settings, report: DemoReport, page: Page, pictures: Path
) -> None:
    assert report.problem == ""
    page.goto(f"{stack.dagster_url}/asset-groups/")
    for group in ("landing", "bronze", "silver", "gold", "warehouse", "marts"):
        page.get_by_text(group, exact=True).first.wait_for()
    wait_until_quiet(page)
    page.screenshot(path=pictures / "asset-graph.png")


def test_the_reconciliation_check_shows_its_account(
    stack: Settings, report: DemoReport, page: Page, pictures: Path
) -> None:
    assert report.problem == ""
    dagster = DagsterClient(stack.dagster_url)
    with connect(stack) as connection:
        found = connection.execute(FULLEST_HOUR).fetchone()
    assert found is not None

    def events_of_the_account() -> int:
        # The page shows what was counted last. That may have been an hour without events, because
        # an hour is over or the schedule fired; so this one is counted now.
        run = dagster.launch_partition("reconcile_hour", found[0])
        wait_until(lambda: dagster.status(run) == "SUCCESS", "the hour is counted")
        return sum(account["accepted"] for account in accounts(stack, page))

    wait_until(lambda: events_of_the_account() > 0, "the account of an hour with events is shown")
    wait_until_quiet(page)
    page.screenshot(path=pictures / "check.png")


def accounts(stack: Settings, page: Page) -> list[dict[str, int]]:
    """Read the accounts of all sources from the page of the check, and see that they add up."""
    page.goto(f"{stack.dagster_url}/assets/gold/ledger?view=checks&checkDetail=reconciliation")
    page.get_by_text("Passed", exact=True).first.wait_for()
    shown_accounts = []
    sources = page.locator("tr", has_text="[Show JSON]")
    sources.first.wait_for()
    for row in sources.all():
        row.get_by_text("[Show JSON]").click()
        shown = page.get_by_role("dialog").inner_text()
        account = json.loads(shown[shown.index("{") : shown.index("}") + 1])
        shown_accounts.append(account)
        assert account["unaccounted"] == 0
        kept = ("silver", "quarantined", "duplicates", "superseded", "erased")
        assert account["accepted"] == sum(account[name] for name in kept)
        page.get_by_role("button", name="Close", exact=True).click()
        page.get_by_role("dialog").wait_for(state="hidden")
    return shown_accounts
