"""The doors of the hub: home, signing in and out, accepting an invitation, a first organization.

Owns these pages' handlers. Who somebody is, and what becomes of an invitation or a new
organization, is decided by the features that the API's routes call too. Never takes an address to
send a browser to from a request, but for a path that `own_path` lets through.
"""

from __future__ import annotations

from urllib.parse import urlencode

from aiohttp import web
from radar_audit_events.errors import FieldError
from radar_audit_events.ids import is_opaque_id

from radar_audit_hub.auth.principal import LOG_READERS
from radar_audit_hub.auth.session_cookie import drop_session
from radar_audit_hub.auth.sessions import require_own_page
from radar_audit_hub.context import HUB
from radar_audit_hub.declarations import declare
from radar_audit_hub.emails import domain_of, lowered_email
from radar_audit_hub.errors import (
    ConflictError,
    ForbiddenError,
    InvalidBodyError,
    NotFoundError,
)
from radar_audit_hub.http_errors import problem
from radar_audit_hub.invitations import handlers as invitations
from radar_audit_hub.orgs import handlers as orgs
from radar_audit_hub.signin.handlers import SIGNOUT, end_own_session
from radar_audit_hub.signin.return_path import HOME, own_path
from radar_audit_hub.signin.state import SIGNIN
from radar_audit_hub.signin.underway import count_start
from radar_audit_hub.store.sso import org_of_domain

from . import zone_cookie, zones
from .error_pages import SIGN_IN
from .forms import NO_MISTAKES, Form, Mistakes, as_document, mistakes_of, read_form
from .rendering import page, see_other
from .visits import Visit, maybe_visit, org_visit, visit

ACCEPT = "/invitations/accept"
NEW_ORG = "/orgs/new"
_LINK_MARK = "token="


async def home(request: web.Request) -> web.Response:
    """Send a person to their organization, to the list of them, or to make their first one."""
    found = await visit(request)
    if len(found.places) == 1:
        return see_other(request, f"/orgs/{found.places[0].org_id}")
    return page(request, "orgs.html") if found.places else see_other(request, NEW_ORG)


async def org_home(request: web.Request) -> web.Response:
    """Send a member to the page that their role begins with."""
    found = await org_visit(request)
    if found.caller.role in LOG_READERS:
        return see_other(request, f"/orgs/{found.caller.org_id}/activity")
    return page(request, "org_home.html", org=found.caller)


async def show_sign_in(request: web.Request) -> web.Response:
    """Show the ways to sign in; who is signed in already goes on."""
    return_to = _asked_return(request)
    if await maybe_visit(request) is not None:
        return see_other(request, return_to)
    return _sign_in_page(request, return_to)


def _sign_in_page(
    request: web.Request, return_to: str, email: str = "", mistakes: Mistakes = NO_MISTAKES
) -> web.Response:
    hub = request.app[HUB]
    begin = "/api/auth/oidc/start?" + urlencode({"return_to": return_to})
    return page(
        request,
        "sign_in.html",
        status=422 if mistakes is not NO_MISTAKES else 200,
        provider=begin if request.app[SIGNIN].provider is not None else None,
        sso=hub.settings.workos.api_key is not None,
        return_to=return_to,
        email=email,
        mistakes=mistakes,
    )


async def sign_in_by_domain(request: web.Request) -> web.Response:
    """Find the organization whose identity provider signs in people of an e-mail's domain."""
    form = await read_form(request)
    require_own_page(request)
    count_start(request)
    return_to, given = _own_or_home(form.text("return_to")), form.text("email")
    if request.app[HUB].settings.workos.api_key is None:
        raise NotFoundError("single sign-on is not set up on this server")
    email = lowered_email(given)
    org_id = given if is_opaque_id("org", given) else None
    if email is not None:
        async with request.app[HUB].db.read() as conn:
            org_id = await org_of_domain(conn, domain_of(email))
    if org_id is None:
        text = "is of no domain that signs in here by its own identity provider"
        if email is None:
            text = "must be an e-mail such as alice@example.com, or an organization's id (org_…)"
        wrong = InvalidBodyError([FieldError("email", text)])
        return _sign_in_page(request, return_to, given, mistakes_of(wrong))
    asked = urlencode({"org_id": org_id, "return_to": return_to})
    # Not a redirect: the policy for forms would hold for the provider's pages, too.
    return page(request, "sign_in_onward.html", address=f"/api/auth/sso/start?{asked}")


