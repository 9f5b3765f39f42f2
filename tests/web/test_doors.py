"""Signing in and out, invitations, first organizations, and errors as a person sees them."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

import pytest
from radar_audit_hub.bootstrap import Means
from radar_audit_hub.declarations import declared
from radar_audit_hub.invitations.handlers import ACCEPTED
from radar_audit_hub.orgs.handlers import CREATED
from radar_audit_hub.signin.handlers import SIGNOUT
from radar_audit_hub.signin.new_link import create_link
from radar_audit_hub.store.identities import mark_email
from radar_audit_hub.store.sso import keep_connection, keep_workos_id
from radar_audit_hub.web.assets import assets

from tests.support.hub_builder import ORG, HubUnderTest
from tests.support.pages import HTML, Elements, Reader, member, reader

ELSEWHERE = (
    "https://evil.example/",
    "//evil.example",
    "/\\evil.example",
    "/\t/evil.example",
    "javascript:alert(1)",
    "\\\\evil.example",
    "/%0a//evil.example\n",
    "evil.example",
    "",
)


async def verified(hub: HubUnderTest, user_id: str) -> None:
    async with hub.hub.db.write() as conn:
        await mark_email(conn, user_id, verified=True)


@pytest.mark.parametrize("address", ELSEWHERE)
async def test_no_way_leads_to_another_site(hub: HubUnderTest, address: str) -> None:
    owner = await reader(hub)
    signed_in = await owner.get(f"/signin?return_to={quote(address)}")
    zone = await owner.post("/preferences/zone", zone="Europe/Berlin", return_to=address)
    for answer in (signed_in, zone):
        assert answer.status == 303
        location = answer.headers["Location"]
        assert urlsplit(location).netloc == ""
        assert location.startswith("/")
        assert not location.startswith(("//", "/\\"))
        assert "\n" not in location
    page = Elements((await Reader(hub).get(f"/signin?return_to={quote(address)}")).body.decode())
    assert not [a for a in page.all("a") if urlsplit(a["href"]).netloc]
    preferences = Elements(await owner.text(f"/preferences?return_to={quote(address)}"))
    assert not [a for a in preferences.all("a") if urlsplit(a["href"]).netloc]


async def test_whoever_is_sent_to_sign_in_comes_back(hub: HubUnderTest) -> None:
    path = f"/orgs/{ORG}/activity?q=prod&range=24h"
    answer = await Reader(hub).get(path)
    assert answer.headers["Location"] == f"/signin?return_to={quote(path, safe='')}"
    owner = await reader(hub)
    assert (await owner.get(answer.headers["Location"])).headers["Location"] == path


async def test_signing_in_by_link_shows_a_page_and_its_refusal_too(hub: HubUnderTest) -> None:
    means = Means(hub.clock.now_ms, hub.hub.random_bytes)
    url = await create_link(hub.hub.db, "p1@acme.com", hub.hub.settings.public_url, means)
    path = urlsplit(url).path
    browser = Reader(hub)
    assert "Sign in with this link" in await browser.text(path)
    assert (await browser.post(path)).status == 303
    again = await Reader(hub).post(path)
    assert again.status == 403
    assert "This link was used already" in Elements(again.body.decode()).text
    assert 'href="/signin"' in again.body.decode()


async def test_signing_out_ends_the_session_with_its_event(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    before = dict(owner.cookies)
    answer = await owner.post("/signout")
    assert (answer.status, answer.headers["Location"]) == (303, "/signin")
    assert "You are signed out." in await owner.text("/signin")
    assert "You are signed out." not in await owner.text("/signin")
    owner.cookies = before
    assert (await owner.get("/preferences")).status == 303
    assert len((await hub.get("?action=auth.signout")).ids) == 1


async def test_a_person_without_an_org_makes_their_first(hub: HubUnderTest) -> None:
    await hub.add_person(ORG, None)
    newcomer = await reader(hub, "user_2")
    assert (await newcomer.get("/")).headers["Location"] == "/orgs/new"
    assert "not verified" in await newcomer.text("/orgs/new")
    assert (await newcomer.post("/orgs/new", name="Mine")).status == 422
    await verified(hub, "user_2")
    wrong = await newcomer.post("/orgs/new", name=" ")
    assert wrong.status == 422
    assert "must be 1 to 100 printable characters" in wrong.body.decode()
    made = await newcomer.post("/orgs/new", name="Mine & <b>")
    assert made.status == 303
    home = made.headers["Location"]
    activity = (await newcomer.get(home)).headers["Location"]
    page = await newcomer.text(activity)
    assert "The organization is created." in page
    assert "Mine &amp; &lt;b&gt;" in page
    assert "org.created" in page
    assert (await newcomer.get("/")).headers["Location"] == home


async def test_an_invitation_is_accepted_by_its_link(hub: HubUnderTest) -> None:
    await hub.add_person(ORG, None)
    await verified(hub, "user_2")
    invited = {"email": "p2@acme.com", "role": "auditor"}
    url = (await hub.send("POST", f"/api/orgs/{ORG}/invitations", json=invited)).json["url"]
    path = urlsplit(url).path
    assert "Sign in first" in await Reader(hub).text(path)
    for other in (await reader(hub), await member(hub, "viewer")):
        refused = await other.post(path, link=url)
        assert refused.status in (403, 404)
        assert 'role="alert"' in refused.body.decode()
    newcomer = await reader(hub, "user_2")
    assert "p2@acme.com" in await newcomer.text(path)
    assert (await newcomer.post(path, link="nonsense")).status == 404
    answer = await newcomer.post(path, link=url)
    assert (answer.status, answer.headers["Location"]) == (303, f"/orgs/{ORG}")
    assert (await newcomer.post(path, link=url)).status == 404
    assert len((await hub.get("?action=org_invitation.accepted")).ids) == 1
    assert (await newcomer.get(f"/orgs/{ORG}/activity")).status == 200


async def test_an_e_mails_domain_leads_to_its_organizations_sign_in(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Reader(hub)
    assert (await browser.post("/signin/sso", email="a@acme.com")).status == 404
    monkeypatch.setattr(type(hub.hub.settings.workos), "api_key", "sk_test")
    object.__setattr__(hub.hub.settings.workos, "api_key", "sk_test")
    async with hub.hub.db.write() as conn:
        await keep_workos_id(conn, ORG, "org_workos", hub.clock.now_ms)
        await keep_connection(
            conn, ORG, "conn_1", idp="okta", domains=["acme.com"], now_ms=hub.clock.now_ms
        )
    assert "Continue with SSO" in await browser.text("/signin")
    wanted = f"/api/auth/sso/start?org_id={ORG}&amp;return_to=%2Fa"
    for given in ("Alice@ACME.com", ORG):
        answer = await browser.post("/signin/sso", email=given, return_to="/a")
        assert wanted in answer.body.decode()
    for given in ("a@other.com", "nonsense", "a@cme.com", "x@acme.com.evil.example", "a@%"):
        answer = await browser.post("/signin/sso", email=given, return_to="/a")
        assert answer.status == 422
        assert "/api/auth/sso/start" not in answer.body.decode()


async def test_forms_declare_what_the_api_declares(hub: HubUnderTest) -> None:
    found = {
        f"{route.method} {route.resource.canonical}": declared(route)
        for route in hub.app.router.routes()
        if route.resource is not None
    }
    for form, events in (
        ("POST /signout", SIGNOUT),
        ("POST /orgs/new", CREATED),
        ("POST /invitations/accept", ACCEPTED),
    ):
        what = found[form]
        assert what is not None
        assert what.events == events


async def test_errors_are_pages_for_people_and_documents_for_programs(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    assert b"<!doctype html>" in (await owner.get("/nothing")).body
    program = await hub.send("GET", "/nothing", token=None)
    assert program.headers["Content-Type"] == "application/problem+json"
    for path in ("/api/nothing", f"/api/orgs/{ORG}/audit/nothing"):
        answer = await hub.send("GET", path, headers=HTML)
        assert answer.headers["Content-Type"] == "application/problem+json"
    signing_in = await Reader(hub).get("/api/auth/oidc/start")
    assert signing_in.status == 404
    assert "OpenID is not set up" in Elements(signing_in.body.decode()).text
    wrong = await owner._send("DELETE", "/signin")
    assert wrong.status == 405
    assert wrong.headers["Allow"]


async def test_files_are_kept_for_a_year_under_a_name_of_their_content(hub: HubUnderTest) -> None:
    page = Elements(await Reader(hub).text("/signin"))
    paths = [one["href"] for one in page.all("link")] + [one["src"] for one in page.all("script")]
    assert len(paths) == len(assets()) == 3
    for path in paths:
        answer = await hub.send("GET", path, token=None)
        assert answer.status == 200
        assert "immutable" in answer.headers["Cache-Control"]
        assert "max-age=31536000" in answer.headers["Cache-Control"]
    for name in ("style.css", "..%2fassets.py", "style.0000000000000000.css"):
        assert (await hub.send("GET", f"/static/{name}", token=None)).status == 404


async def test_a_cookie_cannot_put_words_into_the_pages_mouth(hub: HubUnderTest) -> None:
    browser = Reader(hub, {"radar_audit_said": "<script>alert(1)</script>"})
    page = await browser.text("/signin")
    assert "alert(1)" not in page
    assert 'role="status"' not in page


@pytest.mark.parametrize("body", [b"\xff\xfe", b"name=%ff", b"a=1&" * 500, b"x" * 100_000, b""])
async def test_a_form_of_any_bytes_is_refused(hub: HubUnderTest, body: bytes) -> None:
    owner = await reader(hub)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await owner._send("POST", "/orgs/new", data=body, headers=headers)
    assert answer.status in (403, 413, 422)
    as_json = await owner._send("POST", "/orgs/new", json={"name": "x"})
    assert as_json.status == 415
