"""Every page and every kind of visitor, against one table of who may what."""

from __future__ import annotations

from tests.support.hub_builder import ORG, Answer, HubUnderTest
from tests.support.pages import Reader, member
from tests.web.pages_table import ANYBODY, PERSON, TABLE, Row

ROLES = ("owner", "auditor", "member", "viewer")
PARTS = {
    "name": "nothing.css",
    "event_id": "ae_" + "0" * 26,
    "view_id": "view_nothing",
    "user_id": "user_nobody",
    "invitation_id": "inv_nothing",
    "cluster_id": "cl_nothing",
    "pat_id": "pat_nothing",
    "destination_id": "nd_nothing",
    "message_id": "msg_nothing",
    "rule": "nothing",
    "exception": "nothing",
    "notice_id": "ntc_nothing",
}


async def ask(visitor: Reader, row: Row, org_id: str) -> Answer:
    path = row.path.format(org_id=org_id, **PARTS)
    return await (visitor.get(path) if row.method == "GET" else visitor.post(path))


def expected(row: Row, role: str | None) -> tuple[int, ...]:
    """Return the answers that are right for a role; None: a person of no org."""
    if row.path == "/signin":
        return (303,)  # they are signed in
    if row.who in (ANYBODY, PERSON):
        return (row.passing,)
    if role is None:
        return (404,)
    return (row.passing, 303) if role in row.who.split() else (403,)


def test_every_page_has_a_row(hub: HubUnderTest) -> None:
    served = {
        (route.method, route.resource.canonical)
        for route in hub.app.router.routes()
        if route.resource is not None and not route.resource.canonical.startswith("/api/")
    }
    assert sorted((row.method, row.path) for row in TABLE) == sorted(served), "pages_table.py"


async def test_every_role_gets_what_the_table_says(hub: HubUnderTest) -> None:
    wrong = []
    lookers = {role: await member(hub, role) for role in (*ROLES, None)}
    for row in TABLE:
        for role in (*ROLES, None):
            # What is not refused may end the session or the membership: by somebody new, then.
            changes = row.method == "POST" and row.passing == 303
            visitor = await member(hub, role) if changes else lookers[role]
            answer = await ask(visitor, row, ORG)
            if row.path == "/" and role is None:
                assert answer.headers["Location"] == "/orgs/new"
            if answer.status not in expected(row, role):
                wrong.append((row, role, answer.status))
    assert not wrong


async def test_nobody_is_sent_to_sign_in_and_back(hub: HubUnderTest) -> None:
    for row in TABLE:
        answer = await ask(Reader(hub), row, ORG)
        if row.who == ANYBODY:
            assert answer.status == row.passing, row
            continue
        assert answer.status == 303, row
        location = answer.headers["Location"]
        assert location.startswith("/signin"), row
        assert ("return_to" in location) == (row.method == "GET"), row


async def test_unknown_and_foreign_org_look_alike(hub: HubUnderTest) -> None:
    await hub.add_org("org_foreign")
    owner = await member(hub, "owner")
    for row in TABLE:
        if "{org_id}" not in row.path:
            continue
        foreign = await ask(owner, row, "org_foreign")
        unknown = await ask(owner, row, "org_unknown_")
        assert foreign.status == unknown.status == 404, row

        def told(answer: Answer, org_id: str) -> bytes:
            kept = answer.body.replace(answer.headers["X-Request-Id"].encode(), b"")
            return kept.replace(org_id.encode(), b"")

        assert told(foreign, "org_foreign") == told(unknown, "org_unknown_"), row


async def test_refusal_says_which_roles_may(hub: HubUnderTest) -> None:
    viewer = await member(hub, "viewer")
    for row in TABLE:
        if expected(row, "viewer") == (403,):
            body = (await ask(viewer, row, ORG)).body.decode()
            assert "Your role here is <strong>viewer</strong>" in body, row
            assert all(f"<strong>{role}s</strong>" in body for role in row.who.split()), row


async def test_every_page_has_the_headers_that_keep_it_safe(hub: HubUnderTest) -> None:
    owner = await member(hub, "owner")
    for row in TABLE:
        if row.path.startswith("/static/"):
            continue
        answer = await ask(owner, row, ORG)
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'"), row
        assert "unsafe" not in policy
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["Cache-Control"] == "no-store"
        body = answer.body.decode().lower()
        assert " style=" not in body, row
        assert "<style" not in body, row
        assert not [part for part in body.split("<script")[1:] if not part.startswith(" src=")], row


async def test_a_form_needs_the_sessions_token_and_its_own_page(hub: HubUnderTest) -> None:
    owner = await member(hub, "owner")
    for row in TABLE:
        if row.method != "POST" or row.who == ANYBODY:
            continue
        path = row.path.format(org_id=ORG, **PARTS)
        for csrf in ("", "0" * 64):
            assert (await owner.post(path, csrf=csrf)).status == 403, row
        elsewhere = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
        answer = await owner._send("POST", path, data={"csrf": owner.csrf}, headers=elsewhere)
        assert answer.status == 403, row


async def test_a_token_opens_no_page(hub: HubUnderTest) -> None:
    answer = await hub.send("GET", f"/orgs/{ORG}", allow_redirects=False)
    assert answer.status == 401
    assert answer.json["code"] == "unauthorized"
