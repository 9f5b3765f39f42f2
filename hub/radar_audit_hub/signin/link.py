"""Signing in by a one-time link that the command on the server prints.

Owns the link's two routes. Opening the address shows a button and does nothing else, so that a
program that looks ahead at links (mail scanners, browsers) uses none up; pressing it signs in.
"""

from __future__ import annotations

from aiohttp import web

from radar_audit_hub.auth.sessions import require_own_page
from radar_audit_hub.changes import Change, changing
from radar_audit_hub.client_address import address_of
from radar_audit_hub.context import HUB
from radar_audit_hub.credentials import kind_of_token, token_hash
from radar_audit_hub.declarations import declare
from radar_audit_hub.errors import ForbiddenError
from radar_audit_hub.json_edge import no_parameters
from radar_audit_hub.store.control import Person
from radar_audit_hub.store.identities import find_person, mark_email
from radar_audit_hub.store.logins import take_link
from radar_audit_hub.web.rendering import page

from .opening import EVENTS, open_session_in
from .return_path import HOME
from .state import SIGNIN
from .underway import arrive, count_start

PATH = "/api/auth/link/{token}"
_USED = "this link was used already, is older than 10 minutes, or never was one; get a new one"


async def show_button(request: web.Request) -> web.Response:
    """Answer with a button; the same for every link, good or not."""
    no_parameters(request)
    return page(request, "sign_in_link.html")


async def use(request: web.Request) -> web.Response:
    """Use the link up and sign its person in."""
    no_parameters(request)
    require_own_page(request)
    count_start(request)
    # One change: a link whose session was not opened is not used up.
    async with changing(request, None) as change:
        person = await _take(request, change)
        request.app[SIGNIN].ends.count(person.user_id, change.now_ms)
        secret = await open_session_in(change, request, person, "link")
    return arrive(request, secret, HOME)


async def _take(request: web.Request, change: Change) -> Person:
    hub, token = request.app[HUB], request.match_info["token"]
    person = None
    if kind_of_token(token) == "rhl":
        user_id = await take_link(change.conn, token_hash(token), change.now_ms)
        person = None if user_id is None else await find_person(change.conn, user_id)
        if person is not None:  # the server's operator vouches for the e-mail of the link
            await mark_email(change.conn, person.user_id, verified=True)
    if person is None:
        hub.auth_failures.count(address_of(request), hub.now_ms())
        raise ForbiddenError(_USED)
    return person


def routes() -> list[web.RouteDef]:
    """Return the link's routes."""
    return [
        web.get(PATH, show_button, allow_head=False),
        declare(web.post(PATH, use), events=EVENTS),
    ]
