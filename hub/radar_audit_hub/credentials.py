"""Secrets that the hub hands out: their form, and the only form in which they are stored.

Owns the two kinds of bearer token, `rhp_` for a person's access token (PAT) and `rhc_` for a
cluster; and what is in cookies and links: `rhs_` a session, `rhl_` signing in, `rhi_` an
invitation. Called by whatever creates or checks one. Pure: randomness is an argument. Never
logs, and never gives back a secret from its hash.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Literal, cast

SECRET_BYTES = 32  # 256 bits: a plain hash is enough, there is nothing to guess by dictionary
Kind = Literal["rhp", "rhc", "rhs", "rhl", "rhi"]
_FORM = re.compile(r"^(rhp|rhc|rhs|rhl|rhi)_[A-Za-z0-9_-]{43}\Z")


def new_token(kind: Kind, random: bytes) -> str:
    """Return such as `rhp_…`, made of SECRET_BYTES random bytes. Raises ValueError otherwise."""
    if len(random) != SECRET_BYTES:
        raise ValueError(f"a token is made of {SECRET_BYTES} random bytes")
    return f"{kind}_{base64.urlsafe_b64encode(random).rstrip(b'=').decode()}"


def kind_of_token(text: str) -> Kind | None:
    """Return which kind of token `text` has the form of, None for anything else."""
    match = _FORM.match(text)
    return None if match is None else cast("Kind", match[1])


def token_hash(text: str) -> bytes:
    """Return the 32 bytes of SHA-256 under which a token is stored and found."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
