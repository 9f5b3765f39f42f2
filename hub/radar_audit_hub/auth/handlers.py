"""`GET /api/me`: who the caller is.

Owns the edge of the auth feature; `app.py` lists its `routes()`. Never shows a
token or its hash.
"""

from __future__ import annotations

import msgspec
from aiohttp import web
from radar_audit_events.ids import format_ms

from radar_audit_hub.context import HUB
from radar_audit_hub.json_edge import no_parameters
from radar_audit_hub.store.sessions import FoundSession, places_of

from .access import require
from .sessions import authenticate_session


async def me(request: web.Request) -> web.Response:
    """Answer with the token's person, org, role and scopes; with a session, with all orgs."""
    signed = await authenticate_session(request, None)
    if signed is not None:
        no_parameters(request)
        return await _person(request, signed.found)
    caller = await require(request)
    no_parameters(request)
    expires = caller.expires_at_ms
    answer = {
        "user_id": caller.user_id,
        "email": caller.email,
        "org_id": caller.org_id,
        "org_name": caller.org_name,
        "role": caller.role,
        "scopes": caller.scopes,
        "pat": {
            "id": caller.pat_id,
            "name": caller.pat_name,
            "expires_at": None if expires is None else format_ms(expires),
        },
    }
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json")


async def _person(request: web.Request, found: FoundSession) -> web.Response:
    async with request.app[HUB].db.read() as connection:
        places = await places_of(connection, found.user_id)
    answer = {
        "user_id": found.user_id,
        "email": found.email,
        "email_verified": found.email_verified,
        "session_id": found.id,
        "orgs": [
            {
                "org_id": place.org_id,
                "org_name": place.org_name,
                "plan": place.plan,
                "role": place.role,
            }
            for place in places
        ],
    }
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json")


def routes() -> list[web.RouteDef]:
    """Return the feature's routes."""
    return [web.get("/api/me", me, allow_head=False)]
