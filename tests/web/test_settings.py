"""The settings' pages do what the API does: the same changes, the same events, nothing lost."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.hub_builder import ORG, HubUnderTest, log_path
from tests.support.pages import Elements, Reader, member, reader

BASE = f"/orgs/{ORG}"
MARKUP = "<script>alert(1)</script>"


async def newest(hub: HubUnderTest) -> dict[str, Any]:
    """Return the event that was recorded last: several may be of the same millisecond."""
    events: list[dict[str, Any]] = (await hub.send("GET", log_path(ORG))).json["events"]
    return max(events, key=lambda event: int(event["seq"]))


async def count(hub: HubUnderTest) -> int:
    return len((await hub.send("GET", log_path(ORG))).json["events"])


def field(page: str, name: str) -> dict[str, str]:
    """Return the attributes of the element with an id."""
    return next(attrs for _, attrs in Elements(page).tags if attrs.get("id") == name)


async def after(browser: Reader, path: str, **fields: str) -> str:
    """Send a form that is taken, and return the page that it leads to."""
    answer = await browser.post(path, **fields)
    assert answer.status == 303, answer.body.decode()
    return await browser.text(answer.headers["Location"])


ORG_FORM = {
    "name": "Acme",
    "allowed_domains": "",
    "default_role": "viewer",
    "pat_default_days": "30",
    "record_log_access": "on",
}


async def test_organization_is_changed_with_one_event(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    page = await after(owner, f"{BASE}/settings", **ORG_FORM)
    assert "Saved." in page
    assert field(page, "name")["value"] == "Acme"
    assert field(page, "pat_default_days")["value"] == "30"
    event = await newest(hub)
    assert event["action"] == "org.updated"
    assert event["metadata"]["changes"]["pat_default_days"] == [None, 30]
    assert "via_pat" not in event["metadata"]
    before = await count(hub)
    await after(owner, f"{BASE}/settings", **ORG_FORM)
    assert await count(hub) == before, "the same again changes nothing"


async def test_refused_form_keeps_what_was_typed_and_names_the_field(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    before = await count(hub)
    wrong = {**ORG_FORM, "name": "New name", "allowed_domains": "gmail.com\nNot a domain"}
    answer = await owner.post(f"{BASE}/settings", **wrong)
    page = answer.body.decode()
    assert answer.status == 422
    assert field(page, "name")["value"] == "New name"
    assert "gmail.com\nNot a domain" in page
    assert "free-mail domain" in page
    days = await owner.post(f"{BASE}/settings", **{**ORG_FORM, "pat_default_days": "soon"})
    assert "must be a whole number of days" in days.body.decode()
    assert await count(hub) == before


async def test_invitations_behind_the_first_page_are_reached(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    for name in ("first", "second"):
        await owner.post(f"{BASE}/invitations", email=f"{name}@acme.com", role="viewer")
        hub.clock.now_ms += 1
    page = await owner.text(f"{BASE}/members?invited_limit=1")
    assert "second@acme.com" in page
    assert "first@acme.com" not in page
    (way,) = (attrs["href"] for _, attrs in Elements(page).tags if attrs.get("rel") == "next")
    behind = await owner.text(f"{BASE}/members{way}")
    assert "first@acme.com" in behind
    assert "second@acme.com" not in behind
    assert "p1@acme.com" in behind, "the members stay where they are"


async def test_deleting_needs_the_name(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    answer = await owner.post(f"{BASE}/settings/delete", confirm="something")
    assert answer.status == 422
    assert "exactly as it is written above" in answer.body.decode()
    name = field(await owner.text(f"{BASE}/settings"), "name")["value"]
    assert (await owner.post(f"{BASE}/settings/delete", confirm=name)).status == 303
    assert (await owner.get(f"{BASE}/settings")).status == 404


async def test_invitation_link_is_shown_once(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    answer = await owner.post(f"{BASE}/invitations", email="new@example.com", role="auditor")
    link = field(answer.body.decode(), "invitation-link")["value"]
    assert "rhi_" in link
    later = await owner.text(f"{BASE}/members")
    assert "new@example.com" in later
    assert "rhi_" not in later
    event = await newest(hub)
    assert (event["action"], event["metadata"]["role"]) == ("org_invitation.created", "auditor")
    again = await owner.post(f"{BASE}/invitations/{event['target_id']}/resend")
    assert field(again.body.decode(), "invitation-link")["value"] != link
    page = await after(owner, f"{BASE}/invitations/{event['target_id']}/revoke")
    assert "The invitation is revoked" in page
    assert (await newest(hub))["action"] == "org_invitation.revoked"


async def test_wrong_invitation_is_told_beside_the_field(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    answer = await owner.post(f"{BASE}/invitations", email=MARKUP, role="owner")
    page = answer.body.decode()
    assert answer.status == 422
    assert MARKUP not in page
    assert field(page, "email")["value"] == MARKUP
    assert field(page, "email")["aria-invalid"] == "true"


async def test_roles_change_and_the_last_owner_stays(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    await member(hub, "member")
    people = (await hub.send("GET", f"/api/orgs/{ORG}/members")).json["members"]
    other = next(one["user_id"] for one in people if one["role"] == "member")
    assert "The role is changed" in await after(
        owner, f"{BASE}/members/{other}/role", role="viewer"
    )
    assert (await newest(hub))["metadata"] == {"previous_role": "member", "role": "viewer"}
    assert "is removed" in await after(owner, f"{BASE}/members/{other}/remove")
    last = await owner.post(f"{BASE}/members/user_1/role", role="viewer")
    assert last.status == 409
    assert "owner" in last.body.decode()
    assert (await owner.post(f"{BASE}/leave")).status == 409


async def test_member_leaves(hub: HubUnderTest) -> None:
    viewer = await member(hub, "viewer")
    assert (await viewer.post(f"{BASE}/leave")).headers["Location"] == "/"
    assert (await viewer.get(f"{BASE}/clusters")).status == 404
    assert (await newest(hub))["action"] == "pat.revoked"  # their tokens go last


async def test_token_is_shown_once_and_revoked(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    answer = await owner.post(f"{BASE}/tokens", name="ci-bot", life="30", scopes="audit:read")
    token = field(answer.body.decode(), "new-token")["value"]
    assert (await hub.send("GET", log_path(ORG), token=token)).status == 200
    assert token not in await owner.text(f"{BASE}/tokens")
    event = await newest(hub)
    assert event["action"] == "pat.created"
    assert event["metadata"]["scopes"] == ["audit:read"]
    page = await after(owner, f"{BASE}/tokens/{event['target_id']}/revoke")
    assert "The token is revoked" in page
    assert (await hub.send("GET", log_path(ORG), token=token)).status == 401


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"name": "", "life": "30"}, "name"),
        ({"name": "x", "life": "forever"}, "must be 30, 90, 365 days or never"),
        ({"name": "x", "life": "30", "scopes": "audit:reed"}, "audit:read"),
    ],
)
async def test_wrong_token_is_refused(
    hub: HubUnderTest, fields: dict[str, str], sentence: str
) -> None:
    owner = await reader(hub)
    answer = await owner.post(f"{BASE}/tokens", **fields)
    assert answer.status == 422
    assert sentence in answer.body.decode()


async def test_others_tokens_are_for_owners(hub: HubUnderTest) -> None:
    owner, other = await reader(hub), await member(hub, "member")
    await other.post(f"{BASE}/tokens", name="of-a-member", life="never")
    assert "of-a-member" in await owner.text(f"{BASE}/tokens?user=all")
    assert "of-a-member" not in await owner.text(f"{BASE}/tokens")
    assert (await other.get(f"{BASE}/tokens?user=all")).status == 403


CLUSTER_FORM = {"name": "prod-eu", "environment": "production", "labels": "team=payments"}


async def new_cluster(browser: Reader) -> tuple[str, str]:
    """Connect a cluster; return its address and its token."""
    answer = await browser.post(f"{BASE}/clusters/new", **CLUSTER_FORM)
    page = answer.body.decode()
    token = field(page, "cluster-token")["value"]
    assert token.startswith("rhc_")
    assert field(page, "install-instead"), "this hub says that it is on loopback"
    links = [one["href"] for one in Elements(await browser.text(f"{BASE}/clusters")).all("a")]
    (address,) = (one for one in links if "/clusters/cl_" in one)
    return address, token


async def test_cluster_is_connected_changed_and_removed(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    address, token = await new_cluster(owner)
    assert (await newest(hub))["metadata"]["labels"] == {"team": "payments"}
    page = await owner.text(address)
    assert token not in page
    assert "Not installed yet" in page
    await after(owner, address, **{**CLUSTER_FORM, "name": "prod-us"})
    assert (await newest(hub))["metadata"] == {"changes": {"name": ["prod-eu", "prod-us"]}}
    rotated = (await owner.post(f"{address}/rotate-token")).body.decode()
    assert field(rotated, "cluster-token")["value"] != token
    await after(owner, f"{address}/upgrade", version="9.9.9")
    assert (await newest(hub))["action"] == "cluster.agent.upgrade_requested"
    assert (await owner.post(f"{address}/delete", confirm="prod-eu")).status == 422
    assert "The cluster is removed" in await after(owner, f"{address}/delete", confirm="prod-us")
    assert (await newest(hub))["action"] == "cluster.deleted"
    assert (await owner.get(address)).status == 404


async def test_wrong_labels_are_named_and_kept(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    answer = await owner.post(f"{BASE}/clusters/new", **{**CLUSTER_FORM, "labels": "payments"})
    page = answer.body.decode()
    assert answer.status == 422
    assert "must be lines such as team=payments" in page
    assert field(page, "name")["value"] == "prod-eu"


async def test_refusal_on_a_cluster_is_in_the_log(hub: HubUnderTest) -> None:
    owner, viewer = await reader(hub), await member(hub, "viewer")
    address, _ = await new_cluster(owner)
    for path, attempted in (
        (address, "cluster.update"),
        (f"{address}/rotate-token", "cluster.rotate_token"),
        (f"{address}/upgrade", "cluster.upgrade_agent"),
        (f"{address}/delete", "cluster.delete"),
    ):
        assert (await viewer.post(path)).status == 403
        event = await newest(hub)
        assert event["action"] == "cluster.action_denied"
        assert event["metadata"]["attempted_action"] == attempted
    assert 'action="' + address not in await viewer.text(address)


async def test_names_are_shown_harmlessly(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    await owner.post(f"{BASE}/tokens", name=MARKUP, life="30")
    await owner.post(f"{BASE}/clusters/new", **{**CLUSTER_FORM, "name": MARKUP})
    await owner.post(f"{BASE}/settings", **{**ORG_FORM, "name": MARKUP})
    for path in ("tokens", "clusters", "settings", "members", "billing", "sign-in", "leave"):
        page = await owner.text(f"{BASE}/{path}")
        assert MARKUP not in page, path
    assert "&lt;script&gt;" in await owner.text(f"{BASE}/clusters")


async def test_plan_page_says_what_there_is(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    page = Elements(await owner.text(f"{BASE}/billing")).text
    assert "365 days at most" in page
    assert "Plans are not sold on this server" in page
    answer = await owner.post(f"{BASE}/billing/checkout", plan="team")
    assert answer.status == 409


async def revision(browser: Reader) -> str:
    fields = Elements(await browser.text(f"{BASE}/retention")).all("input")
    return next(one["value"] for one in fields if one.get("name") == "revision")


async def test_own_age_is_asked_for_and_shown(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    asked = {"age": "30", "delay": "48", "revision": await revision(owner)}
    page = await after(owner, f"{BASE}/retention", **asked)
    assert field(page, "age")["value"] == "30"
    assert "30 days from" in Elements(page).text, "it waits for the delay"
    assert (await newest(hub))["action"] == "audit.policy_changed"
    stale = await owner.post(f"{BASE}/retention", **asked)
    assert stale.status == 409
    assert "changed meanwhile" in stale.body.decode()
    wrong = await owner.post(f"{BASE}/retention", **{**asked, "age": "4000"})
    assert wrong.status == 422
    assert field(wrong.body.decode(), "age")["value"] == "4000"


async def test_hold_is_added_refused_and_released(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    asked = {"name": "case-7", "reason": "lawsuit", "query": "actor:bob@acme.com"}
    page = await after(owner, f"{BASE}/retention/holds", **asked, revision=await revision(owner))
    assert "case-7" in page
    wrong = {**asked, "name": "case-8", "query": "nonsense:x"}
    refused = await owner.post(f"{BASE}/retention/holds", **wrong, revision=await revision(owner))
    assert refused.status == 422
    assert field(refused.body.decode(), "query")["value"] == "nonsense:x"
    assert field(refused.body.decode(), "query")["aria-invalid"] == "true"
    again = await owner.post(f"{BASE}/retention/holds", **asked, revision=await revision(owner))
    assert again.status == 409
    page = await after(
        owner, f"{BASE}/retention/holds/release", name="case-7", revision=await revision(owner)
    )
    assert "actor:bob@acme.com" not in page


async def test_refused_forms_name_their_fields_as_the_page_does(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    for path, typed, label in (
        ("settings", {**ORG_FORM, "pat_default_days": "soon"}, "Tokens expire after (days)"),
        ("members", {"role": "viewer"}, "E-mail"),
        ("clusters/new", {"name": "", "environment": "prod"}, "Name"),
        ("tokens", {"name": "", "life": "90"}, "Name"),
    ):
        where = "invitations" if path == "members" else path
        answer = await owner.post(f"{BASE}/{where}", **typed)
        assert answer.status == 422
        alert = answer.body.decode().partition('role="alert"')[2].partition("</div>")[0]
        links = Elements(f"<p {alert}")
        assert label in links.words, alert
        assert "_" not in links.text


async def test_status_says_how_long_ago_it_was_heard(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    assert "just now" in Elements(await owner.text(f"{BASE}/members")).text
