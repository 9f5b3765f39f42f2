"""The routes of invitations: create, list, resend, revoke, accept.

Owns the edge; when an invitation is good is decided in `rules.py`. A link is shown when it is
made, to the owner who made it, and mailed; it cannot be read again: sending again makes a new
one and ends the old ones. To whoever it is not for, every token looks alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
from aiohttp import web
from radar_audit_events.ids import format_ms, new_id

from radar_audit_hub.auth.access import require, require_user
from radar_audit_hub.auth.principal import ORG_READ_SCOPE, OWNER, Principal, Someone
from radar_audit_hub.changes import Change, changing
from radar_audit_hub.context import HUB, Hub
from radar_audit_hub.credentials import kind_of_token, token_hash
from radar_audit_hub.declarations import declare
from radar_audit_hub.emails import lowered_email
from radar_audit_hub.errors import (
    ConflictError,
    ForbiddenError,
    InvalidBodyError,
    NotFoundError,
)
from radar_audit_hub.json_edge import json_document, no_parameters, read_document
from radar_audit_hub.listing import cut, read_only_page
from radar_audit_hub.members.joining import Inviter, join
from radar_audit_hub.notices import words
from radar_audit_hub.notices.telling import Notice, tell
from radar_audit_hub.store import invitations as store
from radar_audit_hub.store.control import Org
from radar_audit_hub.store.invitations import Invitation
from radar_audit_hub.store.members import has_member_with_email

from .links import OUTBOX, new_link, put_mail
from .rules import (
    DAY_MS,
    MAX_OPEN,
    MAX_SENT_A_DAY,
    MAX_SENT_A_DAY_TO_ONE,
    MAX_TIMES_SENT,
    VALID_MS,
    Acceptance,
    NewInvitation,
    is_for,
    new_invitation_errors,
    sent_again,
    status,
)

__all__ = ["OUTBOX", "routes"]
SCOPE = "members:write"
CREATED, REVOKED = "org_invitation.created", "org_invitation.revoked"
ACCEPTED = ("org_invitation.accepted", "org_member.joined")
_NO_SUCH_INVITATION = "there is no such invitation here"
_NOT_GOOD = (
    "there is no such invitation for you: it is over, or it was sent to another address than "
    "the one you are signed in with; ask for a new one"
)
NEW_INVITATION = msgspec.json.Decoder(NewInvitation)
_acceptance_decoder = msgspec.json.Decoder(Acceptance)


async def list_invitations(request: web.Request) -> web.Response:
    """Answer with a page of the org's invitations, newest first, whatever became of them."""
    caller = await require(request, OWNER, scope=ORG_READ_SCOPE)
    return json_document(await listed(request, caller, list(request.query.items())))


