"""Who looks at a page: a person with a session, and their place in the org of the address.

Owns `visit` and `org_visit`, the guards at the top of every page's handler, and what the frame of
every page says of the person. Called by the pages alone; a token opens no page. Never decides more
than `auth/access.py` does: the same look-up, the same roles, and an org that is unknown is refused
like a foreign one.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from radar_audit_hub.auth.access import check, in_org
from radar_audit_hub.auth.principal import Principal, Someone
from radar_audit_hub.auth.session_rules import csrf_token
from radar_audit_hub.auth.sessions import Signed, authenticate_session
from radar_audit_hub.context import HUB
from radar_audit_hub.errors import NotFoundError, UnauthorizedError
from radar_audit_hub.notices.kinds import SEEN_BY
from radar_audit_hub.store.inbox import count_unread
from radar_audit_hub.store.sessions import Place, places_of

_SIGN_IN = "sign in to see this page"
MOST_UNREAD = 99  # shown as a number: every page asks, so it counts one further and no more


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A person with a session; `csrf` is the token of their forms, `places` their orgs.

    `unread` is how many notices of their inbox they have not read, at most MOST_UNREAD + 1.
    """

    person: Someone
    csrf: str
    places: list[Place]
    unread: int
    place: Place | None = None

    @property
    def unread_figure(self) -> str:
        """How many are not read, in as little room as there is, such as 99+."""
        return f"{MOST_UNREAD}+" if self.unread > MOST_UNREAD else str(self.unread)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgVisit(Visit):
    """A member of the org that the address names."""

    caller: Principal


VISIT: web.RequestKey[Visit] = web.RequestKey("visit", Visit)


async def visit(request: web.Request) -> Visit:
    """Return who looks at a page outside of any org.

    Raises UnauthorizedError without a session that is good, ForbiddenError for a form that the
    hub's own page did not send.
    """
    return await _known(request, await _signed(request, None))


async def org_visit(request: web.Request, *roles: str) -> OrgVisit:
    """Return who looks at a page of the org in the path, if they may: one of `roles` (none: any).

    Raises as `visit` does, NotFoundError for an org that is not theirs, ForbiddenError that names
    the roles. The menus of the error page know who it is.
    """
    org_id = request.match_info["org_id"]
    signed = await _signed(request, org_id)
    known = await _known(request, signed)
    caller = _member(signed)
    found = OrgVisit(
        person=known.person,
        csrf=known.csrf,
        places=known.places,
        unread=known.unread,
        place=next((one for one in known.places if one.org_id == caller.org_id), None),
        caller=caller,
    )
    request[VISIT] = found
    check(caller, org_id, *roles)
    return found


def _member(signed: Signed) -> Principal:
    try:
        return in_org(signed.found)
    except NotFoundError:  # the API's sentence speaks of tokens
        raise NotFoundError("there is no such organization") from None


async def maybe_visit(request: web.Request) -> Visit | None:
    """Return who looks at a page that needs no session; None for nobody."""
    try:
        return await visit(request)
    except UnauthorizedError:
        return None


async def _signed(request: web.Request, org_id: str | None) -> Signed:
    if "Authorization" in request.headers:
        raise UnauthorizedError("a token opens no page; " + _SIGN_IN)
    signed = await authenticate_session(request, org_id)
    if signed is None:
        raise UnauthorizedError(_SIGN_IN)
    return signed


def _someone(signed: Signed) -> Someone:
    found = signed.found
    return Someone(
        user_id=found.user_id,
        email=found.email,
        email_verified=found.email_verified,
        pat_name=None,
        session_id=found.id,
    )


async def _known(request: web.Request, signed: Signed) -> Visit:
    """Return who has a session, wherever they look; an error's page knows them from now on."""
    user_id = signed.found.user_id
    async with request.app[HUB].db.read() as connection:
        places = await places_of(connection, user_id)
        unread = await count_unread(connection, user_id, SEEN_BY, most=MOST_UNREAD + 1)
    found = Visit(
        person=_someone(signed), csrf=csrf_token(signed.secret), places=places, unread=unread
    )
    request[VISIT] = found
    return found
