"""A real browser, Debian's Chromium, that notes everything that a page does wrong.

Owns `Chromium` and `Tab`. Called by the tests of tests/pages and by the screenshots. What the
console says, a breach of the content security policy, an error of a script and a dialog all count
as trouble, but for the answer of the page itself that the test has asked for.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.support.browsers import COOKIE
from tests.support.page_world import PageWorld

AXE = Path(__file__).parents[1] / "pages" / "vendor" / "axe-4.14.1.min.js"
AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
WIDE, PHONE = (1440, 900), (390, 844)
ZONE = "Europe/Berlin"
_BREACH = "a breach of the policy:"
_LISTEN = f"""
document.addEventListener("securitypolicyviolation", (event) => {{
  console.error("{_BREACH}", event.violatedDirective, event.blockedURI);
}});
"""
_RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa",
                                                "wcag22aa", "best-practice"]}}  # fmt: skip


class NoChromiumError(Exception):
    """There is no Chromium on this machine."""


def program() -> str:
    """Return where Chromium is. Raises NoChromiumError that says how to get it."""
    found = os.environ.get("RADAR_AUDIT_CHROMIUM") or shutil.which("chromium")
    if found is None:
        raise NoChromiumError(
            "there is no chromium; as root, type: apt-get install -y --no-install-recommends "
            "chromium fonts-dejavu-core fonts-noto-core (or set RADAR_AUDIT_CHROMIUM)"
        )
    return found


@cache
def axe_source() -> str:
    """Return axe-core, the version that is kept here and no other."""
    raw = AXE.read_bytes()
    assert hashlib.sha256(raw).hexdigest() == AXE_SHA256
    return raw.decode()


@dataclass
class Tab:
    """One page of a browser; `trouble` is what went wrong in it so far."""

    page: Page
    url: str
    has_script: bool = True
    trouble: list[str] = field(default_factory=list)

    def open(self, path: str) -> int:
        """Go to a path of the hub, wait until it stands still, and return the answer's status."""
        response = self.page.goto(self.url + path)
        assert response is not None, path
        self.page.wait_for_load_state("load")
        return response.status

    def breaches_of_axe(self) -> list[str]:
        """Return what axe-core finds wrong with the page as it is now."""
        self.page.evaluate(axe_source())
        found = self.page.evaluate("rules => axe.run(document, rules)", _RULES)
        return [
            f"{one['id']}: {one['help']}: {node['html'][:200]}"
            for one in found["violations"]
            for node in one["nodes"]
        ]

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than its window."""
        wide: int = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return wide

    def _hear(self, message: ConsoleMessage) -> None:
        expected = "Failed to load resource" in message.text and "status of 4" in message.text
        if message.type in ("error", "warning") and not expected:
            self.trouble.append(f"{message.type}: {message.text}")


@dataclass
class Chromium:
    """The browser, and the hub that it looks at."""

    browser: Browser
    world: PageWorld

    @contextmanager
    def tab(
        self,
        role: str | None = None,
        *,
        size: tuple[int, int] = WIDE,
        scheme: Any = "light",
        script: bool = True,
        zone: str = ZONE,
    ) -> Iterator[Tab]:
        """Open a tab as a person with a role (None: nobody), and close it with all it knows."""
        context = self.browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,
            java_script_enabled=script,
            timezone_id=zone,
            locale="en-GB",
        )
        try:
            yield self._tab(context, role, script=script)
        finally:
            context.close()

    def _tab(self, context: BrowserContext, role: str | None, *, script: bool) -> Tab:
        url = self.world.url
        if role is not None:
            secret = self.world.browsers[role].secret
            context.add_cookies([{"name": COOKIE, "value": secret, "url": url}])
        if script:
            context.add_init_script(_LISTEN)
        tab = Tab(context.new_page(), url, script)
        tab.page.on("console", tab._hear)
        tab.page.on("pageerror", lambda error: tab.trouble.append(f"script: {error}"))
        tab.page.on("dialog", lambda dialog: tab.trouble.append(f"dialog: {dialog.message}"))
        return tab


@contextmanager
def chromium(world: PageWorld) -> Iterator[Chromium]:
    """Run the browser until the block ends."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program(), args=["--no-sandbox"])
        try:
            yield Chromium(browser, world)
        finally:
            browser.close()
