"""The canonical form, the personal-data commitment and the leaf hash.

Owns the bytes that are hashed. Called by the hub when it appends and by every
verifier. Never makes a salt: randomness is an argument.

The canonical form is RFC 8785 on a restricted value set (no floats, ASCII keys,
integers within 2**53): there a deterministic compact JSON with sorted keys is
the same bytes, which a property test checks against the `rfc8785` package.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import msgspec

from .errors import CanonicalError

LEAF_VERSION = 1
SALT_BYTES = 32
MAX_DEPTH = 4  # contract: nesting of metadata, the outer object included
_MAX_INTEGER = 2**53 - 1
_encoder = msgspec.json.Encoder(order="deterministic")


class _Leaf(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    # Declared in alphabetical order: msgspec sorts dict keys, but writes struct fields as declared.
    action: str
    actor_user_id: str | None = None
    created_at: str
    id: str
    metadata: msgspec.Raw
    org_id: str
    pii_commitment: str
    target_id: str
    target_type: str
    v: int


def canonical(value: object) -> bytes:
    """Return the canonical JSON of a value of the restricted set, as UTF-8.

    Raises CanonicalError for floats, integers past 2**53-1, keys that are not
    printable ASCII, U+0000, lone surrogates, or nesting deeper than MAX_DEPTH.
    """
    _check(value, MAX_DEPTH)
    return encode_plain(value)


def encode_plain(value: object) -> bytes:
    """Return the canonical JSON of a value whose types, keys and numbers are known to be right.

    Raises CanonicalError for text with U+0000 (no PostgreSQL json function takes
    it) or lone surrogates.
    """
    try:
        text = _encoder.encode(value)
    except UnicodeEncodeError:
        raise CanonicalError("text must not hold lone surrogates") from None
    # The escape may also be the tail of an escaped backslash: then look closely.
    if b"\\u0000" in text and _holds_nul(value):
        raise CanonicalError("text must not hold U+0000")
    return text


def _holds_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_holds_nul(k) or _holds_nul(v) for k, v in value.items())
    return isinstance(value, list) and any(map(_holds_nul, value))


def _check(value: object, depth: int) -> None:
    kind = type(value)
    if kind is int:
        if not -_MAX_INTEGER <= value <= _MAX_INTEGER:  # type: ignore[operator]
            raise CanonicalError("integers must lie within 2**53-1")
    elif kind is dict:
        _check_depth(depth)
        for key, item in value.items():  # type: ignore[attr-defined]
            if not isinstance(key, str) or not key.isascii() or not key.isprintable():
                raise CanonicalError("keys must be printable ASCII")
            _check(item, depth - 1)
    elif kind is list:
        _check_depth(depth)
        for item in value:  # type: ignore[attr-defined]
            _check(item, depth - 1)
    elif kind not in (str, bool) and value is not None:
        raise CanonicalError(
            "values must be strings, integers, booleans, null, lists or objects, "
            f"not {kind.__name__}"
        )


def _check_depth(depth: int) -> None:
    if depth == 0:
        raise CanonicalError(f"nesting must be at most {MAX_DEPTH} deep")


def split_personal(
    metadata: dict[str, Any], personal_keys: frozenset[str], actor_email: str | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (metadata without personal keys, the personal data that the commitment covers)."""
    personal: dict[str, Any] = {} if actor_email is None else {"actor_email": actor_email}
    if not personal_keys or personal_keys.isdisjoint(metadata):
        return metadata, personal
    public: dict[str, Any] = {}
    for key, value in metadata.items():
        (personal if key in personal_keys else public)[key] = value
    return public, personal


def personal_commitment(salt: bytes, personal: dict[str, Any]) -> bytes:
    """Return HMAC-SHA256(salt, canonical personal data): 32 bytes.

    It stays for ever; once the salt is destroyed it says nothing of the data.
    Raises CanonicalError if the salt is not SALT_BYTES long.
    """
    if len(salt) != SALT_BYTES:
        raise CanonicalError(f"a salt is {SALT_BYTES} bytes")
    return hmac.digest(salt, encode_plain(personal), "sha256")


def leaf_bytes(
    *,
    org_id: str,
    id: str,
    action: str,
    target_type: str,
    target_id: str,
    actor_user_id: str | None,
    created_at: str,
    public_metadata: bytes,
    commitment: bytes,
) -> bytes:
    """Return the canonical leaf input: the bytes that follow the 0x00 of RFC 9162.

    `created_at` is written as `ids.format_ms` writes it, which is also the public form: a
    verifier passes on the text it was given. `public_metadata` is the canonical JSON without
    personal keys. Absent values are left out, never null. `seq` is not in it: the leaf's place
    binds it.
    """
    return _encoder.encode(
        _Leaf(
            action=action,
            actor_user_id=actor_user_id,
            created_at=created_at,
            id=id,
            metadata=msgspec.Raw(public_metadata),
            org_id=org_id,
            pii_commitment=commitment.hex(),
            target_id=target_id,
            target_type=target_type,
            v=LEAF_VERSION,
        )
    )


def leaf_hash(leaf: bytes) -> bytes:
    """Return SHA-256(0x00 ‖ leaf), the RFC 9162 hash of one entry."""
    return hashlib.sha256(b"\x00" + leaf).digest()
