"""The routes of SSO: the Admin Portal for owners, and signing in through WorkOS.

Owns the edge and the list of SSO's outbox work. Which org a sign-in is for is kept on the server
when it begins, and the connection that answers must belong to that org.
"""

from __future__ import annotations

import logging

import msgspec
from aiohttp import web
from radar_audit_events.errors import FieldError
from radar_audit_events.ids import format_ms, is_opaque_id

from radar_audit_hub.audit.parameters import Reader
from radar_audit_hub.auth.access import require
from radar_audit_hub.auth.principal import OWNER, Principal
from radar_audit_hub.auth.sessions import origin_of
from radar_audit_hub.changes import changing
from radar_audit_hub.context import HUB
from radar_audit_hub.declarations import declare
from radar_audit_hub.errors import (
    ConflictError,
    ForbiddenError,
    InvalidBodyError,
    NotFoundError,
    UnavailableError,
)
from radar_audit_hub.json_edge import json_document, read_document
from radar_audit_hub.members.joining import auto_join
from radar_audit_hub.outbox.delivery import Handlers
from radar_audit_hub.signin.opening import open_session
from radar_audit_hub.signin.state import SIGNIN
from radar_audit_hub.signin.underway import (
    arrive,
    asked_return,
    begin,
    come_back,
    count_start,
    leave,
)
from radar_audit_hub.store.sso import workos_id_of

from . import portal, signing_in
from .workos import Profile, Workos, WorkosAwayError, WorkosRefusedError

SCOPE = "org:write"
CALLBACK = "/api/auth/sso/callback"
OUTBOX: Handlers = {portal.KIND: portal.finish}
_ISSUER = "workos"
_OFF = "single sign-on is not set up for this organization"
_AWAY = "WorkOS does not answer as it should; try again"
_logger = logging.getLogger(__name__)


class PortalRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be set up in the portal."""

    intent: str = "sso"


PORTAL = msgspec.json.Decoder(PortalRequest)


async def open_portal(request: web.Request) -> web.Response:
    """Answer with the address of the Admin Portal, good for five minutes."""
    caller = await require(request, OWNER, scope=SCOPE)
    return json_document(await portal_link(request, caller, await read_document(request, PORTAL)))


async def portal_link(
    request: web.Request, caller: Principal, asked: PortalRequest
) -> dict[str, str]:
    """Open the Admin Portal; return its address (a secret) and until when it is good.

    Raises InvalidBodyError, NotFoundError, ConflictError, UnavailableError.
    """
    hub = request.app[HUB]
    if asked.intent not in portal.INTENTS:
        message = f"must be one of {', '.join(portal.INTENTS)}"
        raise InvalidBodyError([FieldError("intent", message)])
    workos = _workos(request)
    async with changing(request, caller) as change:
        visit = await portal.wish(change, hub, caller, caller.org_id, asked.intent)
    try:
        opened = await portal.call(hub, workos, visit)
    except WorkosAwayError as error:
        _logger.warning("the SSO portal was not opened yet", extra={"reason": str(error)})
        raise UnavailableError(_AWAY) from None
    except WorkosRefusedError as error:
        await portal.give_up(hub, visit)
        _logger.warning("WorkOS refused to open the portal", extra={"status": error.status})
        raise ConflictError("WorkOS refused; the server's log says with which status") from None
    async with changing(request, caller) as change:
        await portal.note_opened(change, visit, opened.workos_id)
    until = format_ms(hub.now_ms() + portal.LINK_SECONDS * 1000)
    return {"url": opened.link, "expires_at": until}


async def start(request: web.Request) -> web.Response:
    """Send the browser to the identity provider of an organization."""
    workos = _workos(request)
    reader = Reader(list(request.query.items()), ("org_id", "return_to"))
    return_to, org_id = asked_return(reader), reader.one("org_id")
    if org_id is None:
        reader.refuse("org_id", "must name the organization to sign in to")
    reader.finish()
    count_start(request)
    workos_id = await _workos_id(request, org_id or "")
    begun = await begin(request, kind="sso", issuer=_ISSUER, return_to=return_to, org_id=org_id)
    url = workos.authorize_url(
        workos_id=workos_id, redirect_uri=_redirect_uri(request), state=begun.state
    )
    return leave(request, url, begun)


async def callback(request: web.Request) -> web.Response:
    """End a sign-in: the browser comes back from WorkOS with a code."""
    workos, hub = _workos(request), request.app[HUB]
    login, code = await come_back(request, kind="sso", issuer=_ISSUER)
    org_id = login.org_id or ""
    workos_id = await _workos_id(request, org_id)
    profile, domains = await _ask(workos, code, workos_id)
    async with changing(request, None) as change:
        found = await signing_in.join(hub, change, org_id, profile, domains)
        if found is None:
            raise ForbiddenError("this connection belongs to another organization")
        request.app[SIGNIN].ends.count(found.person.user_id, hub.now_ms())
    if found.vouched:
        # A change of its own: the orgs that it locks are others, in the order of their ids.
        async with changing(request, None) as change:
            change.actor = found.actor
            await auto_join(change, found.person.user_id, found.person.email)
    secret = await open_session(request, found.person, "sso")
    return arrive(request, secret, login.return_to)


async def _ask(workos: Workos, code: str, workos_id: str) -> tuple[Profile, list[str]]:
    try:
        profile = await workos.profile(code)
        if profile.organization_id != workos_id:
            raise ForbiddenError("this answer is for another organization")
        return profile, await workos.verified_domains(workos_id)
    except WorkosAwayError as error:
        _logger.warning("WorkOS did not answer", extra={"reason": str(error)})
        raise UnavailableError(_AWAY) from None
    except WorkosRefusedError as error:
        _logger.warning("WorkOS refused a sign-in", extra={"status": error.status})
        raise ForbiddenError("WorkOS does not take this sign-in; begin anew") from None


async def _workos_id(request: web.Request, org_id: str) -> str:
    found = None
    if is_opaque_id("org", org_id):
        async with request.app[HUB].db.read() as conn:
            found = await workos_id_of(conn, org_id)
    if found is None:
        raise NotFoundError(_OFF)
    return found


def _workos(request: web.Request) -> Workos:
    hub = request.app[HUB]
    if hub.settings.workos.api_key is None:
        raise NotFoundError("single sign-on is not set up on this server")
    return Workos(hub.settings.workos, hub.outbound, request.app[SIGNIN].workos_tls)


def _redirect_uri(request: web.Request) -> str:
    return origin_of(request.app[HUB].settings.public_url) + CALLBACK


def routes() -> list[web.RouteDef]:
    """Return the feature's routes."""
    return [
        declare(web.post("/api/orgs/{org_id}/sso/portal", open_portal), events=(portal.ACTION,)),
        web.get("/api/auth/sso/start", start, allow_head=False),
        declare(
            web.get(CALLBACK, callback, allow_head=False),
            events=("auth.signin", signing_in.ACTION, "org_member.auto_joined"),
        ),
    ]
