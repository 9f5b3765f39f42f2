"""Photographs of every page, to be looked at: `make screenshots` writes build/screenshots.

Owns the run: each page as the owner, and as others where it looks different to them, light and
dark, on a phone and on a wide screen. Never compares them with anything: that is for people.
"""

from __future__ import annotations

import itertools
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.pages.walk import BY_ROLE, OUTSIDE, REFUSALS, STOPS, Refusal, Stop, path_of
from tests.support.chromium import PHONE, WIDE, Tab, chromium
from tests.support.page_world import page_world

FOLDER = Path("build") / "screenshots"
_SIZES = {390: PHONE, 1440: WIDE}
_SCHEMES: tuple[Any, ...] = ("light", "dark")


def photograph(folder: Path, only: list[str]) -> int:
    """Write the pictures of all pages, or of those that are named, and return how many."""
    folder.mkdir(parents=True, exist_ok=True)
    taken = 0
    with (
        tempfile.TemporaryDirectory() as data,
        page_world(Path(data)) as world,
        chromium(world) as browser,
    ):
        for (width, size), scheme in itertools.product(_SIZES.items(), _SCHEMES):
            for role, stops in _looks():
                with browser.tab(role, size=size, scheme=scheme) as tab:
                    for stop in stops:
                        name = _file_name(stop.name, role)
                        if only and not {stop.name, name} & set(only):
                            continue
                        tab.open(path_of(stop, world))
                        if isinstance(stop, Refusal):
                            _refuse(tab, stop)
                        name = f"{name}-{width}-{scheme}.png"
                        _photograph(tab, folder / name, size)
                        taken += 1
    return taken


def _refuse(tab: Tab, form: Refusal) -> None:
    """Send a form as the hub refuses it, past what the browser would say of it."""
    tab.page.evaluate("for (const form of document.forms) form.noValidate = true")
    for label, text in form.typed:
        tab.page.get_by_label(label, exact=True).fill(text)
    with tab.page.expect_navigation() as answer:
        tab.page.get_by_role("button", name=form.button, exact=True).first.click()
    assert answer.value is not None
    assert answer.value.status == form.status, form.name


def _photograph(tab: Tab, path: Path, size: tuple[int, int]) -> None:
    """Write a picture of a page from top to bottom, in a window that is as high as the page."""
    high: int = tab.page.evaluate("document.documentElement.scrollHeight")
    tab.page.set_viewport_size({"width": size[0], "height": max(high, size[1])})
    tab.page.screenshot(path=path)
    tab.page.set_viewport_size({"width": size[0], "height": size[1]})


def _looks() -> list[tuple[str | None, list[Stop]]]:
    """Return who looks (None: nobody who is signed in) at what."""
    others = [
        (role, [stop for stop in STOPS if stop.name in names]) for role, names in BY_ROLE.items()
    ]
    owner = [stop for stop in STOPS if stop.name != "org-home"]  # which leads to the log
    return [("owner", [*owner, *REFUSALS]), *others, (None, list(OUTSIDE))]


def _file_name(name: str, role: str | None) -> str:
    """Return a stop's name as a file's; what others than the owner see has names of its own."""
    seen_by = {"owner": "", None: "outside-"}.get(role, f"{role}-")
    return seen_by + re.sub(r"[^a-z0-9]+", "-", name)


def main() -> None:
    """Photograph the pages that the command line names, all of them without a name."""
    taken = photograph(FOLDER, sys.argv[1:])
    print(f"{taken} pictures in {FOLDER}")  # noqa: T201 - a program for people


if __name__ == "__main__":
    main()
