"""The page of personal access tokens: one's own, and for owners everybody's.

Owns these handlers. What a token may be is decided by `tokens/`. A token's text is shown once, in
the answer to the form that made it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from radar_audit_events.errors import FieldError
from radar_audit_events.ids import format_ms

from radar_audit_hub.auth.principal import SCOPES
from radar_audit_hub.context import HUB
from radar_audit_hub.declarations import declare
from radar_audit_hub.errors import InvalidBodyError
from radar_audit_hub.tokens import handlers as tokens
from radar_audit_hub.web.forms import as_document, read_form
from radar_audit_hub.web.rendering import page
from radar_audit_hub.web.visits import OrgVisit, org_visit

from .answering import refusal
from .making import NOTHING_SENT, Outcome, done_here, made_here

_PAGE = "/orgs/{org_id}/tokens"
_DAY_MS = 86_400_000
LIVES = ("30", "90", "365", "never")  # days that the form offers


async def show(request: web.Request) -> web.Response:
    """Show the tokens of the person who asks, or with `user=all` the organization's."""
    return await _page(request, await org_visit(request, *tokens.HOLDERS), NOTHING_SENT)


async def _page(request: web.Request, visit: OrgVisit, outcome: Outcome) -> web.Response:
    status, mistakes = refusal(outcome.error)
    found = await tokens.listed(request, visit.caller)
    return page(
        request,
        "settings/tokens.html",
        status=status,
        mistakes=mistakes,
        pats=found["pats"],
        next_cursor=found["next_cursor"],
        of_all=request.query.get("user") == "all",
        scopes=SCOPES,
        lives=LIVES,
        name=outcome.typed("name", ""),
        life=outcome.typed("life", "90"),
        chosen=[] if outcome.form is None else outcome.form.many("scopes"),
        now=format_ms(request.app[HUB].now_ms()),
        made=outcome.made,
    )


async def create(request: web.Request) -> web.Response:
    """Make a token; the answer shows it once."""
    form = await read_form(request)
    visit = await org_visit(request, *tokens.HOLDERS)

    async def making() -> Mapping[str, Any]:
        values = {
            "name": form.text("name"),
            "expires_at": _end(request, form.text("life")),
            "scopes": form.many("scopes") or None,
        }
        return await tokens.create(request, visit.caller, as_document(values, tokens.NEW))

    return await made_here(request, visit, _page, making(), form)


def _end(request: web.Request, life: str) -> str | None:
    if life not in LIVES:
        message = f"must be {', '.join(LIVES[:-1])} days or never"
        raise InvalidBodyError([FieldError("life", message)])
    return None if life == "never" else format_ms(request.app[HUB].now_ms() + int(life) * _DAY_MS)


async def revoke(request: web.Request) -> web.Response:
    """Revoke a token."""
    form = await read_form(request)
    visit = await org_visit(request, *tokens.HOLDERS)
    all_of_them = "?user=all" if form.text("user") == "all" else ""
    return await done_here(
        request,
        visit,
        _page,
        tokens.revoke(request, visit.caller, None),
        address=f"/orgs/{visit.caller.org_id}/tokens{all_of_them}",
        said="token_revoked",
    )


def routes() -> list[web.RouteDef]:
    """Return the page's routes."""
    return [
        web.get(_PAGE, show, allow_head=False),
        declare(web.post(_PAGE, create), events=(tokens.CREATED,)),
        declare(web.post(_PAGE + "/{pat_id}/revoke", revoke), events=(tokens.REVOKED,)),
    ]
