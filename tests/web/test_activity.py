"""The Activity page shows what the API finds: filters, paging, terminals, views, retention."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from radar_audit_events.event import Event
from radar_audit_events.ids import event_id, source_key
from radar_audit_hub.ingest.prepare import prepare
from radar_audit_hub.store.control import get_org
from radar_audit_hub.store.log import append_batch
from radar_audit_hub.store.log_views import log_view
from radar_audit_hub.store.members import update_org
from radar_audit_hub.store.saved_views import MAX_VIEWS
from sqlalchemy import select

from tests.support.hub_builder import ORG, HubUnderTest, events_of
from tests.support.log_rows import DAY_MS, NOW_MS, make_event
from tests.support.pages import Elements, member, reader

PAGE = f"/orgs/{ORG}/activity"
_PERMALINK = re.compile(rf"{PAGE}/(ae_[0-9A-Z]{{26}})\"")


def shown(page: str) -> list[str]:
    """Return the ids of the events that have a row of their own, in order."""
    return list(dict.fromkeys(_PERMALINK.findall(page)))


async def terminal(
    hub: HubUnderTest, session: str = "s-9", *, start_ms: int = NOW_MS - 60_000, ended: bool = True
) -> list[str]:
    """Store start and end of a terminal as collectors send them; return their ids."""
    place: dict[str, Any] = {"session_id": session, "pod": "api-0"}
    end: dict[str, Any] = {
        **place,
        "duration_ms": 42_000,
        "end_reason": "client_closed",
        "observed": True,
    }
    made: list[tuple[Event, bytes]] = []
    kinds = [("pod.exec_started", "started", start_ms, place)]
    if ended:
        kinds.append(("pod.exec_ended", "ended", start_ms + 42_000, end))
    for action, kind, at_ms, metadata in kinds:
        key = source_key("cl_1", session, kind)
        event = make_event(
            action=action, created_at_ms=at_ms, metadata=metadata, id=event_id(at_ms, key)
        )
        made.append((event, key))
    rows = [prepare(event, b"s" * 32, key) for event, key in made]
    await append_batch(hub.hub.db, ORG, rows, NOW_MS)
    return [event.id for event, _ in made]


@pytest.mark.parametrize(
    "query", ["", "action:auth.*", "actor:bob@acme.com -action:pod.*", "type:org", "payments"]
)
async def test_page_shows_exactly_what_the_api_finds(hub: HubUnderTest, query: str) -> None:
    await hub.append(*events_of(30, action="auth.signin"))
    await hub.append(*events_of(30, action="org.updated", actor_email="bob@acme.com"))
    await hub.append(*events_of(5, action="pat.created", metadata={"name": "payments"}))
    owner = await reader(hub)
    wanted = (await hub.get("", params={"q": query, "limit": "500"} if query else {})).ids
    found: list[str] = []
    address: str | None = PAGE
    params = {"q": query, "range": "all"}
    while address is not None:
        answer = await owner.get(address, params=params)
        assert answer.status == 200
        page = answer.body.decode()
        found += shown(page)
        older = [a["href"] for a in Elements(page).all("a") if a.get("rel") == "next"]
        address = PAGE if older else None
        params = dict(parse_qsl(urlsplit(older[0]).query)) if older else {}
    assert found == wanted
    assert len(set(found)) == len(found)


async def test_a_sent_form_goes_on_to_an_address_that_can_be_kept(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    sent = {"q": "prod", "q0": "prod", "action": "pod.*", "type": "", "actor": "", "range": "24h",
            "range0": "7d", "from": "", "to": ""}  # fmt: skip
    answer = await owner.get(PAGE, params=sent)
    assert answer.status == 303
    assert answer.headers["Location"] == f"{PAGE}?q=prod+action%3Apod.%2A&range=24h"
    page = Elements(await owner.text(answer.headers["Location"]))
    assert {"id": "q", "value": "prod action:pod.*"}.items() <= next(
        one for one in page.all("input") if one.get("id") == "q"
    ).items()


async def test_a_mistake_keeps_everything_that_was_typed(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    typed = {"q": "namespace:", "q0": "", "action": "exec", "actor": "bob@acme.com", "type": "pod",
             "cluster": "prod", "namespace": "pay*"}  # fmt: skip
    answer = await owner.get(PAGE, params=typed)
    assert answer.status == 400
    page = Elements(answer.body.decode())
    assert "The query cannot be read at character 11: expected a value" in page.text
    values = {one.get("name"): one.get("value") for one in page.all("input")}
    for name in ("q", "action", "actor", "cluster", "namespace"):
        assert values[name] == typed[name]


async def test_exports_are_of_exactly_what_is_filtered(hub: HubUnderTest) -> None:
    await hub.append(*events_of(3), *events_of(4, action="auth.signin"))
    owner = await reader(hub)
    page = Elements(await owner.text(f"{PAGE}?q=action:auth.*&range=24h"))
    links = [a["href"] for a in page.all("a") if "format=" in a["href"]]
    assert len(links) == 2
    for link in links:
        answer = await owner.get(link)
        assert answer.status == 200
        assert answer.body.count(b"auth.signin") == 4
        assert b"pod." not in answer.body


async def test_start_and_end_of_a_terminal_are_one_row(hub: HubUnderTest) -> None:
    started, ended = await terminal(hub)
    owner = await reader(hub)
    page = await owner.text(PAGE)
    assert shown(page) == [ended]
    assert "closed by the person after" in page
    assert "<strong>42 s</strong>" in page
    # Each half where the filter finds only that one.
    assert shown(await owner.text(f"{PAGE}?q=action:pod.exec_started")) == [started]
    assert shown(await owner.text(f"{PAGE}?q=action:pod.exec_ended")) == [ended]
    for one, other in ((started, ended), (ended, started)):
        event = await owner.text(f"{PAGE}/{one}")
        assert f'href="{PAGE}/{other}"' in event
        assert "42 s" in event


async def test_a_terminal_without_an_end_is_shown_as_open(hub: HubUnderTest) -> None:
    (started,) = await terminal(hub, ended=False)
    owner = await reader(hub)
    page = await owner.text(PAGE)
    assert shown(page) == [started]
    assert ">Open</span>" in page


async def test_a_start_is_part_of_its_ends_row_on_another_page_too(hub: HubUnderTest) -> None:
    started, ended = await terminal(hub, start_ms=NOW_MS - 90_000)
    await hub.append(*events_of(80, action="auth.signin"))
    owner = await reader(hub)
    first = await owner.text(PAGE)
    (older,) = [a["href"] for a in Elements(first).all("a") if a.get("rel") == "next"]
    both = shown(first) + shown(await owner.text(older))
    assert ended in both
    assert started not in both


@pytest.mark.parametrize("text", ["yesterday", "", "2026-11-18T10:00:00Z"])
async def test_an_end_alone_is_shown_whatever_it_says_of_its_start(
    hub: HubUnderTest, text: str
) -> None:
    (ended,) = await hub.append(make_event(action="pod.exec_ended", metadata={"started_at": text}))
    owner = await reader(hub)
    page = await owner.text(PAGE)
    assert shown(page) == [ended]
    assert ("opened <time" in page) == text.startswith("2026")
    assert "Pod terminal" in await owner.text(f"{PAGE}/{ended}")


async def test_a_refusal_is_marked_by_a_word(hub: HubUnderTest) -> None:
    denied = {"namespace": "payments-api"}
    await hub.append(make_event(action="cluster.action_denied", metadata=denied))
    text = Elements(await (await reader(hub)).text(PAGE)).text
    assert "Denied" in text
    assert "namespace payments-api" in text, "where it was, as it is of no pod"


async def test_counts_and_bars_lead_to_what_they_count(hub: HubUnderTest) -> None:
    await hub.append(*events_of(7, action="auth.signin"), *events_of(2, action="org.updated"))
    owner = await reader(hub)
    page = Elements(await owner.text(PAGE))
    assert "9 events" in page.text
    narrower = [a["href"] for a in page.all("a") if "action%3Aauth.signin" in a["href"]]
    assert len(shown(await owner.text(narrower[0]))) == 7
    bars = {a["href"] for a in page.all("a") if "created%3A" in a["href"]}
    counts = [len(shown(await owner.text(bar))) for bar in bars]
    assert sum(counts) == 9


async def test_where_nothing_was_counted_no_bars_are_drawn(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    page = await owner.text(PAGE)
    assert '<svg class="bars"' not in page
    assert "Nothing happened in this time" in page
    await hub.append(make_event(action="auth.signin"))
    assert '<svg class="bars"' in await owner.text(PAGE)
    assert '<svg class="bars"' not in await owner.text(f"{PAGE}?q=action:pod.*")


async def test_views_are_ones_own_and_bounded(hub: HubUnderTest) -> None:
    owner, auditor = await reader(hub), await member(hub, "auditor")
    answer = await owner.post(f"{PAGE}/views", name="Mine", q="action:auth.*  prod", range="30d")
    assert answer.status == 303
    assert answer.headers["Location"] == f"{PAGE}?q=action%3Aauth.%2A+prod&range=30d"
    page = await owner.text(PAGE)
    assert "Mine" in page
    assert "Mine" not in await auditor.text(PAGE)
    (delete,) = set(re.findall(rf"{PAGE}/views/view_\w+/delete", page))
    assert (await auditor.post(delete)).status == 404
    assert (await owner.post(delete)).status == 303
    assert "Mine" not in await owner.text(PAGE)
    for number in range(MAX_VIEWS):
        await owner.post(f"{PAGE}/views", name=f"n{number}", q="", range="")
    assert (await owner.post(f"{PAGE}/views", name="one more", q="", range="")).status == 409


@pytest.mark.parametrize(
    "fields", [{"name": ""}, {"name": "x" * 101}, {"name": "ok", "q": "nope:"}, {"name": "a\x00b"}]
)
async def test_a_view_that_is_none_is_refused(hub: HubUnderTest, fields: dict[str, str]) -> None:
    assert (await (await reader(hub)).post(f"{PAGE}/views", **fields)).status == 422


async def test_views_end_with_the_membership(hub: HubUnderTest) -> None:
    auditor = await member(hub, "auditor")
    await auditor.post(f"{PAGE}/views", name="Mine", q="", range="")
    user_id = (await hub.send("GET", f"/api/orgs/{ORG}/members")).json["members"]
    theirs = next(one["user_id"] for one in user_id if one["role"] == "auditor")
    await hub.send("DELETE", f"/api/orgs/{ORG}/members/{theirs}")
    async with hub.hub.db.write() as conn:
        from_store = await conn.exec_driver_sql("SELECT count(*) FROM saved_view")
        assert from_store.scalar_one() == 0


async def test_what_is_too_old_is_not_shown_and_the_page_says_so(hub: HubUnderTest) -> None:
    await hub.append(
        make_event(1, action="auth.signin", created_at_ms=NOW_MS - 8 * DAY_MS),
        make_event(2, action="auth.signin", created_at_ms=NOW_MS - 6 * DAY_MS),
    )
    async with hub.hub.db.write() as conn:
        org = await get_org(conn, ORG)
        assert org is not None
        await update_org(conn, replace(org, plan="free"))
        await conn.exec_driver_sql("UPDATE org SET plan = 'free'")
    owner = await reader(hub)
    page = await owner.text(f"{PAGE}?range=30d")
    assert len(shown(page)) == 1
    assert "Events older than 7 days are not kept on the Free plan." in page
    assert "1 event" in Elements(page).text


async def test_looks_at_the_pages_are_recorded_where_the_org_wants_it(hub: HubUnderTest) -> None:
    (event,) = await hub.append(make_event(action="auth.signin"))
    auditor = await member(hub, "auditor")
    pages = (PAGE, f"{PAGE}/{event}", f"/orgs/{ORG}/sessions")
    for path in pages:
        await auditor.text(path)
    assert await reads(hub) == []
    await hub.send("PATCH", f"/api/orgs/{ORG}", json={"record_log_access": True})
    for path in pages:
        await auditor.text(path)
    await auditor.get(PAGE, params={"q0": "", "action": "pod.*"})  # only sends the browser on
    assert await reads(hub) == [3]


async def reads(hub: HubUnderTest) -> list[int]:
    async with hub.hub.db.read() as conn:
        return [row.requests for row in await conn.execute(select(log_view))]


async def test_times_are_on_the_readers_clock(hub: HubUnderTest) -> None:
    at_ms = 1_794_999_600_000  # 2026-11-18T11:00:00Z
    await hub.append(make_event(action="auth.signin", created_at_ms=at_ms))
    owner = await reader(hub)
    assert ">18 Nov 2026, 11:00:00<" in await owner.text(PAGE)
    answer = await owner.post("/preferences/zone", zone="Asia/Tokyo", return_to=PAGE)
    assert (answer.status, answer.headers["Location"]) == (303, PAGE)
    page = await owner.text(PAGE)
    assert ">18 Nov 2026, 20:00:00<" in page
    assert 'title="2026-11-18 11:00:00.000 UTC"' in page
    owner.cookies["radar_audit_zone"] = "../../etc/passwd"
    assert ">18 Nov 2026, 11:00:00<" in await owner.text(PAGE)


async def test_times_of_the_metadata_are_on_the_readers_clock_in_a_row(hub: HubUnderTest) -> None:
    """As they stand in the event they are in its fields."""
    stamp = "2026-11-25T11:06:40.000Z"
    metadata = {"name": "ci-bot", "scopes": [], "expires_at": stamp}
    await hub.append(make_event(action="pat.created", metadata=metadata))
    owner = await reader(hub)
    owner.cookies["radar_audit_zone"] = "Asia/Tokyo"
    page = Elements(await owner.text(PAGE))
    assert "expires_at 25 Nov 2026, 20:06:40" in page.text
    assert stamp in page.words
    assert "Times in Asia/Tokyo" in page.text


async def test_row_leads_to_all_that_its_actor_did(hub: HubUnderTest) -> None:
    """An auditor who found a terminal goes on from it: not within the filter that found it."""
    place = {"pod": "api-0", "namespace": "payments-api"}
    await hub.append(
        make_event(1, action="pod.exec_started", metadata=place, actor_email="eve@acme.com"),
        make_event(2, action="auth.signin", actor_email="eve@acme.com"),
        make_event(3, action="auth.signin", actor_email="bob@acme.com"),
    )
    owner = await reader(hub)
    sent = {"q": "", "q0": "", "namespace": "payments-api", "range": "7d", "range0": "7d"}
    answer = await owner.get(PAGE, params=sent)
    found = await owner.text(answer.headers["Location"])
    assert len(shown(found)) == 1
    assert {"id": "namespace", "value": "payments-api"}.items() <= next(
        one for one in Elements(found).all("input") if one.get("id") == "namespace"
    ).items()
    (way,) = re.findall(r'href="([^"]+)">All that this actor did<', found)
    assert len(shown(await owner.text(unescape(way)))) == 2


async def test_an_event_of_another_org_or_none_is_not_there(hub: HubUnderTest) -> None:
    await hub.add_org("org_y")
    (foreign,) = await hub.append(make_event(action="auth.signin", org_id="org_y"), org_id="org_y")
    owner = await reader(hub)
    assert (await owner.get(f"{PAGE}/{foreign}")).status == 404
    assert (await owner.get(f"{PAGE}/nonsense")).status == 404


async def test_a_damaged_cursor_is_a_page_that_says_so(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    answer = await owner.get(f"{PAGE}?q=action%3Aauth.signin&cursor=abc&range=30d")
    assert answer.status == 400
    found = Elements(answer.body.decode())
    assert "The link to it is damaged" in found.text
    assert "cursor" not in found.text
    (way,) = [link["href"] for link in found.all("a") if link["href"].startswith(f"{PAGE}?")]
    assert way == f"{PAGE}?q=action:auth.signin&range=30d"
    await owner.text(way)
