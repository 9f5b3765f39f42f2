"""The guard of the cluster routes: whoever is refused there leaves a row in the log.

Owns `privileged`, in which every handler that changes a cluster works, and the bound on rows
that one person's refusals can make. The row is written in a transaction of its own, before the
403 is sent: without the row there is no 403, but a 503. Never decides who may do what: the
handler names the roles.

Up to DENIALS_PER_MINUTE refusals of one person in one org are written one by one (on each
replica). The last of them says until when (`limited_until`) further ones are answered 429
instead: the log itself tells from when to when attempts were not written singly.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from radar_audit_events.ids import format_ms, is_opaque_id

from radar_audit_hub.auth.access import check, require
from radar_audit_hub.auth.principal import OWNER, Principal
from radar_audit_hub.changes import changing
from radar_audit_hub.context import HUB
from radar_audit_hub.errors import ForbiddenError, TooManyRequestsError
from radar_audit_hub.store.clusters import get_cluster

SCOPE = "clusters:write"
DENIED = "cluster.action_denied"
DENIALS_PER_MINUTE = 30
WINDOW_MS = 60_000
MAX_PEOPLE = 10_000


class Denials:
    """Counts refusals per org and person in windows of 60 s, in bounded memory."""

    def __init__(self) -> None:
        """Know nobody yet."""
        self._seen: OrderedDict[tuple[str, str], tuple[int, int]] = OrderedDict()

    def __len__(self) -> int:
        """How many people are remembered: never above MAX_PEOPLE."""
        return len(self._seen)

    def count(self, org_id: str, user_id: str, now_ms: int) -> int | None:
        """Note a refusal; return the window's end (Unix ms) if it is the last to be written.

        Raises TooManyRequestsError from the one behind it on.
        """
        start_ms, count = self._seen.pop((org_id, user_id), (now_ms, 0))
        if not 0 <= now_ms - start_ms < WINDOW_MS:
            start_ms, count = now_ms, 0
        self._seen[org_id, user_id] = start_ms, min(count + 1, DENIALS_PER_MINUTE)
        if len(self._seen) > MAX_PEOPLE:
            self._seen.popitem(last=False)  # whoever was refused longest ago
        end_ms = start_ms + WINDOW_MS
        if count >= DENIALS_PER_MINUTE:
            seconds = max(1, (end_ms - now_ms + 999) // 1000)
            raise TooManyRequestsError("too many refused actions on clusters", seconds)
        return end_ms if count + 1 == DENIALS_PER_MINUTE else None


DENIALS: web.AppKey[Denials] = web.AppKey("denials", Denials)


@asynccontextmanager
async def privileged(
    request: web.Request, attempted_action: str, *roles: str, scope: str = SCOPE
) -> AsyncIterator[Principal]:
    """Let one of `roles` with the scope do something to the path's cluster.

    A refusal, here or by what is done inside, is written to the log and raised again. Raises
    as `require`; TooManyRequestsError after too many refusals.
    """
    caller = await require(request)
    try:
        check(caller, request.match_info.get("org_id"), *roles, scope=scope)
        yield caller
    except ForbiddenError as refused:
        await _write(request, caller, attempted_action, refused)
        raise


async def _write(
    request: web.Request, caller: Principal, attempted_action: str, refused: ForbiddenError
) -> None:
    now_ms = request.app[HUB].now_ms()
    last_until_ms = request.app[DENIALS].count(caller.org_id, caller.user_id, now_ms)
    cluster_id = request.match_info["cluster_id"]
    if not is_opaque_id("cl", cluster_id):
        return
    metadata = {
        "attempted_action": attempted_action,
        "role": caller.role,
        "required_role": refused.required_roles[0] if refused.required_roles else OWNER,
        "status": 403,
        "source": "hub",
    }
    if refused.required_scope is not None:
        metadata["required_scope"] = refused.required_scope
    if last_until_ms is not None:
        metadata["limited_until"] = format_ms(last_until_ms)
    async with changing(request, caller) as change:
        await change.lock(caller.org_id)
        if await get_cluster(change.conn, caller.org_id, cluster_id) is not None:
            change.note(caller.org_id, DENIED, cluster_id, metadata, cluster_id=cluster_id)
