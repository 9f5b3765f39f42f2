"""Makes a one-time link to sign in, for the server's own command.

Owns `create_link`. Called by `main.py` only: whoever may run the command on the server may be
anybody there. The link is returned once and stored only as a hash.
"""

from __future__ import annotations

from radar_audit_hub.auth.sessions import origin_of
from radar_audit_hub.bootstrap import BootstrapError, Means
from radar_audit_hub.credentials import SECRET_BYTES, new_token, token_hash
from radar_audit_hub.emails import lowered_email
from radar_audit_hub.store.database import Database
from radar_audit_hub.store.identities import find_by_email
from radar_audit_hub.store.logins import insert_link

LINK_MINUTES = 10


async def create_link(db: Database, email: str, public_url: str, means: Means) -> str:
    """Return an address that signs this person in once, within 10 minutes.

    Raises BootstrapError if nobody has this e-mail.
    """
    token = new_token("rhl", means.random_bytes(SECRET_BYTES))
    async with db.write() as conn:
        person = await find_by_email(conn, lowered_email(email) or "")
        if person is None:
            raise BootstrapError(
                f"nobody has the e-mail {email!r}",
                "`radar-audit-hub member add` makes somebody a member, `member list` lists them",
            )
        await insert_link(
            conn,
            token_hash(token),
            person.user_id,
            now_ms=means.now_ms,
            expires_at_ms=means.now_ms + LINK_MINUTES * 60_000,
        )
    return f"{origin_of(public_url)}/api/auth/link/{token}"
