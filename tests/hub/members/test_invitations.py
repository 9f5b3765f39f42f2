"""Invitations work once, for 7 days, for whom they are meant; all others learn nothing."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
from radar_audit_hub.credentials import new_token, token_hash
from radar_audit_hub.invitations import handlers
from radar_audit_hub.invitations.rules import DAY_MS, MAX_TIMES_SENT, VALID_MS
from radar_audit_hub.store.invitations import find_token
from radar_audit_hub.store.schema_members import org_invitation_token
from radar_audit_hub.store.schema_outbox import outbox
from sqlalchemy import select

from tests.support.browsers import signed_in
from tests.support.hub_builder import Answer, HubUnderTest
from tests.support.membership import Human, actions, deliver_all, human, org_path, rows, stranger


async def _invite(hub: HubUnderTest, email: str, role: Any = "member", token: str = "") -> Answer:
    body = {"email": email, "role": role}
    return await hub.send("POST", org_path("invitations"), json=body, token=token)


def _token(answer: Answer) -> str:
    return str(answer.json["url"].partition("#token=")[2])


async def _accept(hub: HubUnderTest, who: Human, token: str) -> Answer:
    path = "/api/invitations/accept"
    return await hub.send("POST", path, json={"token": token}, token=who.token)


async def _resend(hub: HubUnderTest, invitation_id: str) -> Answer:
    return await hub.send("POST", org_path(f"invitations/{invitation_id}/resend"))


async def _revoke(hub: HubUnderTest, invitation_id: str) -> Answer:
    return await hub.send("DELETE", org_path(f"invitations/{invitation_id}"))


async def test_org_invitation_created_row_is_written(any_hub: HubUnderTest) -> None:
    made = await _invite(any_hub, "Bob@Acme.com", "auditor")
    assert made.status == 201
    assert made.json["url"].startswith("http://127.0.0.1:8080/invitations/accept#token=rhi_")
    [row] = await rows(any_hub)
    assert (row["action"], row["target_id"]) == ("org_invitation.created", made.json["id"])
    assert row["metadata"] == {
        "email": "bob@acme.com",
        "role": "auditor",
        "expires_at": made.json["expires_at"],
        "via_pat": "token 1",
    }
    [listed] = (await any_hub.get(org_path("invitations"))).json["invitations"]
    assert listed == {k: v for k, v in made.json.items() if k != "url"}


async def test_accepted_and_joined_rows_are_written(any_hub: HubUnderTest) -> None:
    someone = await stranger(any_hub)
    made = await _invite(any_hub, someone.email, "auditor")
    answer = await _accept(any_hub, someone, _token(made))
    assert (answer.status, answer.json["role"], answer.json["org_id"]) == (200, "auditor", "org_x")
    accepted, joined = (await rows(any_hub))[1:]
    assert (accepted["action"], accepted["target_id"], accepted["actor_user_id"]) == (
        "org_invitation.accepted",
        made.json["id"],
        someone.user_id,
    )
    assert accepted["metadata"]["inviter_email"] == "p1@acme.com"
    assert (joined["action"], joined["target_id"]) == ("org_member.joined", someone.user_id)
    assert joined["metadata"]["inviter_user_id"] == "user_1"
    assert joined["metadata"]["role"] == "auditor"
    [listed] = (await any_hub.get(org_path("invitations"))).json["invitations"]
    assert listed["status"] == "accepted"


async def test_org_invitation_revoked_row_is_written(any_hub: HubUnderTest) -> None:
    someone = await stranger(any_hub)
    made = await _invite(any_hub, someone.email)
    assert (await _revoke(any_hub, made.json["id"])).status == 204
    assert (await _revoke(any_hub, made.json["id"])).status == 204
    assert await actions(any_hub) == ["org_invitation.created", "org_invitation.revoked"]
    assert (await _accept(any_hub, someone, _token(made))).status == 404
    assert (await _resend(any_hub, made.json["id"])).status == 409


async def test_resent_invitation_has_a_new_link_and_the_old_one_is_dead(
    any_hub: HubUnderTest,
) -> None:
    someone = await stranger(any_hub)
    made = await _invite(any_hub, someone.email)
    any_hub.clock.now_ms += VALID_MS  # it has expired
    again = await _resend(any_hub, made.json["id"])
    assert (again.status, again.json["status"], again.json["times_sent"]) == (200, "pending", 2)
    assert (await rows(any_hub))[-1]["metadata"]["resent"] is True
    assert (await _accept(any_hub, someone, _token(made))).status == 404
    assert (await _accept(any_hub, someone, _token(again))).status == 200


async def test_invitation_ends_after_seven_days(hub: HubUnderTest) -> None:
    someone = await stranger(hub)
    made = await _invite(hub, someone.email)
    hub.clock.now_ms += VALID_MS
    assert (await _accept(hub, someone, _token(made))).status == 404
    hub.clock.now_ms -= 1
    assert (await _accept(hub, someone, _token(made))).status == 200


async def test_replayed_invitation_is_refused(hub: HubUnderTest) -> None:
    someone = await stranger(hub)
    made = await _invite(hub, someone.email)
    await _accept(hub, someone, _token(made))
    assert (await _accept(hub, someone, _token(made))).status == 404
    await hub.send("DELETE", org_path(f"members/{someone.user_id}"))
    assert (await _accept(hub, someone, _token(made))).status == 404  # nor after a removal


async def test_of_many_who_use_a_link_at_once_one_joins(any_hub: HubUnderTest) -> None:
    someone = await stranger(any_hub)
    made = await _invite(any_hub, someone.email)
    answers = await asyncio.gather(*(_accept(any_hub, someone, _token(made)) for _ in range(6)))
    assert sorted(a.status for a in answers) == [200] + [404] * 5
    assert (await actions(any_hub)).count("org_member.joined") == 1


async def test_tokens_that_are_not_for_the_caller_look_alike(hub: HubUnderTest) -> None:
    someone, other = await stranger(hub), await stranger(hub, "org_z")
    for_other = await _invite(hub, other.email)
    revoked = await _invite(hub, someone.email)
    await _revoke(hub, revoked.json["id"])
    used = await _invite(hub, "third@acme.com")
    resent = await _invite(hub, "fourth@acme.com")
    await _resend(hub, resent.json["id"])
    tokens = [_token(made) for made in (for_other, revoked, used, resent)]
    tokens += [new_token("rhi", os.urandom(32)), new_token("rhp", os.urandom(32)), "x", ""]
    bodies = []
    for token in tokens:
        answer = await _accept(hub, someone, token)
        assert answer.status == 404
        bodies.append({k: v for k, v in answer.json.items() if k != "request_id"})
    assert all(body == bodies[0] for body in bodies)


async def test_invitation_of_a_deleted_org_looks_like_an_unknown_one(hub: HubUnderTest) -> None:
    someone = await stranger(hub)
    made = await _invite(hub, someone.email)
    unknown = await _accept(hub, someone, new_token("rhi", os.urandom(32)))
    await hub.send("DELETE", org_path())
    gone = await _accept(hub, someone, _token(made))
    assert (gone.status, gone.json["detail"]) == (404, unknown.json["detail"])


async def test_email_that_nobody_vouches_for_accepts_nothing(hub: HubUnderTest) -> None:
    someone = await stranger(hub)
    made = await _invite(hub, someone.email)
    browser = await signed_in(hub, someone.user_id)
    path, body = "/api/invitations/accept", {"token": _token(made)}
    assert (await browser.send(hub, "POST", path, json=body)).status == 403
    refused = await browser.send(hub, "POST", "/api/orgs", json={"name": "N"})
    assert refused.status == 403
    async with hub.hub.db.write() as conn:
        await conn.exec_driver_sql("UPDATE app_user SET email_verified = TRUE")
    assert (await browser.send(hub, "POST", path, json=body)).status == 200
    assert (await browser.send(hub, "GET", org_path())).json["role"] == "member"


async def test_member_or_invited_person_is_not_invited_again(hub: HubUnderTest) -> None:
    someone = await human(hub, role="viewer")
    assert (await _invite(hub, someone.email)).status == 409
    assert (await _invite(hub, "bob@acme.com")).status == 201
    assert (await _invite(hub, "BOB@acme.com")).status == 409
    hub.clock.now_ms += VALID_MS
    assert (await _invite(hub, "bob@acme.com")).status == 201


async def test_invited_person_who_became_a_member_meanwhile_keeps_their_role(
    hub: HubUnderTest,
) -> None:
    someone = await stranger(hub)
    made = await _invite(hub, someone.email, "owner")
    async with hub.hub.db.write() as conn:
        await conn.exec_driver_sql(
            f"INSERT INTO org_member VALUES ('org_x', '{someone.user_id}', 'viewer', 1)"
        )
    assert (await _accept(hub, someone, _token(made))).status == 409
    assert await actions(hub) == ["org_invitation.created"]


async def test_removed_member_may_be_invited_back(hub: HubUnderTest) -> None:
    someone = await stranger(hub)
    for _ in range(2):
        made = await _invite(hub, someone.email)
        assert (await _accept(hub, someone, _token(made))).status == 200
        await hub.send("DELETE", org_path(f"members/{someone.user_id}"))


async def test_open_invitations_are_bounded(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "MAX_OPEN", 2)
    made = [await _invite(hub, f"n{number}@acme.com") for number in range(3)]
    assert [answer.status for answer in made] == [201, 201, 409]
    await _revoke(hub, made[0].json["id"])
    assert (await _invite(hub, "n3@acme.com")).status == 201


async def test_sending_again_is_bounded(hub: HubUnderTest) -> None:
    made = await _invite(hub, "bob@acme.com")
    found = [(await _resend(hub, made.json["id"])).status for _ in range(MAX_TIMES_SENT)]
    assert found == [200] * (MAX_TIMES_SENT - 1) + [409]


async def test_inviting_and_revoking_floods_nobody(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "MAX_SENT_A_DAY_TO_ONE", 2)
    monkeypatch.setattr(handlers, "MAX_SENT_A_DAY", 3)

    async def invited_and_revoked(email: str) -> int:
        made = await _invite(hub, email)
        if made.status == 201:
            await _revoke(hub, made.json["id"])
        return made.status

    assert [await invited_and_revoked("bob@acme.com") for _ in range(3)] == [201, 201, 409]
    others = [f"n{number}@acme.com" for number in range(2)]
    assert [await invited_and_revoked(email) for email in others] == [201, 409]
    hub.clock.now_ms += DAY_MS
    made = await _invite(hub, "bob@acme.com")
    assert (made.status, (await _resend(hub, made.json["id"])).status) == (201, 200)
    assert (await _resend(hub, made.json["id"])).status == 409


async def test_deleting_the_org_makes_nobody_a_sender_of_any_number_of_mails(
    hub: HubUnderTest,
) -> None:
    me = await human(hub)
    hub.hub.invited.per_day, hub.hub.invited_to_one.per_day = 3, 2

    async def invited_by_a_new_org(email: str) -> int:
        made = await hub.send("POST", "/api/orgs", json={"name": "N"}, token=me.token)
        browser, path = await signed_in(hub, me.user_id), org_path("", made.json["id"])
        body = {"email": email, "role": "member"}
        answer = await browser.send(hub, "POST", f"{path}/invitations", json=body)
        assert (await browser.send(hub, "DELETE", path)).status == 204
        return answer.status

    assert [await invited_by_a_new_org("bob@acme.com") for _ in range(3)] == [201, 201, 409]
    others = [f"n{number}@acme.com" for number in range(2)]
    assert [await invited_by_a_new_org(email) for email in others] == [201, 409]
    assert (await _invite(hub, "bob@acme.com")).status == 201, "another person has their own"
    hub.clock.now_ms += DAY_MS
    assert await invited_by_a_new_org("bob@acme.com") == 201


@pytest.mark.parametrize("email", ["", "x", "a@b\r\nBcc: c@d", "a b@c.d", "a@b@c"])
async def test_wrong_address_is_refused(hub: HubUnderTest, email: str) -> None:
    answer = await _invite(hub, email)
    assert (answer.status, answer.json["errors"][0]["field"]) == (422, "email")


async def test_invitations_are_listed_newest_first_in_pages(hub: HubUnderTest) -> None:
    for number in range(5):
        await _invite(hub, f"n{number}@acme.com")
        hub.clock.now_ms += 1
    first = (await hub.get(org_path("invitations?limit=3"))).json
    path = org_path(f"invitations?limit=3&cursor={first['next_cursor']}")
    second = (await hub.get(path)).json
    found = [i["email"] for i in first["invitations"] + second["invitations"]]
    assert found == [f"n{number}@acme.com" for number in (4, 3, 2, 1, 0)]


@pytest.mark.parametrize("role", ["auditor", "member", "viewer"])
async def test_only_owners_invite(hub: HubUnderTest, role: str) -> None:
    other = await human(hub, role=role)
    assert (await _invite(hub, "a@b.c", token=other.token)).status == 403
    assert (await hub.get(org_path("invitations"), token=other.token)).status == 403
    for invitation_id in ("inv_1", "nope", "inv_%00", "inv_" + "x" * 999):
        assert (await _revoke(hub, invitation_id)).status == 404
        assert (await _resend(hub, invitation_id)).status == 404


async def test_mailed_link_works_beside_the_shown_one_and_no_secret_is_stored(
    any_hub: HubUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    someone = await stranger(any_hub)
    made = await _invite(any_hub, someone.email)
    async with any_hub.hub.db.read() as conn:
        assert "rhi_" not in str((await conn.execute(select(outbox))).all())
    await deliver_all(any_hub)
    mailed = capsys.readouterr().err.partition("#token=")[2][:47]
    assert mailed.startswith("rhi_")
    assert mailed != _token(made)
    async with any_hub.hub.db.read() as conn:
        assert len((await conn.execute(select(org_invitation_token))).all()) == 2
    assert (await _accept(any_hub, someone, mailed)).status == 200
    assert (await _accept(any_hub, someone, _token(made))).status == 404


async def test_invitation_that_is_over_is_not_mailed(
    hub: HubUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    made = await _invite(hub, "bob@acme.com")
    await _resend(hub, made.json["id"])
    other = await _invite(hub, "carol@acme.com")
    await _revoke(hub, other.json["id"])
    await deliver_all(hub)
    printed = capsys.readouterr().err
    assert printed.count("#token=") == 1  # the second of bob's
    assert "carol" not in printed


async def test_token_is_found_by_its_hash_only(hub: HubUnderTest) -> None:
    made = await _invite(hub, "bob@acme.com")
    async with hub.hub.db.read() as conn:
        assert await find_token(conn, token_hash(_token(made))) is not None
        assert await find_token(conn, _token(made).encode()) is None
