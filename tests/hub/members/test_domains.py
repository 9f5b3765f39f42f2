"""Domains let people in by themselves: which, whom, as what, and whom not again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from radar_audit_hub.changes import changing_by_itself
from radar_audit_hub.emails import domain_of, lowered_email
from radar_audit_hub.members.joining import auto_join
from radar_audit_hub.orgs.domains import (
    DEFAULT_ROLES,
    auto_join_role,
    domain_errors,
    is_free_mail,
)
from radar_audit_hub.orgs.free_mail import free_mail

from tests.support.hub_builder import ORG, HubUnderTest
from tests.support.membership import Human, human, org_path, rows, stranger


async def _sign_in(hub: HubUnderTest, who: Human) -> list[str]:
    """Do what a sign-in with a verified e-mail does."""
    async with changing_by_itself(hub.hub, None) as change:
        joined = await auto_join(change, who.user_id, who.email)
    return [org.id for org in joined]


async def _allow(hub: HubUnderTest, role: str = "member", org_id: str = ORG) -> None:
    token = hub.owner if org_id == ORG else await hub.add_person(org_id)
    body = {"allowed_domains": ["acme.com"], "default_role": role}
    answer = await hub.send("PATCH", org_path(org_id=org_id), json=body, token=token)
    assert answer.status == 200, answer.body


async def test_org_member_auto_joined_row_is_written(any_hub: HubUnderTest) -> None:
    await _allow(any_hub)
    someone = await stranger(any_hub)
    assert await _sign_in(any_hub, someone) == [ORG]
    assert await _sign_in(any_hub, someone) == []
    row = (await rows(any_hub))[-1]
    assert (row["action"], row["target_id"]) == ("org_member.auto_joined", someone.user_id)
    assert row["metadata"] == {
        "role": "member",
        "domain": "acme.com",
        "provisioned_by": "domain_auto_join",
    }


async def test_domain_of_several_orgs_lets_into_all_of_them(any_hub: HubUnderTest) -> None:
    await any_hub.add_org("org_a")
    await any_hub.add_org("org_gone")
    for org_id in (ORG, "org_a", "org_gone"):
        await _allow(any_hub, "viewer", org_id)
    owner = await any_hub.add_person("org_gone")
    await any_hub.send("DELETE", org_path(org_id="org_gone"), token=owner)
    assert await _sign_in(any_hub, await stranger(any_hub)) == ["org_a", ORG]


async def test_whom_an_org_removed_their_domain_does_not_bring_back(hub: HubUnderTest) -> None:
    await _allow(hub)
    someone = await human(hub, role="member")
    await hub.send("DELETE", org_path(f"members/{someone.user_id}"))
    assert await _sign_in(hub, someone) == []


async def test_nobody_joins_where_no_domain_is_allowed(hub: HubUnderTest) -> None:
    someone = await stranger(hub)
    assert await _sign_in(hub, someone) == []
    await _allow(hub)
    await hub.send("PATCH", org_path(), json={"allowed_domains": []})
    assert await _sign_in(hub, someone) == []


@given(st.sampled_from(["acme.com", "b.example", "gmail.com"]), st.text(max_size=12))
def test_auto_join_never_grants_owner(domain: str, role: str) -> None:
    for default in (role, "owner", *DEFAULT_ROLES):
        found = auto_join_role(domain, ["acme.com", "gmail.com"], default)
        assert found in {None, *DEFAULT_ROLES}
        if domain != "acme.com":
            assert found is None


@pytest.mark.parametrize(
    "domain", ["gmail.com", "hotmail.co.uk", "yahoo.de", "live.nl", "t-online.de", "qq.com"]
)
def test_free_mail_domain_is_known(domain: str) -> None:
    assert is_free_mail(domain)
    assert domain_errors([domain], [domain], [f"a@{domain}"])


@pytest.mark.parametrize("domain", ["acme.com", "outlook.acme.com", "live.events", "mail.acme.io"])
def test_company_domain_is_no_free_mail(domain: str) -> None:
    assert not is_free_mail(domain)
    assert domain_errors([domain], [], [f"a@{domain}"]) == []


def test_list_of_free_mail_is_lower_case_domains_each_once() -> None:
    assert len(free_mail()) > 150
    for domain in free_mail():
        assert domain == domain.strip().lower()
        assert "." in domain


@pytest.mark.parametrize(
    "text",
    [
        "a@b@c", "a b@c.d", "@c.d", "a@", "a@b\r\nBcc: x@y.z", "a\x00@b.c", "<a@b.c>", "a,b@c.d",
        '"a"@b.c', "a@b.c\u2028", "a" * 320 + "@b.c",
    ],
)  # fmt: skip
def test_what_is_no_single_address_is_refused(text: str) -> None:
    assert lowered_email(text) is None


def test_address_is_kept_in_lower_case() -> None:
    assert lowered_email(" Alice+X@Acme.COM ") == "alice+x@acme.com"
    assert domain_of("alice+x@acme.com") == "acme.com"
