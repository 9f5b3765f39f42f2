"""Who somebody is by what an issuer says of them, and when an e-mail counts: pure rules.

Owns what makes an e-mail vouched for and the verdict on a person who signs in. Called by the
sign-in and SSO features. A person is (issuer, subject); an e-mail links, accepts or lets into
an org only when the issuer vouches for it. Never reads a clock, a request or the store.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from radar_audit_hub.emails import lowered_email

MAX_SUBJECT_CHARS = 255  # OpenID Connect Core 1.0, section 2
_SUBJECT = re.compile(rf"^[\x20-\x7e]{{1,{MAX_SUBJECT_CHARS}}}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """What an issuer says of a person; `email` is None unless the issuer vouches for it."""

    issuer: str
    subject: str
    email: str | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why somebody cannot sign in: a word for machines, a sentence for people."""

    reason: str
    message: str


NO_VOUCHED_EMAIL = Refusal(
    "email_unverified",
    "the identity provider does not vouch for your e-mail address; verify it there, then sign in",
)
EMAIL_TAKEN = Refusal(
    "email_taken",
    "your e-mail address belongs to somebody else of the same identity provider here; "
    "ask the server's operator",
)


def is_subject(text: object) -> bool:
    """Tell whether `text` can be a subject: 1 to 255 printable ASCII characters."""
    return isinstance(text, str) and _SUBJECT.match(text) is not None


def vouched_email(email: object, verified: object, *, trusted: bool) -> str | None:
    """Return the e-mail in its one form if the issuer vouches for it, else None.

    `verified` is the claim email_verified, which some providers send as text. An issuer that is
    `trusted` need not say it, but may deny it. Only ASCII counts: other letters can fold to the
    same address (the Kelvin sign to k), which would be another person's.
    """
    if not isinstance(email, str) or not email.isascii():
        return None
    said_yes = verified is True or verified == "true"
    if not said_yes and not (trusted and verified is None):
        return None
    return lowered_email(email)


def is_email_still_good(user_email: str, claimed_email: str | None) -> bool:
    """Tell whether a known person's e-mail is vouched for by this sign-in.

    An issuer that names another address now, or none, no longer speaks for the old one.
    """
    return claimed_email is not None and claimed_email == user_email
