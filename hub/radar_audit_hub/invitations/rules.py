"""When an invitation is good, for whom, and what became of it: pure.

Owns the figures of the contract (7 days, one use, the e-mail must match) and the bounds. Called
by the invitation handlers with what was read under the org's lock. Never touches the store.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import msgspec
from radar_audit_events.errors import FieldError

from radar_audit_hub.emails import EMAIL_TEXT, lowered_email
from radar_audit_hub.store.invitations import Invitation

VALID_MS = 7 * 86_400_000
MAX_OPEN = 500  # invitations of one org that can be accepted at the same time
MAX_TIMES_SENT = 10
# Whoever may invite chooses recipient and text: no means to flood a mailbox, or many.
DAY_MS = 86_400_000
MAX_SENT_A_DAY = 1000
MAX_SENT_A_DAY_TO_ONE = 10
Status = Literal["pending", "accepted", "revoked", "expired"]


class NewInvitation(msgspec.Struct, forbid_unknown_fields=True):
    """The body that invites somebody."""

    email: str
    role: Literal["owner", "auditor", "member", "viewer"]


class Acceptance(msgspec.Struct, forbid_unknown_fields=True):
    """The body that accepts: the token of the link."""

    token: str


def new_invitation_errors(asked: NewInvitation) -> list[FieldError]:
    """Return what is wrong with a new invitation; empty if nothing is."""
    return [] if lowered_email(asked.email) else [FieldError("email", EMAIL_TEXT)]


def status(found: Invitation, now_ms: int) -> Status:
    """Return what became of an invitation at `now_ms` (Unix ms)."""
    if found.accepted_at_ms is not None:
        return "accepted"
    if found.revoked_at_ms is not None:
        return "revoked"
    return "pending" if now_ms < found.expires_at_ms else "expired"


def is_for(found: Invitation | None, email: str, now_ms: int) -> bool:
    """Tell whether somebody with this lower-case e-mail may accept it now."""
    return found is not None and status(found, now_ms) == "pending" and found.email == email


def sent_again(found: Invitation, now_ms: int) -> Invitation:
    """Return the invitation as it is once more sent: another 7 days."""
    return replace(
        found,
        sent_at_ms=now_ms,
        times_sent=found.times_sent + 1,
        expires_at_ms=now_ms + VALID_MS,
    )
