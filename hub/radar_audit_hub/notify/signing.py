"""Signatures of Standard Webhooks 1.0.0: `v1` (HMAC-SHA256) and `v1a` (Ed25519). Pure.

Owns the signed text and the form of the header. Called by the webhook channel. Never keeps a key;
an error never holds one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable

from radar_audit_events.receiver_keys import KEY_PREFIX, SECRET_PREFIX

from radar_audit_hub.ciphers import ed25519_signature

_SEED_BYTES = 32  # a key of 64 bytes is the seed and the public key


class SigningKeyError(Exception):
    """A stored secret that nothing can be signed with; the sentence does not hold it."""


def signatures(
    message_id: str,
    timestamp_seconds: int,
    body: bytes,
    *,
    secrets: Iterable[str],
    keys: Iterable[str],
) -> str:
    """Return the value of `webhook-signature`: one signature per secret and key, by spaces.

    `secrets` are `whsec_…`, `keys` `whsk_…`; while a rotation lasts there are two of a kind, the
    newer first. Raises SigningKeyError.
    """
    signed = f"{message_id}.{timestamp_seconds}.".encode() + body
    made = [_v1(secret, signed) for secret in secrets] + [_v1a(key, signed) for key in keys]
    if not made:
        raise SigningKeyError("there is no secret to sign with")
    return " ".join(made)


def _v1(secret: str, signed: bytes) -> str:
    digest = hmac.new(_raw(secret, SECRET_PREFIX), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def _v1a(key: str, signed: bytes) -> str:
    seed = _raw(key, KEY_PREFIX)[:_SEED_BYTES]
    try:
        signature = ed25519_signature(seed, signed)
    except ValueError:
        raise _wrong(KEY_PREFIX) from None
    return f"v1a,{base64.b64encode(signature).decode()}"


def _raw(text: str, prefix: str) -> bytes:
    try:
        raw = base64.b64decode(text.removeprefix(prefix), validate=True)
    except (binascii.Error, ValueError):
        raise _wrong(prefix) from None
    if not text.startswith(prefix) or not raw:
        raise _wrong(prefix)
    return raw


def _wrong(prefix: str) -> SigningKeyError:
    return SigningKeyError(f"a stored signing key is not {prefix} and base64; send it anew")
