"""The real browser that pages are seen in: Debian's Chromium, started to ask nobody anything."""

from __future__ import annotations

import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from tests.stack_process import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Generator

    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
MISSING = "there is no Chromium: apt install chromium"
PATIENCE_MS = 1000 * DEADLINE_SECONDS
_QUIET_MS = 30_000


@contextmanager
def open_browser() -> Generator[Browser]:
    """Start Chromium; while it runs, its event loop lets no other start in this thread."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=CHROMIUM, args=FLAGS, timeout=PATIENCE_MS
        )
        yield started
        started.close()


@contextmanager
def open_page(browser: Browser, **options: Any) -> Generator[Page]:
    """Open a window that waits for its pages as long as every test waits."""
    with browser.new_context(**options) as context:
        context.set_default_timeout(PATIENCE_MS)
        yield context.new_page()


def wait_until_quiet(page: Page) -> None:
    """Let a page fetch what it shows, for a picture; one that never rests is taken as it is."""
    from playwright.sync_api import TimeoutError as NeverQuiet

    with suppress(NeverQuiet):
        page.wait_for_load_state("networkidle", timeout=_QUIET_MS)
