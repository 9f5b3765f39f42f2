"""The guard at the top of every handler: who may do this, in this org.

Owns `require` and `require_cluster`. Called by the handlers of all features. An org
that does not exist and one that is somebody else's are refused alike, and without
a look-up of the org, so that neither body nor timing tells them apart.
"""

from __future__ import annotations

from aiohttp import web

from radar_audit_hub.errors import ForbiddenError, NotFoundError

from .bearer import NO_SUCH_ORG, authenticate, authenticate_cluster
from .principal import ClusterPrincipal, Principal, Someone

RECHECK_SECONDS = 5.0  # how often the right to read of a running answer is looked up again


async def require(request: web.Request, *roles: str, scope: str | None = None) -> Principal:
    """Return the person calling, if they may: one of `roles` (none: any) and `scope`.

    The path's `{org_id}`, if it has one, must be the token's org. Raises
    UnauthorizedError, NotFoundError, ForbiddenError (in this order).
    """
    caller = await authenticate(request)
    check(caller, request.match_info.get("org_id"), *roles, scope=scope)
    return caller


async def require_user(request: web.Request) -> Someone:
    """Return the person calling, for what is done outside of any org.

    A PAT with scopes is made for one org and its tasks, so it is no good here. Raises
    UnauthorizedError, NotFoundError, ForbiddenError.
    """
    caller = await authenticate(request)
    if caller.scopes is not None:
        raise ForbiddenError("this needs a token without scopes, or a session")
    return Someone(
        user_id=caller.user_id,
        email=caller.email,
        email_verified=True,  # PATs are minted for members only, whom their org has admitted
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
