"""Settings of signing in: sessions, the OpenID provider, WorkOS. Groups of the hub's settings.

Owns three groups, which `settings.py` holds as `session`, `oidc` and `workos`. Read by the
sign-in and SSO features. Never reads the environment.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

from radar_audit_runtime.settings import setting

ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
    "Ed25519",
)  # fmt: skip
_PREFIX = "RADAR_AUDIT_HUB_"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_HOUR_MS, _MINUTE_MS = 3_600_000, 60_000


@dataclass(frozen=True, kw_only=True)
class SessionSettings:
    """How long a browser stays signed in."""

    hours: int = setting(
        168,
        unit="hours",
        minimum=1,
        maximum=8760,
        help="How long a session lasts at most, however much it is used.",
    )
    idle_minutes: int = setting(
        1440,
        unit="minutes",
        minimum=5,
        maximum=525_600,
        help="How long a session may lie idle before it ends.",
    )
    starts_per_minute: int = setting(
        20,
        minimum=1,
        maximum=10_000,
        help="Sign-ins that one address may begin in a minute; above it: 429. One person may end "
        "half as many.",
    )

    @property
    def lifetime_ms(self) -> int:
        """The longest life of a session in milliseconds."""
        return self.hours * _HOUR_MS

    @property
    def idle_ms(self) -> int:
        """How long a session may lie idle, in milliseconds."""
        return self.idle_minutes * _MINUTE_MS


@dataclass(frozen=True, kw_only=True)
class OidcSettings:
    """The OpenID provider that people sign in with."""

    issuer: str | None = setting(
        None,
        help="The OpenID provider's issuer, as it stands in its discovery document; https. "
        "Nothing: signing in with OpenID is off.",
    )
    client_id: str | None = setting(None, help="The hub's client id at the provider.")
    client_secret: str | None = setting(
        None, secret=True, help="The hub's client secret there; nothing for a public client."
    )
    scopes: tuple[str, ...] = setting(
        ("openid", "email"), help="Scopes to ask for; openid and email are needed."
    )
    algorithms: tuple[str, ...] = setting(
        ("RS256", "ES256", "EdDSA"), help="Signatures of ID tokens that are taken."
    )
    trusts_email: bool = setting(
        False,
        help="Take e-mails as verified that the provider says nothing about. Only for a provider "
        "whose people cannot choose their e-mail.",
    )
    ca_file: Path | None = setting(
        None, help="A file of certificates (PEM) to trust for the provider; nothing: the system's."
    )

    def __post_init__(self) -> None:
        """Refuse half a provider and unsafe algorithms. Raises ValueError."""
        check_file(f"{_PREFIX}OIDC_CA_FILE", self.ca_file)
        if self.issuer is None:
            return
        check_url(f"{_PREFIX}OIDC_ISSUER", self.issuer)
        if not self.client_id:
            raise ValueError(f"{_PREFIX}OIDC_CLIENT_ID is needed where OIDC_ISSUER is set")
        if not {"openid", "email"} <= set(self.scopes):
            raise ValueError(f"{_PREFIX}OIDC_SCOPES must hold openid and email")
        unsafe = [name for name in self.algorithms if name not in ALGORITHMS]
        if unsafe or not self.algorithms:
            raise ValueError(
                f"{_PREFIX}OIDC_ALGORITHMS must be among {', '.join(ALGORITHMS)}: "
                "signatures that nobody can make who only checks them"
            )


@dataclass(frozen=True, kw_only=True)
class WorkosSettings:
    """WorkOS, where an organization's own identity provider is connected."""

    api_key: str | None = setting(
        None, secret=True, help="The API key of WorkOS. Nothing: SSO is off."
    )
    client_id: str | None = setting(None, help="The hub's client id at WorkOS.")
    url: str = setting("https://api.workos.com", help="Where WorkOS's API is.")
    ca_file: Path | None = setting(
        None, help="A file of certificates (PEM) to trust for WorkOS; nothing: the system's."
    )

    def __post_init__(self) -> None:
        """Refuse half a set-up. Raises ValueError."""
        check_file(f"{_PREFIX}WORKOS_CA_FILE", self.ca_file)
        check_url(f"{_PREFIX}WORKOS_URL", self.url)
        if self.api_key is not None and not self.client_id:
            raise ValueError(f"{_PREFIX}WORKOS_CLIENT_ID is needed where WORKOS_API_KEY is set")


def check_networks(variable: str, names: tuple[str, ...]) -> None:
    """Refuse what is no address and no network. Raises ValueError."""
    for name in names:
        try:
            ip_network(name)
        except ValueError:
            raise ValueError(
                f"{variable} has {name!r}; it must hold addresses or networks such as 10.0.0.0/8"
            ) from None


def check_file(variable: str, path: Path | None) -> None:
    """Refuse a file that is not there. Raises ValueError."""
    if path is not None and not path.is_file():
        raise ValueError(f"{variable} must name a file that can be read")


def check_url(variable: str, url: str) -> None:
    """Refuse a URL that is not https (http only on this machine). Raises ValueError.

    A cookie, a code or a token would otherwise cross the network readable.
    """
    if is_safe_url(url) and not urlsplit(url).query:
        return
    raise ValueError(
        f"{variable} must be an https:// URL (http:// on 127.0.0.1 or localhost only) "
        "without user, query and fragment"
    )


def is_safe_url(url: str) -> bool:
    """Tell whether a URL is https (or http on this machine), without user and fragment."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    plain = parts.scheme == "http" and host in _LOOPBACK
    bare = not parts.fragment and "@" not in parts.netloc
    return (parts.scheme == "https" or plain) and bool(host) and bare
