"""`GET /api/me`: who the caller is.

Owns the edge of the auth feature; `app.py` lists its `routes()`. Never shows a
token or its hash.
"""

from __future__ import annotations

import msgspec
from aiohttp import web
from radar_audit_events.ids import format_ms

from .access import require


async def me(request: web.Request) -> web.Response:
    """Answer with the token's person, org, role and scopes."""
    caller = await require(request)
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


def routes() -> list[web.RouteDef]:
    """Return the feature's routes."""
    return [web.get("/api/me", me, allow_head=False)]
