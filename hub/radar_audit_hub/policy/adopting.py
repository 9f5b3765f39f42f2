"""Takes up the alerts of documents that were stored before the hub delivered any.

Owns that step, which an upgrade needs: an operator sends a document again only when it changes.
Called once at the start of `job.py`. Harmless at any time: an owner that has its rows is left out.
"""

from __future__ import annotations

import logging

from radar_audit_hub.changes import changing_by_itself
from radar_audit_hub.context import Hub
from radar_audit_hub.errors import NotFoundError, UnavailableError
from radar_audit_hub.notify.destinations import sync
from radar_audit_hub.notify.following.starting import follow_document
from radar_audit_hub.store.owners import get_owner, owners_without_rows

from .settling import read_document
from .storing import opened

_logger = logging.getLogger(__name__)


async def adopt_older(hub: Hub) -> int:
    """Make the rows of destinations and rules of older documents; return of how many owners."""
    async with hub.db.read() as conn:
        found = await owners_without_rows(conn)
    adopted = 0
    for org_id, owner_id in found:
        try:
            async with changing_by_itself(hub) as change:
                await change.lock(org_id)
                owner = await get_owner(change.conn, org_id, owner_id)
                if owner is None:
                    continue
                document, secrets = read_document(owner), opened(hub.sealer, owner)
                await sync(
                    change, org_id, owner_id, document, secrets, random_bytes=hub.random_bytes
                )
                await follow_document(change.conn, org_id, owner_id, document, change.now_ms)
                adopted += 1
        except NotFoundError:  # the org is deleted
            continue
        except UnavailableError:  # the hub's key does not open its secrets
            _logger.warning("an owner's alerts cannot be taken up", extra={"owner": owner_id})
    return adopted
