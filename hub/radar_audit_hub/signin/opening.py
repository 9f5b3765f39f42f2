"""Opening and ending sessions, with a row in each org that the person belongs to.

Owns `open_session` and `note_in_orgs`. Called by every way of signing in once it knows who it
is, and by signing out. A session gets a new secret each time, whatever cookie came with the
request. Never decides who somebody is.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web
from radar_audit_events.ids import new_id

from radar_audit_hub.auth.principal import Someone
from radar_audit_hub.auth.session_cookie import session_secret
from radar_audit_hub.auth.session_rules import plain_user_agent
from radar_audit_hub.changes import Change, changing
from radar_audit_hub.client_address import address_of
from radar_audit_hub.context import HUB
from radar_audit_hub.credentials import SECRET_BYTES, new_token, token_hash
from radar_audit_hub.errors import NotFoundError
from radar_audit_hub.store.control import Person
from radar_audit_hub.store.sessions import (
    NewSession,
    end_oldest_sessions,
    insert_session,
    lock_person,
    places_of,
    revoke_by_hash,
)

MAX_SESSIONS = 20  # open at once, for one person: above it the oldest ends
EVENTS = ("auth.signin",)


async def open_session(request: web.Request, person: Person, method: str) -> str:
    """Open a session in a change of its own; see `open_session_in`."""
    async with changing(request, None) as change:
        return await open_session_in(change, request, person, method)


async def open_session_in(change: Change, request: web.Request, person: Person, method: str) -> str:
    """Open a session and return its secret, for the cookie.

    What the browser had before ends: nobody can have planted the session that is used now.
    """
    hub = request.app[HUB]
    secret = new_token("rhs", hub.random_bytes(SECRET_BYTES))
    before = session_secret(request)
    verified = await lock_person(change.conn, person.user_id)
    change.actor = Someone(
        user_id=person.user_id, email=person.email, email_verified=verified, pat_name=None
    )
    if before is not None:
        await revoke_by_hash(change.conn, token_hash(before), change.now_ms)
    new = NewSession(
        secret_hash=token_hash(secret),
        id=new_id("ses_", change.now_ms, hub.random_bytes(10)),
        user_id=person.user_id,
        method=method,
        ip=address_of(request) or None,
        user_agent=user_agent(request),
        created_at_ms=change.now_ms,
        expires_at_ms=change.now_ms + hub.settings.session.lifetime_ms,
    )
    await insert_session(change.conn, new)
    await end_oldest_sessions(change.conn, person.user_id, keep=MAX_SESSIONS, now_ms=change.now_ms)
    await note_in_orgs(request, change, person.user_id, "auth.signin", method)
    return secret


async def note_in_orgs(
    request: web.Request, change: Change, user_id: str, action: str, method: str
) -> None:
    """Have `action` written in each org of the person, locked in the order of their ids."""
    locked: list[str] = []
    for place in await places_of(change.conn, user_id):
        try:
            await change.lock(place.org_id)
        except NotFoundError:  # deleted a moment ago: its log takes no more rows of people
            continue
        locked.append(place.org_id)
    # Read again: before the lock, somebody may have removed the person.
    still = {place.org_id for place in await places_of(change.conn, user_id)}
    for org_id in locked:
        if org_id in still:
            change.note(org_id, action, user_id, _metadata(request, method))


def _metadata(request: web.Request, method: str) -> dict[str, Any]:
    found = {"method": method, "ip": address_of(request), "user_agent": user_agent(request)}
    return {key: value for key, value in found.items() if value}


def user_agent(request: web.Request) -> str | None:
    """Return what the browser calls itself, fit for the log."""
    return plain_user_agent(request.headers.get("User-Agent"))