async def sign_out(request: web.Request) -> web.Response:
    """End the browser's session."""
    await read_form(request)
    found = await visit(request)
    await end_own_session(request, found.person, found.person.session_id or "")
    response = see_other(request, SIGN_IN, "signed_out")
    drop_session(request, response)
    return response


async def show_new_org(request: web.Request) -> web.Response:
    """Show the form of a new organization."""
    return _new_org_page(request, await visit(request))


def _new_org_page(
    request: web.Request, found: Visit, name: str = "", mistakes: Mistakes = NO_MISTAKES
) -> web.Response:
    return page(
        request,
        "new_org.html",
        status=422 if mistakes is not NO_MISTAKES else 200,
        verified=found.person.email_verified,
        name=name,
        mistakes=mistakes,
    )


async def make_org(request: web.Request) -> web.Response:
    """Make an organization; the person is its owner."""
    form = await read_form(request)
    found = await visit(request)
    name = form.text("name")
    try:
        org = await orgs.create(request, found.person, as_document({"name": name}, orgs.NEW_ORG))
    except (InvalidBodyError, ForbiddenError, ConflictError) as error:
        return _new_org_page(request, found, name, mistakes_of(error))
    return see_other(request, f"/orgs/{org.id}", "org_created")


async def show_invitation(request: web.Request) -> web.Response:
    """Show where an invitation is accepted; its token is behind the #, which no server sees."""
    await maybe_visit(request)
    return page(request, "invitation.html", sign_in=_sign_in_to(ACCEPT))


async def accept_invitation(request: web.Request) -> web.Response:
    """Make the person a member by the link that they opened or pasted."""
    form = await read_form(request)
    found = await visit(request)
    try:
        org, _ = await invitations.accept(request, found.person, _token_in(form))
    except (NotFoundError, ForbiddenError, ConflictError) as error:
        return page(
            request,
            "invitation.html",
            status=problem(error).status,
            sign_in=_sign_in_to(ACCEPT),
            mistakes=mistakes_of(error),
        )
    return see_other(request, f"/orgs/{org.id}", "joined")


async def show_preferences(request: web.Request) -> web.Response:
    """Show the time zones to choose from."""
    await visit(request)
    return page(request, "preferences.html", return_to=_asked_return(request))


async def set_zone(request: web.Request) -> web.Response:
    """Keep the time zone that a reader chose, in their browser."""
    form = await read_form(request)
    await visit(request)
    name = form.text("zone")
    if not zones.is_zone(name):
        message = "must be the name of a time zone, such as Europe/Berlin"
        raise InvalidBodyError([FieldError("zone", message)])
    response = see_other(request, _own_or_home(form.text("return_to")), "zone_set")
    zone_cookie.keep(request, response, name)
    return response


def _token_in(form: Form) -> str:
    """Return the token of what was pasted: a whole link, or the token alone."""
    text = form.text("link")
    return text.rpartition(_LINK_MARK)[2] if _LINK_MARK in text else text


def _sign_in_to(path: str) -> str:
    return f"{SIGN_IN}?" + urlencode({"return_to": path})


def _asked_return(request: web.Request) -> str:
    return _own_or_home(request.query.get("return_to", HOME))


def _own_or_home(text: str) -> str:
    """Return a path of the hub's own; home for anything else, which a link from outside may say."""
    try:
        return own_path(text)
    except ValueError:
        return HOME


def routes() -> list[web.RouteDef]:
    """Return the doors' routes."""
    preference = "a reader's own preference, kept in their browser"
    return [
        web.get("/", home, allow_head=False),
        web.get(SIGN_IN, show_sign_in, allow_head=False),
        declare(
            web.post(f"{SIGN_IN}/sso", sign_in_by_domain),
            events=None,
            reason="finds the address at which a sign-in begins",
        ),
        declare(web.post("/signout", sign_out), events=SIGNOUT),
        web.get(NEW_ORG, show_new_org, allow_head=False),
        declare(web.post(NEW_ORG, make_org), events=orgs.CREATED),
        web.get(ACCEPT, show_invitation, allow_head=False),
        declare(web.post(ACCEPT, accept_invitation), events=invitations.ACCEPTED),
        web.get("/preferences", show_preferences, allow_head=False),
        declare(web.post("/preferences/zone", set_zone), events=None, reason=preference),
        web.get("/orgs/{org_id}", org_home, allow_head=False),
    ]
