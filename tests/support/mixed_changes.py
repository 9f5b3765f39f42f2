"""Many people who change one organization at once, through several replicas of the hub.

Owns the clients, what each of them does, and the reading of the log that comes of it. Used by a
short and a long test. Every client is an owner with a token of their own, takes the replicas in
turn, and plays a seeded mix, so that a run can be told again.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from radar_audit_hub.credentials import new_token, token_hash
from radar_audit_hub.store.control import User, ensure_user, insert_member
from radar_audit_hub.store.tokens import insert_pat

from tests.support.collector_posts import stored_rows
from tests.support.hub_builder import ORG, Answer, HubUnderTest

ORG_PATH = f"/api/orgs/{ORG}"
SHARED_MEMBERS = 5
_PATIENT = aiohttp.ClientTimeout(total=120)  # it is the hub that has to answer, not us to give up
# Somebody else was faster (gone, taken, no owner any more), or the rules of the route refuse it.
EXPECTED = frozenset({200, 201, 204, 403, 404, 409})


@dataclass
class Outcome:
    """What came of a run: how many answers of each status, and how many changes of each kind."""

    statuses: Counter[int] = field(default_factory=Counter)
    made: Counter[str] = field(default_factory=Counter)
    strange: list[str] = field(default_factory=list)


class Client:
    """One owner: does one thing after another, each at the next replica."""

    def __init__(
        self, number: int, token: str, hubs: Sequence[HubUnderTest], shared: Sequence[str]
    ) -> None:
        """Take a number, from which all of the client's choices follow."""
        self.number = number
        self.outcome = Outcome()
        self._token = token
        self._hubs = hubs
        self._shared = shared
        self._random = random.Random(number)
        self._requests = number

    async def play(self, rounds: int) -> None:
        """Do `rounds` things, each of one to four requests."""
        things = (
            self._token_life,
            self._cluster_life,
            self._invitation_life,
            self._role,
            self._org,
        )
        first = self.number % len(things)  # each thing has its share, however few the rounds
        for turn in range(rounds):
            thing = things[first] if turn == 0 else self._random.choice(things)
            await thing(f"{self.number}-{turn}")

    async def _send(self, event: str, method: str, path: str, json: Any = None) -> Answer:
        """Send one request; one that succeeds counts as `event`."""
        self._requests += 1
        hub = self._hubs[self._requests % len(self._hubs)]
        more: dict[str, Any] = {"timeout": _PATIENT} | ({} if json is None else {"json": json})
        answer = await hub.send(method, ORG_PATH + path, token=self._token, **more)
        self.outcome.statuses[answer.status] += 1
        if answer.status not in EXPECTED:
            self.outcome.strange.append(f"{method} {path}: {answer.status} {answer.body!r}")
        if answer.status < 300:
            self.outcome.made[event] += 1
        return answer

    async def _token_life(self, name: str) -> None:
        made = await self._send("pat.created", "POST", "/pats", {"name": name})
        if made.status == 201:
            await self._send("pat.revoked", "DELETE", f"/pats/{made.json['id']}")

    async def _cluster_life(self, name: str) -> None:
        body = {"name": f"c-{name}", "environment": "test"}
        made = await self._send("cluster.created", "POST", "/clusters", body)
        if made.status == 201:
            path = f"/clusters/{made.json['id']}"
            await self._send("cluster.updated", "PATCH", path, {"environment": "other"})
            await self._send("cluster.token_rotated", "POST", f"{path}/rotate-token")
            await self._send("cluster.deleted", "DELETE", path)

    async def _invitation_life(self, name: str) -> None:
        body = {"email": f"guest-{name}@acme.com", "role": "viewer"}
        made = await self._send("org_invitation.created", "POST", "/invitations", body)
        if made.status == 201:
            path = f"/invitations/{made.json['id']}"
            await self._send("org_invitation.created", "POST", f"{path}/resend")
            await self._send("org_invitation.revoked", "DELETE", path)

    async def _role(self, _: str) -> None:
        path = f"/members/{self._random.choice(self._shared)}"
        role = self._random.choice(("auditor", "member", "viewer"))
        await self._send("a role", "PATCH", path, {"role": role})

    async def _org(self, name: str) -> None:
        await self._send("org.updated", "PATCH", "", {"name": f"Acme {name}"})


async def change_at_once(hubs: Sequence[HubUnderTest], *, clients: int, rounds: int) -> Outcome:
    """Let `clients` people change the org at once; return what they were answered, summed up."""
    shared = [f"user_shared_{number}" for number in range(SHARED_MEMBERS)]
    owners = await _add_people(hubs[0], clients, shared)
    people = [Client(number, token, hubs, shared) for number, token in enumerate(owners)]
    await asyncio.gather(*(person.play(rounds) for person in people))
    total = Outcome()
    for person in people:
        total.statuses += person.outcome.statuses
        total.made += person.outcome.made
        total.strange += person.outcome.strange
    return total


async def _add_people(hub: HubUnderTest, owners: int, members: Sequence[str]) -> list[str]:
    """Insert owners, in one transaction, and members without tokens; return the owners' tokens."""
    now_ms = hub.clock.now_ms
    tokens = [new_token("rhp", os.urandom(32)) for _ in range(owners)]
    people = {f"user_owner_{number}": "owner" for number in range(owners)}
    people |= dict.fromkeys(members, "member")
    async with hub.hub.db.write() as connection:
        for user_id, role in people.items():
            user = User(id=user_id, email=f"{user_id}@acme.com", created_at_ms=now_ms)
            await ensure_user(connection, user)
            await insert_member(connection, ORG, user_id, role, now_ms)
        for number, token in enumerate(tokens):
            await insert_pat(
                connection,
                org_id=ORG,
                pat_id=f"pat_owner_{number}",
                user_id=f"user_owner_{number}",
                name="laptop",
                token_hash=token_hash(token),
                scopes=None,
                created_at_ms=now_ms,
                expires_at_ms=None,
            )
    return tokens


async def check_log(hub: HubUnderTest, outcome: Outcome) -> int:
    """Check that the log has each change once, in one order without a gap; return its length."""
    assert not outcome.strange, outcome.strange[:10]
    rows = await stored_rows(hub.hub.db)
    assert [row["seq"] for row in rows] == list(range(len(rows)))
    assert len({row["id"] for row in rows}) == len(rows)
    written = Counter(row["action"] for row in rows)
    roles = written.pop("org_member.role_changed", 0)  # the role that somebody has already: no row
    made = outcome.made.copy()
    assert 0 < roles <= made.pop("a role")
    assert written == made
    return len(rows)
