"""A person's own sessions: which one this is, which there are, and ending them.

Owns the edge; `app.py` lists its `routes()` with those of the ways to sign in. Never shows a
session's secret; its CSRF token is shown to the session itself.
"""

from __future__ import annotations

import re

from aiohttp import web
from radar_audit_events.ids import format_ms

from radar_audit_hub.auth.access import require_user
from radar_audit_hub.auth.principal import Someone
from radar_audit_hub.auth.session_cookie import drop_session
from radar_audit_hub.auth.session_rules import csrf_token
from radar_audit_hub.auth.sessions import authenticate_session
from radar_audit_hub.changes import changing
from radar_audit_hub.context import HUB
from radar_audit_hub.declarations import declare
from radar_audit_hub.errors import ForbiddenError, NotFoundError, UnauthorizedError
from radar_audit_hub.json_edge import json_document, no_parameters
from radar_audit_hub.store.sessions import ListedSession, list_sessions, revoke_session

from . import link, oidc
from .opening import MAX_SESSIONS, note_in_orgs

_NO_SESSION = "nobody is signed in here: there is no session's cookie"
_NO_SUCH = "there is no such session of yours, or it has ended"
_SESSION_ID = re.compile(r"^ses_[0-7][0-9A-HJKMNP-TV-Z]{25}\Z")
SIGNOUT = ("auth.signout",)


async def show_session(request: web.Request) -> web.Response:
    """Answer with the session that the browser has, and the CSRF token for what it changes."""
    signed = await authenticate_session(request, None)
    if signed is None:
        await _signed_in(request)  # a token is refused as a token
        raise UnauthorizedError(_NO_SESSION)
    no_parameters(request)
    found, settings = signed.found, request.app[HUB].settings.session
    idle_at = max(found.last_seen_at_ms, request.app[HUB].now_ms()) + settings.idle_ms
    return json_document(
        {
            "id": found.id,
            "user_id": found.user_id,
            "email": found.email,
            "email_verified": found.email_verified,
            "method": found.method,
            "created_at": format_ms(found.created_at_ms),
            "idle_expires_at": format_ms(min(idle_at, found.expires_at_ms)),
            "expires_at": format_ms(found.expires_at_ms),
            "csrf_token": csrf_token(signed.secret),
        }
    )


async def sign_out(request: web.Request) -> web.Response:
    """End the session that the browser has."""
    caller = await _signed_in(request)
    no_parameters(request)
    await end_own_session(request, caller, caller.session_id or "")
    response = json_document({})
    drop_session(request, response)
    return response


async def show_sessions(request: web.Request) -> web.Response:
    """Answer with the person's open sessions, the newest first."""
    caller = await _signed_in(request)
    no_parameters(request)
    hub = request.app[HUB]
    now_ms = hub.now_ms()
    async with hub.db.read() as connection:
        found = await list_sessions(
            connection,
            caller.user_id,
            now_ms=now_ms,
            seen_since_ms=now_ms - hub.settings.session.idle_ms,
            limit=MAX_SESSIONS,
        )
    shown = [_shown(one, current=one.id == caller.session_id) for one in found]
    return json_document({"sessions": shown, "next_cursor": None})


async def end_session(request: web.Request) -> web.Response:
    """End one of the person's sessions, this one or another."""
    caller = await _signed_in(request)
    no_parameters(request)
    session_id = request.match_info["session_id"]
    if not _SESSION_ID.match(session_id):
        raise NotFoundError(_NO_SUCH)
    await end_own_session(request, caller, session_id)
    response = json_document({})
    if session_id == caller.session_id:
        drop_session(request, response)
    return response


async def _signed_in(request: web.Request) -> Someone:
    """Return the person of a session: a stolen token must neither see sessions nor end them."""
    caller = await require_user(request)
    if caller.session_id is None:
        raise ForbiddenError("this is for sessions of browsers, not for tokens")
    return caller


async def end_own_session(request: web.Request, caller: Someone, session_id: str) -> None:
    """End a session of the caller's, with its events. Raises NotFoundError."""
    async with changing(request, caller) as change:
        method = await revoke_session(change.conn, caller.user_id, session_id, change.now_ms)
        if method is None:
            raise NotFoundError(_NO_SUCH)
        await note_in_orgs(request, change, caller.user_id, "auth.signout", method)


def _shown(one: ListedSession, *, current: bool) -> dict[str, object]:
    return {
        "id": one.id,
        "current": current,
        "method": one.method,
        "ip": one.ip,
        "user_agent": one.user_agent,
        "created_at": format_ms(one.created_at_ms),
        "last_seen_at": format_ms(one.last_seen_at_ms),
        "expires_at": format_ms(one.expires_at_ms),
    }


def routes() -> list[web.RouteDef]:
    """Return the feature's routes."""
    return [
        web.get("/api/session", show_session, allow_head=False),
        declare(web.delete("/api/session", sign_out), events=SIGNOUT),
        web.get("/api/sessions", show_sessions, allow_head=False),
        declare(web.delete("/api/sessions/{session_id}", end_session), events=SIGNOUT),
        *oidc.routes(),
        *link.routes(),
    ]
