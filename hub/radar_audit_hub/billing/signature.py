"""Whether a webhook is Stripe's: the check of its `Stripe-Signature` header, as a pure function.

Owns Stripe's documented scheme: HMAC-SHA256 over the time, a dot and the body as it came.
Called by `webhook.py`. Never reads a clock and never decodes the body.
"""

from __future__ import annotations

import hashlib
import hmac
import re

TOLERANCE_SECONDS = 300  # Stripe's own; it signs anew each time that it tries again
MAX_SIGNATURES = 16  # Stripe sends one for each secret that is in force, so two while one changes
_TIME = re.compile(r"^[0-9]{1,12}\Z")
_SIGNATURE = re.compile(r"^[0-9a-f]{64}\Z")


class SignatureRefusedError(Exception):
    """The webhook is not Stripe's, or an old one; the message says what was expected."""


def check_signature(header: str | None, body: bytes, secret: str, now_ms: int) -> None:
    """Return if one of the header's signatures is right and at most 300 s from `now_ms` (Unix ms).

    Raises SignatureRefusedError.
    """
    sent_at, signatures = _parts(header)
    expected = sign(body, secret, sent_at)
    # All are compared, each in constant time: nothing is learnt from how long it takes.
    good = [hmac.compare_digest(given.encode(), expected.encode()) for given in signatures]
    if not any(good):
        raise SignatureRefusedError("no signature in the Stripe-Signature header is right")
    if abs(now_ms / 1000 - sent_at) > TOLERANCE_SECONDS:
        raise SignatureRefusedError(
            f"the Stripe-Signature header must be at most {TOLERANCE_SECONDS} seconds old"
        )


def sign(body: bytes, secret: str, sent_at: int) -> str:
    """Return the v1 signature of a body that is sent at `sent_at` (Unix seconds)."""
    return hmac.new(secret.encode(), b"%d." % sent_at + body, hashlib.sha256).hexdigest()


def _parts(header: str | None) -> tuple[int, list[str]]:
    pairs = [part.strip().partition("=") for part in (header or "").split(",")]
    times = [value for name, _, value in pairs if name == "t"]
    signatures = [value for name, _, value in pairs if name == "v1"]
    if len(times) != 1 or not _TIME.match(times[0]):
        raise SignatureRefusedError("the Stripe-Signature header must hold one time, t=")
    # Other schemes, such as the v0 of test events, say nothing about who sent it.
    well_made = [given for given in signatures if _SIGNATURE.match(given)]
    if not well_made or len(signatures) > MAX_SIGNATURES:
        raise SignatureRefusedError(
            f"the Stripe-Signature header must hold 1 to {MAX_SIGNATURES} signatures, v1="
        )
    return int(times[0]), well_made
