"""The time zone that a reader chose, kept in their browser.

Owns the cookie. Called by the pages. It is a preference and no secret: a page's script may set it,
and whatever is no zone's name counts as none.
"""

from __future__ import annotations

from zoneinfo import ZoneInfo

from aiohttp import web

from radar_audit_hub.auth.session_cookie import is_secure

from .zones import zone_named

COOKIE = "radar_audit_zone"
_YEAR_SECONDS = 31_536_000


def zone_of(request: web.Request) -> ZoneInfo:
    """Return the zone that the reader chose, UTC if they chose none."""
    return zone_named(request.cookies.get(COOKIE, ""))


def is_chosen(request: web.Request) -> bool:
    """Tell whether the reader has a zone of their own."""
    return COOKIE in request.cookies


def keep(request: web.Request, response: web.StreamResponse, name: str) -> None:
    """Have the browser keep a zone's name; not hidden from scripts, which may set it too."""
    response.set_cookie(
        COOKIE, name, max_age=_YEAR_SECONDS, path="/", secure=is_secure(request), samesite="Lax"
    )
