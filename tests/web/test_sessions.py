"""The Sessions page finds terminals by state, place and person, as far back as the log is kept."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from radar_audit_events.ids import event_id, source_key
from radar_audit_hub.ingest.prepare import PreparedEvent, prepare
from radar_audit_hub.store.log import append_batch
from radar_audit_hub.web import session_pages

from tests.support.hub_builder import ORG, HubUnderTest
from tests.support.log_rows import NOW_MS, make_event
from tests.support.pages import Elements, reader

PAGE = f"/orgs/{ORG}/sessions"


def halves(number: int, *, ended: bool, pod: str = "api-0", **changes: str) -> list[PreparedEvent]:
    """Return the prepared events of a terminal that began `number` minutes ago."""
    session, start = f"s-{number}", NOW_MS - number * 60_000
    place: dict[str, Any] = {
        "session_id": session,
        "pod": pod,
        "namespace": "payments",
        "cluster_name": "prod",
    }
    end: dict[str, Any] = {"duration_ms": 30_000, "end_reason": "server_closed", "observed": True}
    kinds = [("pod.exec_started", "started", start, place)]
    if ended:
        kinds.append(("pod.exec_ended", "ended", start + 30_000, {**place, **end}))
    made = []
    for action, kind, at_ms, metadata in kinds:
        key = source_key("cl_1", session, kind)
        event = make_event(
            action=action,
            created_at_ms=at_ms,
            id=event_id(at_ms, key),
            metadata={**metadata, **changes},
            actor_email=f"p{number % 2}@acme.com",
        )
        made.append(prepare(event, b"s" * 32, key))
    return made


async def fill(hub: HubUnderTest) -> None:
    rows = [row for n in range(1, 9) for row in halves(n, ended=n % 4 != 0, pod=f"pod-{n % 3}")]
    await append_batch(hub.hub.db, ORG, rows, NOW_MS)


def opened(page: str) -> int:
    """Return how many terminals a page lists."""
    return page.count('data-label="Pod"')


@pytest.mark.parametrize(
    ("params", "count"),
    [
        ({}, 8),
        ({"state": "open"}, 2),
        ({"state": "past"}, 6),
        ({"pod": "pod-1"}, 3),
        ({"pod": "pod-1,pod-2"}, 6),
        ({"pod": "pod*", "state": "open"}, 2),
        ({"namespace": "pay*"}, 8),
        ({"cluster": "prod"}, 8),
        ({"cluster": "cl_1"}, 8),
        ({"cluster": "staging"}, 0),
        ({"actor": "p0@acme.com"}, 4),
        ({"actor": "p1@acme.com", "state": "open"}, 0),
        ({"range": "24h"}, 8),
        ({"state": "nonsense", "range": "nonsense"}, 8),
    ],
)
async def test_terminals_are_found(hub: HubUnderTest, params: dict[str, str], count: int) -> None:
    await fill(hub)
    answer = await (await reader(hub)).get(PAGE, params=params)
    assert answer.status == 200
    assert opened(answer.body.decode()) == count


async def test_open_and_ended_say_so_in_words(hub: HubUnderTest) -> None:
    rows = [*halves(2, ended=True), *halves(5, ended=False)]
    await append_batch(hub.hub.db, ORG, rows, NOW_MS)
    page = Elements(await (await reader(hub)).text(PAGE))
    assert "30 s" in page.text
    assert "closed by the cluster" in page.text
    assert "5 min so far" in page.text
    assert "No end is known" in [one.get("title") for one in page.all("span")]


async def test_same_terminals_are_shown_in_activity(hub: HubUnderTest) -> None:
    """Where they are counted, exported and kept as a view."""
    await fill(hub)
    owner = await reader(hub)
    page = await owner.text(f"{PAGE}?range=24h&pod=pod-1")
    (way,) = re.findall(r'href="([^"]+)"[^>]*>Show in Activity<', page)
    there = Elements(await owner.text(unescape(way)))
    assert "3 events" in there.text


async def test_person_leads_to_all_that_they_did_in_the_same_time(hub: HubUnderTest) -> None:
    await fill(hub)
    page = Elements(await (await reader(hub)).text(f"{PAGE}?range=24h&namespace=payments"))
    ways = [one["href"] for one in page.all("a") if one.get("title", "").startswith("All that")]
    assert f"/orgs/{ORG}/activity?q=actor%3Ap0%40acme.com&range=24h" in ways


@pytest.mark.parametrize("state", ["", "open", "past"])
async def test_pages_go_on_to_the_end_without_doubles(
    hub: HubUnderTest, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_pages, "PAGE_ROWS", 2)
    monkeypatch.setattr(session_pages, "MAX_LOOKED_AT", 4)
    await fill(hub)
    owner = await reader(hub)
    found: list[str] = []
    address: str | None = f"{PAGE}?state={state}"
    while address is not None:
        page = await owner.text(address)
        found += re.findall(r"activity/(ae_\w+)", page)
        older = [a["href"] for a in Elements(page).all("a") if a.get("rel") == "next"]
        address = PAGE + older[0] if older else None
    assert len(found) == len(set(found)) == {"": 8, "open": 2, "past": 6}[state]


async def test_a_cursor_belongs_to_its_filter(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_pages, "PAGE_ROWS", 2)
    await fill(hub)
    owner = await reader(hub)
    page = Elements(await owner.text(PAGE))
    (older,) = [a["href"] for a in page.all("a") if a.get("rel") == "next"]
    assert (await owner.get(f"{PAGE}{older}&pod=pod-1")).status == 400


async def test_a_field_that_cannot_be_read_says_where(hub: HubUnderTest) -> None:
    answer = await (await reader(hub)).get(PAGE, params={"pod": "a*b"})
    assert answer.status == 400
    assert "Pod cannot be read" in answer.body.decode()


async def test_what_is_too_old_is_not_listed(hub: HubUnderTest) -> None:
    await append_batch(hub.hub.db, ORG, halves(400 * 24 * 60, ended=True), NOW_MS)
    await append_batch(hub.hub.db, ORG, halves(3, ended=True), NOW_MS)
    page = await (await reader(hub)).text(PAGE)
    assert opened(page) == 1
    assert "Events older than 365 days are not kept on the Enterprise plan." in page
