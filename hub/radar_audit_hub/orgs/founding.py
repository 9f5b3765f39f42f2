"""How an org comes to be: its row, its first owner and their events, in one transaction.

Owns `found`. Called by the org handlers for a person, and by `bootstrap.py` for the server's
command. Never makes tokens or clusters.
"""

from __future__ import annotations

from radar_audit_hub.changes import Change
from radar_audit_hub.members.joining import Inviter, join
from radar_audit_hub.store.control import Org, insert_org

FOUNDER = "org_created"


async def found(change: Change, org: Org, owner_id: str, provisioned_by: str = FOUNDER) -> bool:
    """Insert an org with its owner, and note both; False if the id is taken.

    The owner's own `org_member.joined` makes the log say by itself who has which role.
    """
    if not await insert_org(change.conn, org):
        return False
    change.note(org.id, "org.created", org.id, {"name": org.name})
    await join(change, org.id, owner_id, "owner", inviter=Inviter(), provisioned_by=provisioned_by)
    return True
