"""The pages of a person's inbox: what happened in their organizations, and what comes by mail.

Owns these handlers. What is in an inbox, and who sees which kind, is decided by `inbox/`. A notice
leads to a path of the hub's own; anything else in its place leads nowhere.
"""

from __future__ import annotations

from aiohttp import web

from radar_audit_hub.declarations import declare
from radar_audit_hub.inbox import handlers as inbox
from radar_audit_hub.signin.return_path import own_path

from .forms import read_form
from .rendering import page, see_other
from .visits import visit

PATH = "/inbox"


async def show(request: web.Request) -> web.Response:
    """Show the notices, newest first."""
    found = await visit(request)
    listed = await inbox.listed(request, found.person)
    return page(
        request,
        "inbox.html",
        notices=listed["notices"],
        unread=listed["unread"],
        next_cursor=listed["next_cursor"],
        only_unread=request.query.get("unread") == "true",
        way=_way,
    )


def _way(path: str) -> str | None:
    """Return a notice's path if it is one of ours."""
    try:
        return own_path(path)
    except ValueError:
        return None


async def mark(request: web.Request) -> web.Response:
    """Mark one notice read, or all."""
    form = await read_form(request)
    found = await visit(request)
    ids = form.many("id")
    await inbox.mark(request, found.person, inbox.ReadOrder(ids=ids, all=not ids))
    return see_other(request, PATH)


async def delete(request: web.Request) -> web.Response:
    """Delete a notice."""
    await read_form(request)
    found = await visit(request)
    await inbox.remove(request, found.person)
    return see_other(request, PATH, "notice_deleted")


async def show_preferences(request: web.Request) -> web.Response:
    """Show which kinds come by mail."""
    found = await visit(request)
    chosen = await inbox.load_preferences(request, found.person)
    return page(request, "inbox_preferences.html", kinds=chosen["kinds"])


async def choose(request: web.Request) -> web.Response:
    """Keep which kinds come by mail."""
    form = await read_form(request)
    found = await visit(request)
    kinds = (await inbox.load_preferences(request, found.person))["kinds"]
    ticked = set(form.many("by_mail"))
    by_mail = {one["kind"]: one["kind"] in ticked for one in kinds}
    # What is as the kind's default anyway follows the default from then on.
    asked = {
        one["kind"]: None
        if by_mail[one["kind"]] == one["by_mail_default"]
        else by_mail[one["kind"]]
        for one in kinds
    }
    await inbox.choose(request, found.person, inbox.PreferencesOrder(by_mail=asked))
    return see_other(request, f"{PATH}/preferences", "saved")


def routes() -> list[web.RouteDef]:
    """Return the pages' routes."""
    return [
        web.get(PATH, show, allow_head=False),
        declare(web.post(f"{PATH}/read", mark), events=None, reason=inbox.OWN),
        web.get(f"{PATH}/preferences", show_preferences, allow_head=False),
        declare(web.post(f"{PATH}/preferences", choose), events=None, reason=inbox.OWN),
        declare(web.post(f"{PATH}/{{notice_id}}/delete", delete), events=None, reason=inbox.OWN),
    ]
