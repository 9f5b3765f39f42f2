"""The routes of personal access tokens: list, create, revoke.

Owns the edge; what a new token may be is decided in `rules.py`. A token's text is in the answer
that creates it and nowhere else. Never changes a token: there is no rotation in place.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from aiohttp import web
from radar_audit_events.ids import format_ms, new_id

from radar_audit_hub.audit.parameters import Reader
from radar_audit_hub.auth.access import require
from radar_audit_hub.auth.principal import MEMBER, ORG_READ_SCOPE, OWNER, SCOPES, Principal
from radar_audit_hub.changes import changing
from radar_audit_hub.context import HUB
from radar_audit_hub.credentials import SECRET_BYTES, new_token, token_hash
from radar_audit_hub.declarations import declare
from radar_audit_hub.errors import ConflictError, ForbiddenError, NotFoundError
from radar_audit_hub.json_edge import json_document, read_document
from radar_audit_hub.listing import PARAMETERS, cut, read_page
from radar_audit_hub.names import is_plain
from radar_audit_hub.store.pats import (
    Pat,
    default_days,
    get_pat,
    list_pats,
    names_in_use,
    revoke_pat,
)
from radar_audit_hub.store.tokens import insert_pat

from .rules import MAX_PATS, MAX_REASON_CHARS, Grant, NewPat, grant

SCOPE = "tokens:write"
CREATED, REVOKED = "pat.created", "pat.revoked"
HOLDERS = (OWNER, MEMBER)  # contract: own PATs
NEW = msgspec.json.Decoder(NewPat)
_ID = re.compile(r"^pat_[A-Za-z0-9_]{1,60}\Z")
_NO_SUCH_PAT = "there is no such token here"


async def list_tokens(request: web.Request) -> web.Response:
    """Answer with a page of the caller's tokens; owners may ask for others' and for all."""
    caller = await require(request, *HOLDERS, scope=ORG_READ_SCOPE)
    return json_document(await listed(request, caller))


async def listed(request: web.Request, caller: Principal) -> dict[str, Any]:
    """Return the page of tokens that the address asks for, as the API shows it.

    Raises InvalidParametersError, ForbiddenError where others' are asked for by no owner.
    """
    hub = request.app[HUB]
    reader = Reader(list(request.query.items()), (*PARAMETERS, "user"))
    whose = reader.one("user") or "me"
    user_id = {"me": caller.user_id, "all": None}.get(whose, whose)
    list_name = f"pats:{caller.org_id}:{user_id or 'all'}"
    asked = read_page(reader, list_name, (str,))
    if user_id != caller.user_id and caller.role != OWNER:
        raise ForbiddenError("others' tokens are shown to owners only", (OWNER,))
    async with hub.db.read() as conn:
        rows = await list_pats(
            conn, caller.org_id, user_id=user_id, after=asked.after_text, limit=asked.limit + 1
        )
    page, following = cut(rows, asked, list_name, lambda row: (row.id,))
    return {"pats": [public(row) for row in page], "next_cursor": following}


async def create_token(request: web.Request) -> web.Response:
    """Make a token of the caller's; its text is in this answer only."""
    caller = await require(request, *HOLDERS, scope=SCOPE)
    asked = await read_document(request, NEW)
    return json_document(await create(request, caller, asked), status=201)


