"""The trace page over a simulator's run, as people see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser import CHROMIUM, MISSING, open_page

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from telemetry_platform.settings import Settings

pytestmark = pytest.mark.integration

WAY = ["received", "landed", "bronze", "silver", "partials", "marts"]


@pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
@pytest.mark.parametrize(
    ("device", "width", "scheme"), [("phone", 390, "dark"), ("desktop", 1280, "light")]
)
def test_the_page_leads_from_a_receipt_to_an_event_by_keyboard(  # noqa: PLR0913 - fixtures
    *,
    stack: Settings,
    entries: list[dict[str, Any]],
    browser: Browser,
    pictures: Path,
    device: str,
    width: int,
    scheme: Any,
) -> None:
    entry = next(each for each in entries if each["rejected"] and each["accepted"])
    with open_page(browser, color_scheme=scheme, viewport={"width": width, "height": 900}) as page:
        page.goto(f"{stack.access_url}/trace/kitchen")
        assert "An id is a receipt" in page.get_by_role("alert").inner_text()
        page.get_by_label("Receipt or event id").fill(entry["receipt_id"])
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/trace/{entry['receipt_id']}")
        _reads_well(page, device)
        page.screenshot(path=pictures / f"trace-receipt-{device}.png", full_page=True)
        page.get_by_role("row").filter(has_text="kept").first.get_by_role("link").press("Enter")
        page.get_by_role("heading", name="Arrival 1 of event").wait_for()
        page.wait_for_load_state()
        steps = page.get_by_role("heading", level=3).all_inner_texts()
        assert [step.lower() for step in steps] == WAY
        _reads_well(page, device)
        page.screenshot(path=pictures / f"trace-event-{device}.png", full_page=True)


def _reads_well(page: Page, device: str) -> None:
    """Hold the open page against what everybody can read."""
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    if device != "phone":
        return
    # It takes seconds, and a phone in the dark is where colours and widths fail first.
    found = Axe().run(page).response["violations"]
    assert not [each["id"] for each in found if each["impact"] in {"serious", "critical"}]
