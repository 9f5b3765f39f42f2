"""A ServiceAccount's token as far as it may be read without trust, and a TokenReview's answer.

Owns the form of both and the verdicts on them: pure rules. Called by `kubernetes_login.py`.
What a token says of itself is only ever used to refuse it; who it stands for is what the API
server says. Never puts a token into a verdict.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

import msgspec

MAX_TOKEN_CHARS = 8192
_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class Account:
    """Who logs in: `name` is namespace/name."""

    name: str


@dataclass(frozen=True, slots=True)
class NotGood:
    """Why a token lets nobody in; `is_known` where it is good, but of somebody else."""

    reason: str
    message: str
    is_known: bool = False


class _Claims(msgspec.Struct):
    aud: list[str] | str = []
    sub: str = ""


class _User(msgspec.Struct):
    username: str = ""


class _Status(msgspec.Struct):
    authenticated: bool = False
    user: _User = msgspec.field(default_factory=_User)
    audiences: list[str] | None = None


class _Review(msgspec.Struct):
    status: _Status


def is_jwt(token: str) -> bool:
    """Tell whether a bearer token has the form of a ServiceAccount's: three parts of a JWS."""
    return token.startswith("eyJ") and token.count(".") == 2 and len(token) <= MAX_TOKEN_CHARS


def claims_verdict(token: str, audience: str) -> Account | NotGood:
    """Return who the token says it is, or why asking the API server about it is needless."""
    try:
        part = token.split(".")[1]
        raw = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
        claims = msgspec.json.decode(raw, type=_Claims)
    except (binascii.Error, ValueError, msgspec.MsgspecError, RecursionError):
        return NotGood("malformed", "this is no token of a ServiceAccount: it cannot be read")
    audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
    if audience not in audiences:
        return NotGood(
            "wrong_audience",
            f"the token is not made for the audience {audience}; project one into the pod that is "
            "(serviceAccountToken.audience)",
        )
    return account_of(claims.sub)


def account_of(username: str) -> Account | NotGood:
    """Return the ServiceAccount of a user's name."""
    namespace, colon, name = username.removeprefix(_ACCOUNT).partition(":")
    if not username.startswith(_ACCOUNT) or not colon or not namespace or not name:
        return NotGood("not_allowed", "only ServiceAccounts log in here", is_known=True)
    return Account(f"{namespace}/{name}")


def review_request(token: str, audience: str) -> bytes:
    """Return the body of the TokenReview to create."""
    return msgspec.json.encode(
        {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [audience]},
        }
    )


def review_verdict(body: bytes, audience: str) -> Account | NotGood:
    """Return who the API server says it is. Raises ValueError for what is no TokenReview."""
    try:
        status = msgspec.json.decode(body, type=_Review).status
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(type(error).__name__) from None
    if not status.authenticated:
        return NotGood(
            "unknown",
            "the API server does not vouch for this token: it has expired, is for another "
            "audience, or its pod or ServiceAccount is gone",
        )
    # A server that knows no audiences would vouch for a token that is made for anybody.
    if audience not in (status.audiences or ()):
        return NotGood("wrong_audience", f"the token is not good for the audience {audience}")
    return account_of(status.user.username)
