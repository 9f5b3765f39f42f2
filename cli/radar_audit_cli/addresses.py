"""Which addresses of a hub are acceptable, and which tokens.

Owns the checks of an address and of a token before either is used. Called by
`connection` and the `context` commands. Pure; never repeats a token.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from .errors import ArgumentError, LoginError

_MAX_TOKEN_CHARS = 512


def checked_url(text: str, *, insecure_http: bool) -> str:
    """Return the hub's address without a trailing slash.

    Raises ArgumentError if it is no http(s) address, carries a user, a query
    or a fragment, or is plain HTTP to another machine without `insecure_http`.
    """
    url = text.strip().rstrip("/")
    parts = _split(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable():
        raise ArgumentError(
            "the hub's address is not a web address",
            hint="write it like https://audit.example.com or http://127.0.0.1:8080",
        )
    if parts.username is not None or parts.password is not None:
        raise ArgumentError(
            "the hub's address must not hold a user or a password",
            hint="give the token by --token-stdin, RADAR_AUDIT_TOKEN or a context",
        )
    if parts.query or parts.fragment or any(char in url for char in "?# "):
        raise ArgumentError("the hub's address must end before any ?, # or space")
    if parts.scheme == "http" and not is_loopback(parts.hostname) and not insecure_http:
        raise ArgumentError(
            f"the address is plain http to {parts.hostname}, so others could read the token",
            hint="use https://, or add --insecure-http if the network between is yours alone",
        )
    return url


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # a wrong port is an error only once it is read
    except ValueError:
        # The cause quotes the address, in which a password may stand.
        raise ArgumentError("the hub's address has a wrong host or port") from None
    return parts


def is_loopback(host: str) -> bool:
    """Tell whether a host's name or address is this machine itself."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def checked_token(text: str, source: str) -> str:
    """Return a personal access token without the white space around it.

    Raises LoginError that names `source` (where the token came from) but never
    the token, if it is empty or not the kind of token that reads a log.
    """
    token = text.strip()
    if not token:
        raise LoginError(f"{source} is empty: a personal access token (rhp_…) is needed")
    if token.startswith("rhc_"):
        raise LoginError(f"{source} holds a cluster token: a personal one (rhp_…) is needed")
    well_formed = token.isascii() and token.isprintable() and " " not in token
    if not token.startswith("rhp_") or not well_formed or len(token) > _MAX_TOKEN_CHARS:
        raise LoginError(f"{source} holds no personal access token: one begins with rhp_")
    return token
