"""The guard at the top of every handler: who may do this, in this org.

Owns `require` and `require_cluster`. Called by the handlers of all features. An org
that does not exist and one that is somebody else's are refused alike, and without
a look-up of the org, so that neither body nor timing tells them apart.
"""

from __future__ import annotations

from aiohttp import web

from radar_audit_hub.context import HUB
from radar_audit_hub.errors import ForbiddenError, NotFoundError
from radar_audit_hub.store.identities import is_email_good
from radar_audit_hub.store.sessions import FoundSession

from .bearer import NO_SUCH_ORG, authenticate, authenticate_cluster
from .principal import ClusterPrincipal, Principal, Someone
from .sessions import authenticate_session

RECHECK_SECONDS = 5.0  # how often the right to read of a running answer is looked up again


async def require(request: web.Request, *roles: str, scope: str | None = None) -> Principal:
    """Return the person calling, if they may: one of `roles` (none: any) and `scope`.

    The path's `{org_id}`, if it has one, must be the token's org; with a session it must be
    there, and one of the person's. Raises UnauthorizedError, NotFoundError, ForbiddenError (in
    this order), MalformedRequestError for two credentials at once.
    """
    org_id = request.match_info.get("org_id")
    signed = await authenticate_session(request, org_id)
    if signed is None:
        caller = await authenticate(request)
    else:
        caller = in_org(signed.found)
    check(caller, org_id, *roles, scope=scope)
    return caller


def in_org(found: FoundSession) -> Principal:
    """Return the session's person in the org that was asked about. Raises NotFoundError."""
    org_id, name, plan, role = found.org_id, found.org_name, found.plan, found.role
    gone = found.org_deleted_at_ms is not None
    if org_id is None or name is None or plan is None or role is None or gone:
        raise NotFoundError(NO_SUCH_ORG)
    return Principal(
        user_id=found.user_id,
        email=found.email,
        role=role,
        org_id=org_id,
        org_name=name,
        plan=plan,
        retention=found.retention,
        records_log_access=found.records_log_access,
        scopes=None,
        pat_id=None,
        pat_name=None,
        expires_at_ms=None,
        session_id=found.id,
    )


async def require_user(request: web.Request) -> Someone:
    """Return the person calling, for what is done outside of any org.

    A PAT with scopes is made for one org and its tasks, so it is no good here. Raises
    UnauthorizedError, NotFoundError, ForbiddenError, MalformedRequestError.
    """
    signed = await authenticate_session(request, None)
    if signed is not None:
        found = signed.found
        return Someone(
            user_id=found.user_id,
            email=found.email,
            email_verified=found.email_verified,
            pat_name=None,
            session_id=found.id,
        )
    caller = await authenticate(request)
    if caller.scopes is not None:
        raise ForbiddenError("this needs a token without scopes, or a session")
    async with request.app[HUB].db.read() as connection:
        verified = await is_email_good(connection, caller.user_id)
    return Someone(
        user_id=caller.user_id,
        email=caller.email,
        email_verified=verified,
        pat_name=caller.pat_name,
    )


def check(caller: Principal, org_id: str | None, *roles: str, scope: str | None = None) -> None:
    """Raise NotFoundError or ForbiddenError unless `caller` may do this in `org_id` (if given)."""
    if org_id is not None and org_id != caller.org_id:
        raise NotFoundError(NO_SUCH_ORG)
    if roles and caller.role not in roles:
        raise ForbiddenError(f"this needs the role {' or '.join(roles)}", roles)
    if scope is not None and not caller.has_scope(scope):
        raise ForbiddenError(f"this needs a token with the scope {scope}", roles, scope)


async def require_cluster(request: web.Request, scope: str) -> ClusterPrincipal:
    """Return the cluster calling, if its token has `scope`. Raises as `require`."""
    caller = await authenticate_cluster(request)
    if scope not in caller.scopes:
        raise ForbiddenError(f"this needs a cluster token with the scope {scope}", (), scope)
    return caller
