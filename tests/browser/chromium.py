"""A real browser: Debian's Chromium, started by Playwright, and what is asked of each page that it shows.

Note "nothing of the network": it is started for a page on this machine, and asks nobody else.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome")
# As root there is no sandbox to be had, and in a container often not enough of /dev/shm.
ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking", "--no-first-run")
PATIENCE_MS = 30_000  # for what hangs; no measure
PHONE, DESK = {"width": 360, "height": 740}, {"width": 1100, "height": 760}
# Where screenshots go.
SHOTS = Path(os.environ.get("BROWSER_SHOTS") or ROOT / "var/browser")
# What Chromium says of each answer of 400 and more; the pages have their own words for it.
_LOADED = re.compile(r"Failed to load resource: the server responded with a status of [45]\d\d")


def missing() -> str:
    """Why no browser can be used here; empty where one can."""
    absent = [name for name in ("playwright", "axe_playwright_python") if importlib.util.find_spec(name) is None]
    if absent:
        return f"{', '.join(absent)} not installed: run `make browser`"
    if program() is None:
        return "no Chromium on the PATH: apt-get install chromium"
    return ""


def program() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def started() -> Iterator[Any]:
    """The browser, which ends with the block."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program(), args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """One person at one browser window: a context of its own, with its own cookies.

    ``complaints`` has what the browser says against the pages: broken policies, errors of scripts, and each answer of
    500 and more.
    """

    def __init__(self, browser: Any, base_url: str, **settings: Any) -> None:
        chosen = {"viewport": DESK, "color_scheme": "light", "reduced_motion": "reduce", **settings}
        self._context = browser.new_context(base_url=base_url, **chosen)
        self._context.set_default_timeout(PATIENCE_MS)
        self.page = self._context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        self.page.on("response", self._answered)
        self.page.on("requestfailed", self._failed)
        self.elsewhere: list[str] = []
        self.page.on("request", lambda request: self._asked(request, base_url))

    def close(self) -> None:
        self._context.close()

    def go(self, path: str) -> int:
        """The page at ``path``; returns its status."""
        response = self.page.goto(path)
        return int(response.status) if response else 0

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def shoot(self, name: str) -> Path:
        """A screenshot, in the folder of all."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        path = SHOTS / f"{name}.png"
        self.page.screenshot(path=str(path))
        return path

    def violations(self) -> list[str]:
        """What axe finds against the present page: each broken rule with the elements that break it."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        return [f"{each['id']}: {[node['html'][:120] for node in each['nodes']]}" for each in found]

    def width(self) -> int:
        """How wide the page is, in pixels; wider than the window, it would have to be moved sideways."""
        return int(self.page.evaluate("document.documentElement.scrollWidth"))

    def sides(self) -> dict[str, str]:
        """What the ribbon says: which side has answered for which capability."""
        spans = self.page.locator(".ribbon span:has(b)").all_inner_texts()
        return dict(text.split() for text in spans)

    def _said(self, message: Any) -> None:
        if message.type == "error" and not _LOADED.match(message.text):
            self.complaints.append(f"console: {message.text}")

    def _answered(self, response: Any) -> None:
        if response.status >= 500:
            self.complaints.append(f"{response.status}: {response.request.method} {response.url}")

    def _failed(self, request: Any) -> None:
        # A page that is left no longer needs what it has asked for.
        if "ERR_ABORTED" not in (request.failure or ""):
            self.complaints.append(f"{request.failure}: {request.method} {request.url}")

    def _asked(self, request: Any, base_url: str) -> None:
        if not request.url.startswith(base_url):
            self.elsewhere.append(request.url)
