"""A token speaks for an e-mail no better than the person's own sign-in does."""

from __future__ import annotations

from radar_audit_hub.store.identities import insert_identity, mark_email

from tests.support.hub_builder import HubUnderTest
from tests.support.membership import Human, human_of, org_path, stranger


async def last_sign_in(hub: HubUnderTest, person: Human, *, vouched: bool) -> None:
    """Let an issuer know a person, and vouch for their e-mail at the last sign-in or not."""
    async with hub.hub.db.write() as conn:
        await insert_identity(conn, "https://issuer.example", person.user_id, person.user_id, 0)
        await mark_email(conn, person.user_id, verified=vouched)


async def test_token_of_an_address_nobody_vouches_for_founds_and_accepts_nothing(
    any_hub: HubUnderTest,
) -> None:
    person = await stranger(any_hub)
    body = {"email": person.email, "role": "owner"}
    made = await any_hub.send("POST", org_path("invitations"), json=body)
    acceptance = {"token": made.json["url"].partition("#token=")[2]}
    path = "/api/invitations/accept"
    await last_sign_in(any_hub, person, vouched=False)
    for where, sent in (("/api/orgs", {"name": "Mine"}), (path, acceptance)):
        answer = await any_hub.send("POST", where, json=sent, token=person.token)
        assert (answer.status, "not verified" in answer.json["detail"]) == (403, True)
    await last_sign_in(any_hub, person, vouched=True)
    accepted = await any_hub.send("POST", path, json=acceptance, token=person.token)
    assert accepted.status == 200


async def test_operator_vouches_for_people_whom_no_issuer_knows(hub: HubUnderTest) -> None:
    person = await human_of(hub, hub.owner)
    answer = await hub.send("POST", "/api/orgs", json={"name": "Mine"}, token=person.token)
    assert answer.status == 201
