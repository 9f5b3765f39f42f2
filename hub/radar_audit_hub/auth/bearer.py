"""From the Authorization header to who is calling: one look-up by the token's SHA-256.

Owns `authenticate` (a person) and `authenticate_cluster`. Called by `access.py` and,
for the re-check of a running tail, by the audit handlers. Nothing is cached: a token
that is revoked is refused from the next request on. A cluster may also call with the token of
a ServiceAccount, where the hub lets one: `kubernetes_login.py`. Never logs a token or its hash.
"""

from __future__ import annotations

import hmac

from aiohttp import web

from radar_audit_hub.client_address import address_of
from radar_audit_hub.context import HUB, Hub
from radar_audit_hub.credentials import Kind, kind_of_token, token_hash
from radar_audit_hub.errors import ForbiddenError, HubError, NotFoundError, UnauthorizedError
from radar_audit_hub.store.kubernetes_login import find_login
from radar_audit_hub.store.tokens import (
    FoundClusterToken,
    FoundPat,
    find_cluster_token,
    find_pat,
    touch_cluster_token,
    touch_due,
    touch_pat,
)

from .kubernetes_login import KubernetesLogin
from .principal import (
    LOGIN_COLLECTOR_SCOPES,
    NO_CLUSTER,
    NO_LOGIN,
    ORG_GONE,
    ClusterPrincipal,
    Principal,
    Refused,
    judge_cluster_token,
    judge_pat,
    narrowed,
)
from .token_review import NotGood, is_jwt

NO_SUCH_ORG = "there is no such organization for this token"

_SEND = "send the header Authorization: Bearer with a token that begins with {}_"
_WHOLE = "this is no whole token: one is {}_ and 43 letters, digits, '-' or '_' behind it"
_BROWSERS = "what a browser signs in with is no token; a personal one (rhp_) is needed"
_WRONG_KIND = {
    "rhs": _BROWSERS,
    "rhl": _BROWSERS,
    "rhi": "an invitation is accepted by POST /api/invitations/accept, signed in otherwise",
    "rhp": "this path takes a cluster token (rhc_), not a personal access token",
    "rhc": "a cluster token reaches /api/ingest and /api/agent only; a personal one is needed",
}


def bearer_token(request: web.Request, kind: Kind) -> str:
    """Return the request's token. Raises UnauthorizedError if there is none of this kind."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise _refusal(request, "missing", _SEND.format(kind))
    found = kind_of_token(token.strip(" "))
    if found is None:
        raise _refused(request, Refused("malformed", _WHOLE.format(kind)))
    if found != kind:
        raise _refused(request, Refused("wrong_kind", _WRONG_KIND[found]))
    return token.strip(" ")


async def authenticate(request: web.Request) -> Principal:
    """Return the person calling. Raises UnauthorizedError, or TooManyRequestsError after many."""
    hub = request.app[HUB]
    digest = token_hash(bearer_token(request, "rhp"))
    now_ms = hub.now_ms()
    async with hub.db.read() as connection:
        found = await find_pat(connection, digest)
    # The index has compared already; this holds even if a collation or a driver were lax.
    if found is not None and not hmac.compare_digest(found.token_hash, digest):
        found = None
    verdict = judge_pat(found, now_ms)
    if isinstance(verdict, Refused):
        raise _refused(request, verdict)
    if found is not None and touch_due(found.last_used_at_ms, now_ms):
        _touch(hub, found, now_ms)
    return verdict


def _touch(hub: Hub, found: FoundPat, now_ms: int) -> None:
    async def write() -> None:
        async with hub.db.write() as connection:
            await touch_pat(connection, found.org_id, found.id, now_ms)

    hub.last_used.run(found.id, write)


async def authenticate_cluster(request: web.Request) -> ClusterPrincipal:
    """Return the cluster whose collector calls. Raises as `authenticate`, ForbiddenError.

    Raises UnavailableError while the token of a ServiceAccount cannot be checked.
    """
    hub = request.app[HUB]
    login = hub.kubernetes_login
    jwt = _jwt(request)
    if jwt is not None:
        if login is None:
            raise _refused(request, NO_LOGIN)
        return await _authenticate_account(request, login, jwt)
    digest = token_hash(bearer_token(request, "rhc"))
    async with hub.db.read() as connection:
        found = await find_cluster_token(connection, digest)
    if found is not None and not hmac.compare_digest(found.token_hash, digest):
        found = None
    verdict = judge_cluster_token(found)
    if isinstance(verdict, Refused):
        raise _refused(request, verdict)
    _touch_cluster(hub, found)
    return verdict


def _jwt(request: web.Request) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip(" ")
    return token if scheme.lower() == "bearer" and is_jwt(token) else None


async def _authenticate_account(
    request: web.Request, login: KubernetesLogin, token: str
) -> ClusterPrincipal:
    hub = request.app[HUB]
    # Else everybody could have the API server asked, as often as they like, by sending rubbish.
    who = await login.account(
        token, lambda: hub.auth_failures.refuse_above(address_of(request), hub.now_ms())
    )
    if isinstance(who, NotGood):
        error = _refused(request, Refused(who.reason, who.message))
        raise ForbiddenError(who.message) if who.is_known else error
    async with hub.db.read() as connection:
        found = await find_login(connection)
    verdict = NO_CLUSTER if found is None else judge_cluster_token(found)
    if isinstance(verdict, Refused):
        raise _refused(request, verdict)
    _touch_cluster(hub, found)
    return verdict if login.is_operator(who) else narrowed(verdict, LOGIN_COLLECTOR_SCOPES)


def _touch_cluster(hub: Hub, found: FoundClusterToken | None) -> None:
    now_ms = hub.now_ms()
    if found is None or not touch_due(found.last_used_at_ms, now_ms):
        return
    digest = found.token_hash

    async def write() -> None:
        async with hub.db.write() as connection:
            await touch_cluster_token(connection, digest, now_ms)

    hub.last_used.run(found.cluster_id, write)


def _refused(request: web.Request, refused: Refused) -> HubError:
    """Count a token that was sent and is no good. Raises TooManyRequestsError above the limit."""
    if refused is ORG_GONE:  # contract: a deleted org answers 404
        return NotFoundError(NO_SUCH_ORG)
    hub = request.app[HUB]
    error = _refusal(request, refused.reason, refused.message)
    hub.auth_failures.count(address_of(request), hub.now_ms())
    return error


def _refusal(request: web.Request, reason: str, message: str) -> UnauthorizedError:
    request.app[HUB].metrics.auth_failures.labels(reason).inc()
    return UnauthorizedError(message)
