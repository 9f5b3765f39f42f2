"""The Activity page of a long log: in the server, on the wire, and in a browser.

Owns the benchmark `activity`, on the seeded PostgreSQL log. Called by `tests.bench`. Shorter logs
of the same kind beside it are what the long one is compared with: the page may not grow with it.
"""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Mapping

from playwright.async_api import Browser, async_playwright
from radar_audit_events.ids import new_id
from radar_audit_hub.credentials import SECRET_BYTES, new_token, token_hash
from radar_audit_hub.store.control import User, ensure_user, insert_member
from radar_audit_hub.store.database import Database
from radar_audit_hub.store.sessions import NewSession, insert_session

from tests.bench.harness import Benchmark, Figure, Goal, Run, ratios
from tests.bench.http_client import HOST, Connection
from tests.bench.hub_process import Served, running_hub
from tests.bench.seed import TENTH_ORG, USUAL_ACTOR, now_ms
from tests.support.browsers import COOKIE
from tests.support.chromium import NoChromiumError, program

_SHORT = "org_small_0"
_REQUESTS = 10
_USER = "user_page_reader"
_GROWTH = 1.3  # the store's bar for ten times as many rows
_TIMES = """() => {
  const [page] = performance.getEntriesByType('navigation');
  const painted = performance.getEntriesByName('first-contentful-paint')[0];
  return [page.responseStart, painted ? painted.startTime : page.loadEventEnd, page.loadEventEnd];
}"""


async def _run(run: Run) -> list[Figure]:
    log = await run.log()
    secret = await _reader(log.dsn, (log.org_id, TENTH_ORG, _SHORT))
    long = f"/orgs/{log.org_id}/activity"
    pages = {
        "long": long,
        "tenth": f"/orgs/{TENTH_ORG}/activity",
        "short": f"/orgs/{_SHORT}/activity",
        "30 days": f"{long}?range=30d",
        "all": f"{long}?range=all",
        "actor": f"{long}?range=all&q=actor:{USUAL_ACTOR}",
        "word": f"{long}?range=all&q=nothing-has-this-word",
        "api": f"/api/orgs/{log.org_id}/audit?limit=50",
    }
    async with running_hub(log.dsn) as hub:
        await _seconds(hub, pages, secret)  # fills the caches, outside the measurement
        rounds = [await _seconds(hub, pages, secret) for _ in range(run.rounds)]
        values = {name: [one[name] for one in rounds] for name in pages}
        in_browser = await _in_browser(hub, long, secret, run.rounds)

    def told(name: str, label: str) -> Figure:
        return Figure(label, tuple(1000 * value for value in values[name]), unit="ms")

    return [
        Figure(
            "page of the long log against one a tenth as long (time)",
            ratios(values["long"], values["tenth"]),
            Goal(_GROWTH, at_most=True),
            f"{1000 * statistics.median(values['tenth']):.1f} ms that one",
        ),
        Figure(
            "the same against one a thousandth as long",
            ratios(values["long"], values["short"]),
            note=f"{1000 * statistics.median(values['short']):.1f} ms that one",
        ),
        told("api", "50 events by the API, last byte"),
        told("long", "the page, last byte: 7 days"),
        told("30 days", "30 days"),
        told("all", "360 days"),
        told("actor", "360 days of one actor"),
        told("word", "360 days, a word that is nowhere"),
        *in_browser,
    ]


async def _reader(dsn: str, orgs: tuple[str, ...]) -> str:
    """Make an owner of the orgs with a session, and return its secret."""
    secret, now = new_token("rhs", os.urandom(SECRET_BYTES)), now_ms()
    database = await Database.open(dsn)
    try:
        async with database.write() as conn:
            user = User(id=_USER, email="page-reader@example.com", created_at_ms=now)
            await ensure_user(conn, user)
            for org_id in orgs:
                await insert_member(conn, org_id, _USER, "owner", now)
            new = NewSession(
                secret_hash=token_hash(secret),
                id=new_id("ses_", now, os.urandom(10)),
                user_id=_USER,
                method="link",
                ip=None,
                user_agent=None,
                created_at_ms=now,
                expires_at_ms=now + 86_400_000,
            )
            await insert_session(conn, new)
    finally:
        await database.close()
    return secret


async def _seconds(hub: Served, pages: Mapping[str, str], secret: str) -> dict[str, float]:
    """Return for each page the median seconds from a request to the answer's last byte.

    The pages take turns at every request: what else the machine does meanwhile, all of them feel.
    """
    taken: dict[str, list[float]] = {name: [] for name in pages}
    connection = await Connection.open(hub.port)
    gc.collect()
    for _ in range(_REQUESTS):
        for name, path in pages.items():
            head = f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nCookie: {COOKIE}={secret}\r\n\r\n"
            begun = time.perf_counter()
            await connection.exchange(head.encode())
            taken[name].append(time.perf_counter() - begun)
    connection.close()
    return {name: statistics.median(times) for name, times in taken.items()}


async def _in_browser(hub: Served, path: str, secret: str, rounds: int) -> list[Figure]:
    """Return what a browser says of the page: nothing where there is no browser."""
    try:
        where = program()
    except NoChromiumError as error:
        return [Figure("in a browser", (0.0,), note=str(error), unit="ms")]
    url = f"http://{HOST}:{hub.port}"
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=where, args=["--no-sandbox"])
        try:
            times = [await _loaded(browser, url, path, secret) for _ in range(rounds + 1)][1:]
        finally:
            await browser.close()
    labels = ("first byte", "first paint", "loaded and drawn")
    return [
        Figure(f"in Chromium: {label}", tuple(one[n] for one in times), unit="ms")
        for n, label in enumerate(labels)
    ]


async def _loaded(browser: Browser, url: str, path: str, secret: str) -> list[float]:
    context = await browser.new_context(viewport={"width": 1440, "height": 900})
    await context.add_cookies(
        [
            {"name": COOKIE, "value": secret, "url": url},
            {"name": "radar_audit_zone", "value": "UTC", "url": url},
        ]
    )
    page = await context.new_page()
    await page.goto(url + path)
    await page.wait_for_load_state("load")
    found: list[float] = await page.evaluate(_TIMES)
    await context.close()
    return found


ACTIVITY = Benchmark(
    "activity",
    "The Activity page",
    "Time from the request to the last byte, one request at a time, on the seeded log; in "
    "Chromium from the navigation's begin, with a cold cache, on the same machine. The page has "
    "50 events, counts by action, type and actor, and a histogram.",
    _run,
)