async def listed(
    request: web.Request, caller: Principal, given: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """Return the page of invitations that the parameters `given` ask for, as the API shows it."""
    hub = request.app[HUB]
    list_name = f"invitations:{caller.org_id}"
    asked = read_only_page(given, list_name, (str,))
    async with hub.db.read() as conn:
        rows = await store.page_invitations(
            conn, caller.org_id, before=asked.after_text, limit=asked.limit + 1
        )
    page, following = cut(rows, asked, list_name, lambda row: (row.id,))
    shown = [_public(row, hub.now_ms()) for row in page]
    return {"invitations": shown, "next_cursor": following}


async def create_invitation(request: web.Request) -> web.Response:
    """Invite somebody; the answer has the link, and a mail goes out."""
    caller = await require(request, OWNER, scope=SCOPE)
    asked = await read_document(request, NEW_INVITATION)
    return json_document(await create(request, caller, asked), status=201)


async def create(request: web.Request, caller: Principal, asked: NewInvitation) -> dict[str, Any]:
    """Invite somebody; return the invitation as the API shows it, with its link (a secret).

    Raises InvalidBodyError, ConflictError.
    """
    hub = request.app[HUB]
    if errors := new_invitation_errors(asked):
        raise InvalidBodyError(errors)
    async with changing(request, caller) as change:
        await change.lock_as(caller.org_id, OWNER)
        made = Invitation(
            org_id=caller.org_id,
            id=new_id("inv_", change.now_ms, hub.random_bytes(10)),
            email=str(lowered_email(asked.email)),
            role=asked.role,
            inviter_user_id=caller.user_id,
            inviter_email=caller.email,
            created_at_ms=change.now_ms,
            sent_at_ms=change.now_ms,
            times_sent=1,
            expires_at_ms=change.now_ms + VALID_MS,
        )
        await _check_room(change, made)
        await _check_mails(hub, change, made, caller)
        await store.insert_invitation(change.conn, made)
        url = await new_link(change.conn, hub, made)
        await put_mail(change.conn, made, change.now_ms)
        change.note(caller.org_id, CREATED, made.id, _created(made))
        await tell(change, caller.org_id, _invited(made))
    return {**_public(made, made.created_at_ms), "url": url}


async def resend_invitation(request: web.Request) -> web.Response:
    """Send an invitation again, for another 7 days: a new link, the old ones are no good."""
    caller = await require(request, OWNER, scope=SCOPE)
    no_parameters(request)
    return json_document(await send_again(request, caller))


async def send_again(request: web.Request, caller: Principal) -> dict[str, Any]:
    """Send the invitation that the path names anew; return it with its new link (a secret).

    Raises NotFoundError, ConflictError.
    """
    hub = request.app[HUB]
    async with changing(request, caller) as change:
        await change.lock_as(caller.org_id, OWNER)
        found = await _invitation(change, request)
        state = status(found, change.now_ms)
        if state not in {"pending", "expired"}:
            raise ConflictError(f"the invitation is {state}; make a new one")
        if found.times_sent >= MAX_TIMES_SENT:
            raise ConflictError(
                f"the invitation was sent {MAX_TIMES_SENT} times; revoke it and make a new one"
            )
        if state == "expired":
            await _check_room(change, found)
        await _check_mails(hub, change, found, caller)
        made = sent_again(found, change.now_ms)
        await store.update_invitation(change.conn, made)
        await store.drop_tokens(change.conn, made.org_id, made.id)
        url = await new_link(change.conn, hub, made)
        await put_mail(change.conn, made, change.now_ms)
        facts = {**_created(made), "resent": True}
        change.note(caller.org_id, CREATED, made.id, facts)
    return {**_public(made, made.sent_at_ms), "url": url}


async def revoke_invitation(request: web.Request) -> web.Response:
    """Revoke an invitation; one that is revoked or has expired already: nothing happens."""
    caller = await require(request, OWNER, scope=SCOPE)
    no_parameters(request)
    await revoke(request, caller)
    return web.Response(status=204)


async def revoke(request: web.Request, caller: Principal) -> None:
    """Revoke the invitation that the path names. Raises NotFoundError, ConflictError."""
    async with changing(request, caller) as change:
        await change.lock_as(caller.org_id, OWNER)
        found = await _invitation(change, request)
        state = status(found, change.now_ms)
        if state == "accepted":
            raise ConflictError("the invitation is accepted; remove the member instead")
        if state == "pending":
            await store.update_invitation(change.conn, replace(found, revoked_at_ms=change.now_ms))
            await store.drop_tokens(change.conn, found.org_id, found.id)
            change.note(caller.org_id, REVOKED, found.id, _facts(found))


async def accept_invitation(request: web.Request) -> web.Response:
    """Make the caller a member by the token of a link that was sent to their e-mail."""
    caller = await require_user(request)
    asked = await read_document(request, _acceptance_decoder)
    org, role = await accept(request, caller, asked.token)
    return json_document(
        {"org_id": org.id, "org_name": org.name, "user_id": caller.user_id, "role": role}
    )


async def accept(request: web.Request, caller: Someone, token: str) -> tuple[Org, str]:
    """Make somebody a member by a link's token; return the org and their role.

    Raises NotFoundError for whatever is not theirs, ForbiddenError for an e-mail that is not
    vouched for, ConflictError for a member.
    """
    hub = request.app[HUB]
    if kind_of_token(token) != "rhi":
        raise NotFoundError(_NOT_GOOD)
    digest = token_hash(token)
    async with hub.db.read() as conn:
        seen = await store.find_token(conn, digest)
    if seen is None or not is_for(seen, caller.email, hub.now_ms()):
        raise NotFoundError(_NOT_GOOD)
    if not caller.email_verified:
        raise ForbiddenError(
            "your e-mail is not verified by whom you sign in with; verify it there and sign in anew"
        )
    async with changing(request, caller) as change:
        return await _accept(change, seen.org_id, digest, caller)


async def _accept(change: Change, org_id: str, digest: bytes, caller: Someone) -> tuple[Org, str]:
    try:
        org = await change.lock(org_id)
    except NotFoundError:
        raise NotFoundError(_NOT_GOOD) from None
    found = await store.find_token(change.conn, digest)  # anew: somebody may have been faster
    if found is None or not is_for(found, caller.email, change.now_ms):
        raise NotFoundError(_NOT_GOOD)
    inviter = Inviter(found.inviter_user_id, found.inviter_email)
    change.note(org_id, "org_invitation.accepted", found.id, _facts(found))
    if not await join(change, org_id, caller.user_id, found.role, inviter=inviter):
        raise ConflictError("you are a member of this organization already")
    await store.update_invitation(change.conn, replace(found, accepted_at_ms=change.now_ms))
    await store.drop_tokens(change.conn, org_id, found.id)
    return org, found.role


async def _invitation(change: Change, request: web.Request) -> Invitation:
    """Return the invitation that the path names. Raises NotFoundError."""
    invitation_id = request.match_info["invitation_id"]
    org_id = request.match_info["org_id"]
    known = invitation_id.startswith("inv_") and invitation_id[4:].isalnum()
    found = None
    if known and invitation_id.isascii():
        found = await store.get_invitation(change.conn, org_id, invitation_id)
    if found is None:
        raise NotFoundError(_NO_SUCH_INVITATION)
    return found


async def _check_room(change: Change, wanted: Invitation) -> None:
    """Raise ConflictError if this e-mail needs no invitation, or the org has too many."""
    org_id, email = wanted.org_id, wanted.email
    if await has_member_with_email(change.conn, org_id, email):
        raise ConflictError("there is a member with this e-mail already")
    if await store.open_invitation_of(change.conn, org_id, email, change.now_ms):
        raise ConflictError("this e-mail is invited already; send that invitation again")
    if await store.count_open(change.conn, org_id, change.now_ms) >= MAX_OPEN:
        raise ConflictError(f"{MAX_OPEN} invitations are open; revoke some, or wait for them")


async def _check_mails(hub: Hub, change: Change, wanted: Invitation, caller: Principal) -> None:
    """Raise ConflictError if enough mail went out within a day, also of what was revoked since.

    Of the caller's also what went out for other orgs, which may be deleted by now.
    """
    conn, since_ms = change.conn, change.now_ms - DAY_MS
    if await store.count_sent(conn, wanted.org_id, since_ms, wanted.email) >= MAX_SENT_A_DAY_TO_ONE:
        raise ConflictError("this e-mail was invited often enough today; try again tomorrow")
    if await store.count_sent(conn, wanted.org_id, since_ms) >= MAX_SENT_A_DAY:
        raise ConflictError(f"{MAX_SENT_A_DAY} invitations were sent today; try again tomorrow")
    whose = f"{caller.user_id}/{wanted.email}"
    for budget, name in ((hub.invited_to_one, whose), (hub.invited, caller.user_id)):
        if budget.take(name, 1, change.now_ms) is not None:
            raise ConflictError("you have invited often enough today; try again tomorrow")


def _invited(made: Invitation) -> Notice:
    return words.invited(
        made.org_id,
        made.id,
        email=made.email,
        role=made.role,
        by_id=made.inviter_user_id or "",
        by_email=made.inviter_email or "somebody",
    )


def _created(made: Invitation) -> dict[str, Any]:
    return {
        "email": made.email,
        "role": made.role,
        "expires_at": format_ms(made.expires_at_ms),
    }


def _facts(found: Invitation) -> dict[str, Any]:
    facts = {
        "email": found.email,
        "role": found.role,
        "inviter_user_id": found.inviter_user_id,
        "inviter_email": found.inviter_email,
    }
    return {key: value for key, value in facts.items() if value is not None}


def _public(found: Invitation, now_ms: int) -> dict[str, Any]:
    return {
        "id": found.id,
        "email": found.email,
        "role": found.role,
        "status": status(found, now_ms),
        "inviter_user_id": found.inviter_user_id,
        "inviter_email": found.inviter_email,
        "created_at": format_ms(found.created_at_ms),
        "sent_at": format_ms(found.sent_at_ms),
        "times_sent": found.times_sent,
        "expires_at": format_ms(found.expires_at_ms),
    }


def routes() -> list[web.RouteDef]:
    """Return the feature's routes."""
    path = "/api/orgs/{org_id}/invitations"
    one = f"{path}/{{invitation_id}}"
    return [
        web.get(path, list_invitations, allow_head=False),
        declare(web.post(path, create_invitation), events=(CREATED,)),
        declare(web.post(f"{one}/resend", resend_invitation), events=(CREATED,)),
        declare(web.delete(one, revoke_invitation), events=(REVOKED,)),
        declare(web.post("/api/invitations/accept", accept_invitation), events=ACCEPTED),
    ]
