"""Makes a one-time link to sign in, for the server's own command.

Owns `create_link`. Called by `main.py` only: whoever may run the command on the server may be
anybody there. The link is returned once and stored only as a hash.
"""

from __future__ import annotations

from radar_audit_hub.auth.sessions import origin_of
from radar_audit_hub.bootstrap import BootstrapError, Means
from radar_audit_hub.credentials import SECRET_BYTES, new_token, token_hash
from radar_audit_hub.emails import lowered_email
from radar_audit_hub.store.control import User, ensure_user
from radar_audit_hub.store.database import Connection, Database
from radar_audit_hub.store.identities import find_by_email
from radar_audit_hub.store.invitations import is_invited
from radar_audit_hub.store.logins import insert_link

LINK_MINUTES = 10


async def create_link(db: Database, email: str, public_url: str, means: Means) -> str:
    """Return an address that signs this person in once, within 10 minutes.

    Who has an open invitation becomes known by it: they can sign in and accept. Raises
    BootstrapError if nobody has this e-mail and no invitation is open for it.
    """
    token = new_token("rhl", means.random_bytes(SECRET_BYTES))
    async with db.write() as conn:
        await insert_link(
            conn,
            token_hash(token),
            await _person(conn, lowered_email(email) or "", email, means),
            now_ms=means.now_ms,
            expires_at_ms=means.now_ms + LINK_MINUTES * 60_000,
        )
    return f"{origin_of(public_url)}/api/auth/link/{token}"


async def _person(conn: Connection, email: str, given: str, means: Means) -> str:
    """Return the user id of who has this e-mail, made for who is only invited yet."""
    person = await find_by_email(conn, email)
    if person is not None:
        return person.user_id
    if not email or not await is_invited(conn, email, means.now_ms):
        raise BootstrapError(
            f"nobody has the e-mail {given!r}, and no open invitation is for it",
            "`radar-audit-hub member add` makes somebody a member, `member list` lists them",
        )
    new = User(id=means.new_id("user_"), email=email, created_at_ms=means.now_ms)
    return (await ensure_user(conn, new)).id
