"""The destination that a path names.

Owns the look-up. Called by the handlers of this folder. Never tells a foreign one from none.
"""

from __future__ import annotations

from aiohttp import web

from radar_audit_hub.errors import NotFoundError
from radar_audit_hub.store.database import Connection
from radar_audit_hub.store.notify_destinations import DestinationRow, get_destination

_NO_SUCH = "there is no such destination"


async def named(conn: Connection, request: web.Request) -> DestinationRow:
    """Return the destination that the path names, of the org that it names.

    Raises NotFoundError.
    """
    org_id, destination_id = request.match_info["org_id"], request.match_info["destination_id"]
    known = destination_id.startswith("nd_") and destination_id[3:].isalnum()
    found = None
    if known and destination_id.isascii():
        found = await get_destination(conn, org_id, destination_id)
    if found is None:
        raise NotFoundError(_NO_SUCH)
    return found
