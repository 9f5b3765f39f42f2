"""From what an issuer says to one of the hub's users, inside a change.

Owns that step: the store's side of `auth/identity_rules.py`. Called by OpenID and SSO sign-in.
Never trusts an e-mail that is not vouched for.
"""

from __future__ import annotations

from dataclasses import dataclass

from radar_audit_events.ids import new_id

from radar_audit_hub.auth.identity_rules import (
    EMAIL_TAKEN,
    NO_VOUCHED_EMAIL,
    Claimed,
    Refusal,
    is_email_still_good,
)
from radar_audit_hub.auth.principal import Someone
from radar_audit_hub.changes import Change
from radar_audit_hub.context import Hub
from radar_audit_hub.errors import ForbiddenError
from radar_audit_hub.store.control import Person, User, ensure_user
from radar_audit_hub.store.identities import find_by_identity, insert_identity, mark_email


@dataclass(frozen=True, slots=True)
class Identified:
    """A user of the hub; `vouched` says whether this sign-in vouches for their e-mail."""

    person: Person
    vouched: bool

    @property
    def actor(self) -> Someone:
        """Return them as who makes a change."""
        return Someone(
            user_id=self.person.user_id,
            email=self.person.email,
            email_verified=self.vouched,
            pat_name=None,
        )


async def identify(hub: Hub, change: Change, claimed: Claimed) -> Identified:
    """Return the user that `claimed` is, made or linked by the vouched e-mail at the first time.

    Makes them the change's actor. Raises ForbiddenError where an e-mail would be needed that
    nobody vouches for, or that is another's of the same issuer.
    """
    person = await find_by_identity(change.conn, claimed.issuer, claimed.subject)
    if person is None:
        person = await _first_time(hub, change, claimed)
    found = Identified(person, is_email_still_good(person.email, claimed.email))
    await mark_email(change.conn, person.user_id, verified=found.vouched)
    change.actor = found.actor
    return found


async def _first_time(hub: Hub, change: Change, claimed: Claimed) -> Person:
    if claimed.email is None:
        raise refused(NO_VOUCHED_EMAIL)
    new = User(
        id=new_id("user_", change.now_ms, hub.random_bytes(10)),
        email=claimed.email,
        created_at_ms=change.now_ms,
    )
    user = await ensure_user(change.conn, new)
    made = await insert_identity(
        change.conn, claimed.issuer, claimed.subject, user.id, change.now_ms
    )
    if not made:
        # Either the same person at the same moment, or another subject has this user.
        rival = await find_by_identity(change.conn, claimed.issuer, claimed.subject)
        if rival is None:
            raise refused(EMAIL_TAKEN)
        return rival
    return Person(user.id, user.email)


def refused(refusal: Refusal) -> ForbiddenError:
    """Return the error of a refusal."""
    return ForbiddenError(refusal.message)