async def create(request: web.Request, caller: Principal, asked: NewPat) -> dict[str, Any]:
    """Make a token of the caller's; return it as the API shows it, with its text (a secret).

    Raises InvalidBodyError, ForbiddenError, ConflictError.
    """
    hub = request.app[HUB]
    text = new_token("rhp", hub.random_bytes(SECRET_BYTES))
    async with changing(request, caller) as change:
        await change.lock_as(caller.org_id, *HOLDERS)
        days = await default_days(change.conn, caller.org_id)
        own = Grant(caller.scopes, caller.expires_at_ms)
        granted = grant(asked, own, SCOPES, days, change.now_ms)
        names = await names_in_use(change.conn, caller.org_id, caller.user_id, change.now_ms)
        if asked.name in names:
            raise ConflictError("you have a token of this name; choose another, or revoke that one")
        if len(names) >= MAX_PATS:
            raise ConflictError(f"you have {MAX_PATS} tokens; revoke one that is not used any more")
        made = Pat(
            id=new_id("pat_", change.now_ms, hub.random_bytes(10)),
            name=asked.name,
            user_id=caller.user_id,
            email=caller.email,
            scopes=granted.scopes,
            created_at_ms=change.now_ms,
            expires_at_ms=granted.expires_at_ms,
            last_used_at_ms=None,
            revoked_at_ms=None,
        )
        await insert_pat(
            change.conn,
            org_id=caller.org_id,
            pat_id=made.id,
            user_id=made.user_id,
            name=made.name,
            token_hash=token_hash(text),
            scopes=made.scopes,
            created_at_ms=made.created_at_ms,
            expires_at_ms=made.expires_at_ms,
        )
        change.note(caller.org_id, CREATED, made.id, _created(made))
    return {**public(made), "token": text}


async def revoke_token(request: web.Request) -> web.Response:
    """Revoke a token of the caller's, or as an owner anybody's; again: nothing happens."""
    caller = await require(request, *HOLDERS, scope=SCOPE)
    reader = Reader(list(request.query.items()), ("reason",))
    reason = reader.parsed("reason", _reason)
    reader.finish()
    return json_document(await revoke(request, caller, reason))


async def revoke(request: web.Request, caller: Principal, reason: str | None) -> dict[str, Any]:
    """Revoke the token that the path names; return it. Raises NotFoundError, ForbiddenError."""
    pat_id = request.match_info["pat_id"]
    if not _ID.match(pat_id):
        raise NotFoundError(_NO_SUCH_PAT)
    async with changing(request, caller) as change:
        _, member = await change.lock_as(caller.org_id, *HOLDERS)
        found = await get_pat(change.conn, caller.org_id, pat_id)
        if found is None or (found.user_id != caller.user_id and member.role != OWNER):
            raise NotFoundError(_NO_SUCH_PAT)
        revoked_at_ms = found.revoked_at_ms
        if revoked_at_ms is None:
            revoked_at_ms = change.now_ms
            await revoke_pat(change.conn, caller.org_id, found.id, change.now_ms)
            metadata = {"name": found.name} | ({} if reason is None else {"reason": reason})
            change.note(caller.org_id, REVOKED, found.id, metadata)
    return {**public(found), "revoked_at": format_ms(revoked_at_ms)}


def public(row: Pat) -> dict[str, Any]:
    """Return a token as the API shows it: all but its secret."""
    return {
        "id": row.id,
        "name": row.name,
        "user_id": row.user_id,
        "email": row.email,
        "scopes": row.scopes,
        "created_at": format_ms(row.created_at_ms),
        "expires_at": _time(row.expires_at_ms),
        "last_used_at": _time(row.last_used_at_ms),
        "revoked_at": _time(row.revoked_at_ms),
    }


def _created(made: Pat) -> dict[str, Any]:
    scopes = {} if made.scopes is None else {"scopes": list(made.scopes)}
    return {"name": made.name, "expires_at": _time(made.expires_at_ms), **scopes}


def _time(time_ms: int | None) -> str | None:
    return None if time_ms is None else format_ms(time_ms)


def _reason(text: str) -> str:
    if not is_plain(text, MAX_REASON_CHARS):
        raise ValueError(f"must be 1 to {MAX_REASON_CHARS} printable characters")
    return text


def routes() -> list[web.RouteDef]:
    """Return the feature's routes."""
    every, one = "/api/orgs/{org_id}/pats", "/api/orgs/{org_id}/pats/{pat_id}"
    return [
        web.get(every, list_tokens, allow_head=False),
        declare(web.post(every, create_token), events=(CREATED,)),
        declare(web.delete(one, revoke_token), events=(REVOKED,)),
    ]
