"""The forms of what a destination's requests are signed or addressed with.

Owns the checks of a Standard Webhooks signing secret (`whsec_`), of an Ed25519 signing key
(`whsk_`) and of a PagerDuty routing key. Called by the hub for what it is sent and by the operator
for what it reads from Secrets, so that both refuse the same. Pure; a message never repeats a key.
Source of the forms: the Standard Webhooks specification 1.0.0, "Signature scheme".
"""

from __future__ import annotations

import base64
import binascii
import re

SECRET_PREFIX, KEY_PREFIX = "whsec_", "whsk_"
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64
KEY_BYTES = (32, 64)  # the seed alone, or the seed and the public key behind it
_ROUTING_KEY = re.compile(r"^[A-Za-z0-9]{32}\Z")


def signing_secret_mistake(text: str) -> str | None:
    """Return what a symmetric secret must be, None where `text` is one."""
    raw = _decoded(text, SECRET_PREFIX)
    if raw is not None and MIN_SECRET_BYTES <= len(raw) <= MAX_SECRET_BYTES:
        return None
    return (
        f"must be {SECRET_PREFIX} and {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} random bytes in "
        "base64, as `echo whsec_$(openssl rand -base64 32)` makes it"
    )


def signing_key_mistake(text: str) -> str | None:
    """Return what an Ed25519 private key must be, None where `text` has the form of one."""
    raw = _decoded(text, KEY_PREFIX)
    if raw is not None and len(raw) in KEY_BYTES:
        return None
    return f"must be {KEY_PREFIX} and the 32 or 64 bytes of an Ed25519 private key in base64"


def routing_key_mistake(text: str) -> str | None:
    """Return what a PagerDuty routing key must be, None where `text` has the form of one."""
    if _ROUTING_KEY.match(text):
        return None
    return "must be the 32 letters and digits of an Events API v2 integration key"


def _decoded(text: str, prefix: str) -> bytes | None:
    if not text.startswith(prefix):
        return None
    try:
        return base64.b64decode(text.removeprefix(prefix), validate=True)
    except (binascii.Error, ValueError):
        return None
