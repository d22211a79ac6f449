"""Dagster's pages on a whole stack, seen in a real browser.

`make screenshots` runs this module and `test_quality_report` with TELEMETRY_SCREENSHOTS set, and
keeps what they saw.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.browser import CHROMIUM, MISSING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from telemetry_cli.demo_report import DemoReport
    from telemetry_platform.settings import Settings

LOADED_MS = 60_000

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(CHROMIUM is None, reason=MISSING),
]


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """Open a browser window."""
    with browser.new_page(viewport={"width": 1600, "height": 1000}) as opened:
        yield opened


def test_the_asset_graph_shows_every_layer(
    stack: Settings, report: DemoReport, page: Page, pictures: Path
) -> None:
    assert report.problem == ""
    page.goto(f"{stack.dagster_url}/asset-groups/")
    for group in ("landing", "bronze", "silver", "gold", "warehouse", "marts"):
        page.get_by_text(group, exact=True).first.wait_for(timeout=LOADED_MS)
    page.wait_for_load_state("networkidle")
    page.screenshot(path=pictures / "asset-graph.png")


def test_the_reconciliation_check_shows_its_account(
    stack: Settings, report: DemoReport, page: Page, pictures: Path
) -> None:
    assert report.problem == ""
    page.goto(f"{stack.dagster_url}/assets/gold/ledger?view=checks&checkDetail=reconciliation")
    page.get_by_text("Passed", exact=True).first.wait_for(timeout=LOADED_MS)
    page.wait_for_load_state("networkidle")
    page.screenshot(path=pictures / "check.png")
    sources = page.locator("tr", has_text="[Show JSON]")
    assert sources.count()
    for row in sources.all():
        row.get_by_text("[Show JSON]").click()
        shown = page.get_by_role("dialog").inner_text(timeout=LOADED_MS)
        account = json.loads(shown[shown.index("{") : shown.index("}") + 1])
        assert account["accepted"] > 0
        assert account["unaccounted"] == 0
        kept = ("silver", "quarantined", "duplicates", "superseded", "erased")
        assert account["accepted"] == sum(account[name] for name in kept)
        page.get_by_role("button", name="Close", exact=True).click()
        page.get_by_role("dialog").wait_for(state="hidden", timeout=LOADED_MS)
