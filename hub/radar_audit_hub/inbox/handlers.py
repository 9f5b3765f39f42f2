"""The routes of a person's own inbox: list, read, delete, preferences, ending mails.

Owns the edge. An inbox is a person's over all their orgs; what is read is known to the hub, so it
is the same in every session. A notice of an org that somebody has left, or of a kind that is not
for their role any more, is not shown. Never shows anybody else's.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

import msgspec
from aiohttp import web
from radar_audit_events.errors import FieldError
from radar_audit_events.ids import format_ms, is_opaque_id

from radar_audit_hub.audit.parameters import Reader
from radar_audit_hub.auth.access import require_user
from radar_audit_hub.auth.principal import Someone
from radar_audit_hub.context import HUB
from radar_audit_hub.declarations import declare
from radar_audit_hub.errors import InvalidBodyError, NotFoundError
from radar_audit_hub.json_edge import json_document, no_parameters, read_document
from radar_audit_hub.listing import PARAMETERS, cut, read_page
from radar_audit_hub.notices.kinds import KINDS, SEEN_BY
from radar_audit_hub.notices.mails import ENDING_PATH
from radar_audit_hub.store import inbox
from radar_audit_hub.store.database import Connection
from radar_audit_hub.store.inbox import Item
from radar_audit_hub.web.rendering import page

PATH = "/api/inbox"
MAX_IDS = 200
OWN = "a person's own state: what they have read, and what they want by mail"
_NO_SUCH = "there is no such notice"
_NO_LINK = "this link ends no mails: it is not one of ours, or it was cut short"
_ENDING = re.compile(r"^[A-Za-z0-9_-]{1,100}\Z")
_FLAGS = {"true": True, "false": False}


class ReadOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST read`: some notices by their ids, or all."""

    ids: list[str] = []
    all: bool = False


class PreferencesOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`PUT preferences`: by kind, whether it comes by mail; null: as the kind's default."""

    by_mail: dict[str, bool | None]


_read = msgspec.json.Decoder(ReadOrder)
_preferences = msgspec.json.Decoder(PreferencesOrder)


async def list_items(request: web.Request) -> web.Response:
    """Answer with a page of the caller's notices, newest first, and how many are not read."""
    return json_document(await listed(request, await require_user(request)))


async def listed(request: web.Request, caller: Someone) -> dict[str, Any]:
    """Return the page of notices that the address asks for, as the API shows it."""
    reader = Reader(list(request.query.items()), (*PARAMETERS, "unread", "org_id"))
    unread = reader.choice("unread", _FLAGS, default=False)
    org_id = reader.one("org_id")
    if org_id is not None and not is_opaque_id("org", org_id):
        reader.refuse("org_id", "must be an organization's id")
    list_name = f"inbox:{caller.user_id}:{unread}:{org_id or ''}"
    asked = read_page(reader, list_name, (str,))
    async with request.app[HUB].db.read() as conn:
        rows = await inbox.page_items(
            conn,
            caller.user_id,
            SEEN_BY,
            org_id=org_id,
            unread=unread,
            before=asked.after_text,
            limit=asked.limit + 1,
        )
        count = await inbox.count_unread(conn, caller.user_id, SEEN_BY)
    found, following = cut(rows, asked, list_name, lambda one: (one.id,))
    return {
        "notices": [_shown(one) for one in found],
        "unread": count,
        "next_cursor": following,
    }


async def read_items(request: web.Request) -> web.Response:
    """Note that the caller has read some notices, or all; answer with how many are left."""
    caller = await require_user(request)
    asked = await read_document(request, _read)
    return json_document({"unread": await mark(request, caller, asked)})


async def mark(request: web.Request, caller: Someone, asked: ReadOrder) -> int:
    """Mark notices read and return how many are not. Raises InvalidBodyError."""
    if bool(asked.ids) == asked.all:
        raise InvalidBodyError([FieldError("body", "must have either ids or all: true")])
    if len(asked.ids) > MAX_IDS:
        raise InvalidBodyError([FieldError("ids", f"must be at most {MAX_IDS}; or use all")])
    if not all(_is_id(one) for one in asked.ids):
        raise InvalidBodyError([FieldError("ids", "must be ids of notices, such as ntc_01JD8Z…")])
    hub = request.app[HUB]
    async with hub.own_turn(caller.user_id), hub.db.write() as conn:
        ids = None if asked.all else asked.ids
        await inbox.mark_read(conn, caller.user_id, ids, hub.now_ms())
        return await inbox.count_unread(conn, caller.user_id, SEEN_BY)


