"""The check of an ID token: whose it is, for whom, for which sign-in, and by which key.

Owns the rules of OpenID Connect Core 1.0, section 3.1.3.7. Pure: keys, time and what is expected
are arguments. Called by `provider.py`. Never takes an algorithm from the token that the settings
do not name, nor a key that the issuer does not publish; an error never repeats a token's value.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from joserfc import jwk, jws
from joserfc.errors import JoseError

from radar_audit_hub.auth.identity_rules import is_subject

from .id_token_error import IdTokenError

MAX_TOKEN_CHARS = 32 * 1024
LEEWAY_SECONDS = 60  # clocks of hub and provider may be this far apart
_KEY_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_MIN_RSA_BYTES = 256
_FORM = re.compile(r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\Z")
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the token must say; `access_token` is what came beside it, if anything did."""

    issuer: str
    client_id: str
    nonce: str
    algorithms: Sequence[str]
    access_token: str | None
    now_seconds: float


def read_id_token(text: str, keys: Sequence[Json], expected: Expected) -> Json:
    """Return the claims of a token that is good. Raises IdTokenError."""
    if len(text) > MAX_TOKEN_CHARS or not _FORM.match(text):
        raise IdTokenError("malformed", "the ID token is not a signed token")
    header = _part(text.partition(".")[0])
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in expected.algorithms:
        raise IdTokenError("algorithm", "the ID token is signed in a way that is not taken here")
    if "crit" in header:  # an extension that must be understood; none is
        raise IdTokenError("malformed", "the ID token has an extension that is not known here")
    key = _key(keys, header.get("kid"), algorithm)
    claims = _verified(text, key, algorithm)
    _check_parties(claims, expected)
    _check_times(claims, expected.now_seconds)
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not hmac.compare_digest(
        nonce.encode("utf-8", "replace"), expected.nonce.encode()
    ):
        raise IdTokenError("nonce", "the ID token is of another sign-in")
    _check_access_token(claims, algorithm, expected.access_token)
    if not is_subject(claims.get("sub")):
        raise IdTokenError("subject", "the ID token names nobody")
    return claims


def _part(text: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (msgspec.DecodeError, binascii.Error, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise IdTokenError("malformed", "the ID token is not a signed token")
    return found


def _key(keys: Sequence[Json], kid: object, algorithm: str) -> jwk.Key:
    """Return the one key of the issuer that may have made the signature."""
    fitting = [key for key in keys if _fits(key, algorithm)]
    if kid is not None:
        fitting = [key for key in fitting if key.get("kid") == kid]
    if len(fitting) != 1:
        message = "the ID token does not name one of the issuer's keys"
        raise IdTokenError("key", message, key_unknown=not fitting)
    found = fitting[0]
    public = {name: found[name] for name in ("kty", "n", "e", "crv", "x", "y") if name in found}
    try:
        return jwk.import_key(public)
    except (JoseError, ValueError, TypeError):
        raise IdTokenError("key", "the issuer publishes a key that is none") from None


def _fits(key: Json, algorithm: str) -> bool:
    if key.get("kty") != _KEY_TYPES.get(algorithm[:2]):
        return False
    if key.get("use", "sig") != "sig" or key.get("alg", algorithm) != algorithm:
        return False
    modulus = key.get("n", "")
    # A short RSA key can be broken: its signatures say nothing.
    return key["kty"] != "RSA" or (
        isinstance(modulus, str) and len(modulus) * 3 // 4 >= _MIN_RSA_BYTES
    )


def _verified(text: str, key: jwk.Key, algorithm: str) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            # The name EdDSA is deprecated in favour of Ed25519, but it is what providers send.
            warnings.simplefilter("ignore")
            signed = jws.deserialize_compact(text, key, algorithms=[algorithm])
        claims = msgspec.json.decode(signed.payload)
    except (JoseError, ValueError, TypeError, RecursionError):
        raise IdTokenError("signature", "the ID token's signature is not the issuer's") from None
    if not isinstance(claims, dict):
        raise IdTokenError("malformed", "the ID token holds no claims")
    return claims


def _check_parties(claims: Json, expected: Expected) -> None:
    if claims.get("iss") != expected.issuer:
        raise IdTokenError("issuer", "the ID token is of another issuer")
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or expected.client_id not in audiences:
        raise IdTokenError("audience", "the ID token is for somebody else")
    party = claims.get("azp")
    if party != expected.client_id and (party is not None or len(audiences) > 1):
        raise IdTokenError("audience", "the ID token was issued to somebody else")


def _check_times(claims: Json, now_seconds: float) -> None:
    until, since = _time(claims.get("exp")), _time(claims.get("iat"))
    if now_seconds >= until + LEEWAY_SECONDS:
        raise IdTokenError("expired", "the ID token has expired; are the clocks right?")
    if max(since, _time(claims.get("nbf", since))) > now_seconds + LEEWAY_SECONDS:
        raise IdTokenError("times", "the ID token is from the future; are the clocks right?")


def _time(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e12:
        return value
    raise IdTokenError("times", "the ID token does not say from when to when it is good")


def _check_access_token(claims: Json, algorithm: str, access_token: str | None) -> None:
    """Compare at_hash, where the provider sends it, with the access token beside it."""
    said = claims.get("at_hash")
    if said is None or access_token is None:
        return
    name = {"256": "sha256", "384": "sha384"}.get(algorithm[-3:], "sha512")
    digest = hashlib.new(name, access_token.encode("utf-8", "replace")).digest()
    half = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=")
    if not isinstance(said, str) or not hmac.compare_digest(said.encode("utf-8", "replace"), half):
        raise IdTokenError("at_hash", "the ID token belongs to another access token")
