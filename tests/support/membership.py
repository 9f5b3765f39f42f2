"""Steps of the tests about orgs, members and invitations: people with an id, rows of the log.

Owns `Human`, which is a token with whom it stands for. Called by the tests of the hub.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from radar_audit_hub.app import OUTBOX
from radar_audit_hub.outbox.job import OutboxJob

from tests.support.hub_builder import ORG, HubUnderTest, log_path


@dataclass(frozen=True)
class Human:
    """A person with a PAT."""

    token: str
    user_id: str
    email: str


async def human(hub: HubUnderTest, org_id: str = ORG, role: str | None = "owner") -> Human:
    """Add a person to an org and return them; the hub's own owner by `the_owner`."""
    return await human_of(hub, await hub.add_person(org_id, role))


async def human_of(hub: HubUnderTest, token: str) -> Human:
    """Return who has this token."""
    me = (await hub.get("/api/me", token=token)).json
    return Human(token, me["user_id"], me["email"])


async def stranger(hub: HubUnderTest, org_id: str = "org_far") -> Human:
    """Add a person who belongs to another org only, which is made if it is not there."""
    await hub.add_org(org_id)
    return await human(hub, org_id)


async def rows(hub: HubUnderTest, *, token: str = "", org_id: str = ORG) -> list[dict[str, Any]]:
    """Return an org's events, oldest first."""
    answer = await hub.get(log_path(org_id, "?limit=500"), token=token)
    assert answer.status == 200, answer.body
    return sorted(answer.json["events"], key=lambda row: int(row["seq"]))


async def actions(hub: HubUnderTest, *, token: str = "", org_id: str = ORG) -> list[str]:
    """Return the actions of an org's events, oldest first."""
    return [row["action"] for row in await rows(hub, token=token, org_id=org_id)]


async def deliver_all(hub: HubUnderTest) -> None:
    """Do all outgoing work that is due."""
    await OutboxJob(hub.hub, OUTBOX).drain()


def org_path(below: str = "", org_id: str = ORG) -> str:
    """Return the path of an org, or of what is below it."""
    return f"/api/orgs/{org_id}" + (f"/{below}" if below else "")