async def delete_item(request: web.Request) -> web.Response:
    """Delete one of the caller's notices."""
    caller = await require_user(request)
    no_parameters(request)
    await remove(request, caller)
    return web.Response(status=204)


async def remove(request: web.Request, caller: Someone) -> None:
    """Delete the notice that the path names. Raises NotFoundError."""
    hub, item_id = request.app[HUB], request.match_info["notice_id"]
    async with hub.own_turn(caller.user_id), hub.db.write() as conn:
        if not _is_id(item_id) or not await inbox.delete_item(conn, caller.user_id, item_id):
            raise NotFoundError(_NO_SUCH)


async def show_preferences(request: web.Request) -> web.Response:
    """Answer with all kinds, and which of them come by mail."""
    caller = await require_user(request)
    no_parameters(request)
    return json_document(await load_preferences(request, caller))


async def load_preferences(request: web.Request, caller: Someone) -> dict[str, Any]:
    """Return what the caller has chosen, as the API shows it."""
    async with request.app[HUB].db.read() as conn:
        return await _chosen(conn, caller.user_id)


async def put_preferences(request: web.Request) -> web.Response:
    """Choose which kinds come by mail; what is left out stays."""
    caller = await require_user(request)
    asked = await read_document(request, _preferences)
    return json_document(await choose(request, caller, asked))


async def choose(request: web.Request, caller: Someone, asked: PreferencesOrder) -> dict[str, Any]:
    """Note the caller's choices and return them. Raises InvalidBodyError."""
    unknown = sorted(set(asked.by_mail) - set(KINDS))
    if unknown:
        known = ", ".join(KINDS)
        raise InvalidBodyError([FieldError("by_mail", f"knows the kinds {known} alone")])
    hub = request.app[HUB]
    async with hub.own_turn(caller.user_id), hub.db.write() as conn:
        for kind, by_mail in asked.by_mail.items():
            fresh = secrets.token_urlsafe(24)
            await inbox.choose(conn, caller.user_id, kind, by_mail=by_mail, fresh=fresh)
        return await _chosen(conn, caller.user_id)


async def show_ending(request: web.Request) -> web.Response:
    """Answer with a button that ends mails; the same for every link, good or not."""
    no_parameters(request)
    return page(request, "unsubscribe.html", title=None)


async def end_mails(request: web.Request) -> web.Response:
    """End the mails of the link's kind: by the button, or by a mail program's one click."""
    no_parameters(request)
    ending, kind = request.match_info["token"], None
    if _ENDING.match(ending):
        async with request.app[HUB].db.write() as conn:
            kind = await inbox.end_mails(conn, ending)
    if kind is None:
        raise NotFoundError(_NO_LINK)
    return page(request, "unsubscribe.html", title=KINDS[kind].title if kind in KINDS else kind)


async def _chosen(conn: Connection, user_id: str) -> dict[str, Any]:
    chosen = await inbox.preferences(conn, user_id)
    return {
        "kinds": [
            {
                "kind": name,
                "title": kind.title,
                "roles": list(kind.roles),
                "by_mail": chosen.get(name, kind.by_mail),
                "by_mail_default": kind.by_mail,
            }
            for name, kind in KINDS.items()
        ]
    }


def _shown(one: Item) -> dict[str, Any]:
    return {
        "id": one.id,
        "org_id": one.org_id,
        "org_name": one.org_name,
        "kind": one.kind,
        "title": one.title,
        "path": one.path,
        "facts": msgspec.Raw(one.facts.encode()),
        "created_at": format_ms(one.created_at),
        "read_at": None if one.read_at is None else format_ms(one.read_at),
    }


def _is_id(text: str) -> bool:
    return text.startswith("ntc_") and text.isascii() and text[4:].isalnum()


def routes() -> list[web.RouteDef]:
    """Return the feature's routes."""
    ending = f"{ENDING_PATH}/{{token}}"
    return [
        web.get(PATH, list_items, allow_head=False),
        declare(web.post(f"{PATH}/read", read_items), events=None, reason=OWN),
        web.get(f"{PATH}/preferences", show_preferences, allow_head=False),
        declare(web.put(f"{PATH}/preferences", put_preferences), events=None, reason=OWN),
        web.get(ending, show_ending, allow_head=False),
        declare(web.post(ending, end_mails), events=None, reason=OWN),
        declare(web.delete(f"{PATH}/{{notice_id}}", delete_item), events=None, reason=OWN),
    ]
