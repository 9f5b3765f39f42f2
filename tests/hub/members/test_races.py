"""Joining at the same time, over two replicas: everybody once, in one order, and nobody waits."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from radar_audit_hub.changes import changing_by_itself
from radar_audit_hub.members.joining import auto_join
from radar_audit_hub.orgs import handlers as orgs

from tests.support.collector_posts import stored_rows
from tests.support.hub_builder import ORG, Answer, HubUnderTest, running_hub
from tests.support.membership import Human, human, org_path, stranger

PEOPLE = 6


@dataclass
class Pair:
    """Two replicas over one PostgreSQL."""

    one: HubUnderTest
    two: HubUnderTest

    def turn(self, number: int) -> HubUnderTest:
        return self.one if number % 2 else self.two


@pytest.fixture
async def pair(postgres_url: str) -> AsyncIterator[Pair]:
    async with (
        running_hub(postgres_url, migrated=True) as one,
        running_hub(postgres_url, migrated=True, new=False) as two,
    ):
        yield Pair(one, two)


async def _people(hub: HubUnderTest) -> list[Human]:
    first = await stranger(hub)
    return [first, *[await human(hub, "org_far") for _ in range(PEOPLE - 1)]]


async def test_people_who_accept_at_once_over_two_replicas_join_once(pair: Pair) -> None:
    people = await _people(pair.one)
    tokens = []
    for person in people:
        body = {"email": person.email, "role": "member"}
        made = await pair.one.send("POST", org_path("invitations"), json=body)
        tokens.append(made.json["url"].partition("#token=")[2])

    async def accept(hub: HubUnderTest, person: Human, token: str) -> Answer:
        path = "/api/invitations/accept"
        return await hub.send("POST", path, json={"token": token}, token=person.token)

    answers = await asyncio.gather(
        *(
            accept(hub, person, token)
            for person, token in zip(people, tokens, strict=True)
            for hub in (pair.one, pair.two)
        )
    )
    assert Counter(answer.status for answer in answers) == {200: PEOPLE, 404: PEOPLE}
    rows = await stored_rows(pair.one.hub.db)
    assert [row["seq"] for row in rows] == list(range(3 * PEOPLE))
    assert Counter(row["action"] for row in rows) == {
        "org_invitation.created": PEOPLE,
        "org_invitation.accepted": PEOPLE,
        "org_member.joined": PEOPLE,
    }


async def test_domain_of_several_orgs_lets_many_in_at_once_without_deadlock(pair: Pair) -> None:
    people = await _people(pair.one)
    names = [ORG, "org_a", "org_z"]
    for name in names:
        if name != ORG:
            await pair.one.add_org(name)
        owner = await pair.one.add_person(name)
        body = {"allowed_domains": ["acme.com"]}
        assert (
            await pair.one.send("PATCH", org_path(org_id=name), json=body, token=owner)
        ).status == 200

    async def sign_in(hub: HubUnderTest, person: Human) -> list[str]:
        async with changing_by_itself(hub.hub) as change:
            return [org.id for org in await auto_join(change, person.user_id, person.email)]

    twice = [person for person in people for _ in range(2)]
    found = await asyncio.gather(*(sign_in(pair.turn(n), p) for n, p in enumerate(twice)))
    joined = [org_id for orgs_ in found for org_id in orgs_]
    assert Counter(joined) == dict.fromkeys(names, PEOPLE)
    for name in names:
        rows = await stored_rows(pair.one.hub.db, name)
        assert [row["seq"] for row in rows] == list(range(1 + PEOPLE))


async def test_bound_on_owned_orgs_holds_for_many_at_once(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orgs, "MAX_OWNED_ORGS", 3)
    answers = await asyncio.gather(
        *(
            pair.turn(n).send("POST", "/api/orgs", json={"name": "N"}, token=pair.one.owner)
            for n in range(8)
        )
    )
    assert Counter(answer.status for answer in answers) == {201: 2, 409: 6}


async def test_one_id_given_twice_at_once_makes_one_org(pair: Pair) -> None:
    body = {"name": "N", "id": "org_same"}
    answers = await asyncio.gather(
        *(pair.turn(n).send("POST", "/api/orgs", json=body, token=pair.one.owner) for n in range(4))
    )
    assert Counter(answer.status for answer in answers) == {201: 1, 409: 3}
    assert len(await stored_rows(pair.one.hub.db, "org_same")) == 2
