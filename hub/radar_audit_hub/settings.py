"""Settings of the hub: every variable that begins with RADAR_AUDIT_HUB_.

Owns the one frozen dataclass that the hub is started with. Read by `main.py`, which passes it
on; every other module gets values, never the environment. Never holds a figure of the public
contract (sizes of a batch, clock skew, plans' days): those are not for an operator to change.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from radar_audit_runtime.settings import load, setting

from .sealing import SealError, read_key
from .settings_billing import StripeSettings
from .settings_kubernetes import BootstrapSettings, KubernetesSettings
from .settings_mail import SmtpSettings
from .settings_notify import NotifySettings
from .settings_signin import (
    OidcSettings,
    SessionSettings,
    WorkosSettings,
    check_networks,
    check_url,
)

PREFIX = "RADAR_AUDIT_HUB_"
_ADDRESS = re.compile(r"^(?:\[([0-9a-fA-F:]+)\]|([^\s:\[\]/]+)):(\d{1,5})\Z")
_MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class HubSettings:
    """The hub's settings; each field says its unit, its default and why one would change it."""

    data_dir: Path = setting(
        Path("data"), help="Folder of the SQLite database; unused with a PostgreSQL database_url."
    )
    database_url: str | None = setting(
        None,
        secret=True,
        help="sqlite:////absolute/path or postgresql://user:password@host/name; "
        "nothing: hub.db in data_dir.",
    )
    secrets_key: str | None = setting(
        None,
        secret=True,
        help="Key for the secrets of alert destinations: 32 random bytes in base64, the same for "
        "all replicas; nothing: with SQLite one is made beside the file, with PostgreSQL no such "
        "secret is taken.",
    )
    database_pool_size: int = setting(
        10, minimum=3, maximum=200, help="Connections to PostgreSQL that one replica may hold open."
    )
    migrate: bool = setting(
        True, help="Bring the database's schema up to date when the server starts."
    )
    listen: str = setting(
        "127.0.0.1:8080", help="Address and port of the API; port 0 takes a free one."
    )
    public_url: str = setting(
        "http://127.0.0.1:8080",
        help="The hub's address as people's browsers see it, without a path: in links, and for "
        "signing in. https, but for http on this machine.",
    )
    trusted_proxies: tuple[str, ...] = setting(
        (),
        help="Addresses or networks (10.0.0.0/8) of proxies before the hub, whose X-Forwarded-For "
        "is believed: for limits by address and the address in sign-in rows.",
    )
    probes_listen: str = setting(
        "127.0.0.1:9280", help="Address and port of /livez, /readyz and /metrics."
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "info", help="Lowest level of the JSON lines on standard error."
    )
    drain_seconds: float = setting(
        15.0,
        unit="seconds",
        minimum=0,
        maximum=600,
        help="How long requests may go on after SIGTERM before they are cut.",
    )
    body_timeout_seconds: float = setting(
        30.0,
        unit="seconds",
        minimum=1,
        maximum=600,
        help="How long a client may take to send a request's body.",
    )
    write_timeout_seconds: float = setting(
        30.0,
        unit="seconds",
        minimum=1,
        maximum=600,
        help="How long a client may let a streamed answer stand still before it is cut.",
    )
    max_exports: int = setting(
        4,
        minimum=1,
        maximum=100,
        help="Exports that one replica sends at once, three quarters of them for one org; above "
        "it: 429. Fewer where database_pool_size leaves no connections for them.",
    )
    max_followers: int = setting(
        200,
        minimum=1,
        maximum=10_000,
        help="Long polls and live tails that one replica keeps open at once, three quarters of "
        "them for one org; above it: 429.",
    )
    max_connections: int = setting(
        2000,
        minimum=50,
        maximum=50_000,
        help="Connections that clients may hold open; above it idle ones are closed. Never more "
        "than three quarters of the files that the process may open.",
    )
    failed_auth_per_minute: int = setting(
        60,
        minimum=1,
        help="Refused tokens of one address in a minute before they get 429 instead of 401.",
    )
    ingest_held_bytes: int = setting(
        64 * _MIB,
        unit="bytes",
        minimum=16 * _MIB,
        help="Decompressed bodies that may wait for the database at once; above it: 429.",
    )
    ingest_held_bytes_per_org: int = setting(
        16 * _MIB,
        unit="bytes",
        minimum=16 * _MIB,
        help="The same for one org, so that one cannot starve the others.",
    )
    purge_enabled: bool = setting(
        True, help="Whether this replica takes part in deleting expired events."
    )
    purge_interval_seconds: float = setting(
        300.0,
        unit="seconds",
        minimum=1,
        help="Pause between two rounds of deletion; reading hides expired events at once anyway.",
    )
    purge_batch_rows: int = setting(
        2000, minimum=1, maximum=5000, help="Rows that one transaction of a round deletes at most."
    )
    purge_pause_seconds: float = setting(
        0.1,
        unit="seconds",
        minimum=0,
        maximum=60,
        help="Pause between two such transactions, so that writers get their turn.",
    )
    session: SessionSettings = field(default_factory=SessionSettings)
    oidc: OidcSettings = field(default_factory=OidcSettings)
    workos: WorkosSettings = field(default_factory=WorkosSettings)
    smtp: SmtpSettings = field(default_factory=SmtpSettings)
    kubernetes: KubernetesSettings = field(default_factory=KubernetesSettings)
    bootstrap: BootstrapSettings = field(default_factory=BootstrapSettings)
    stripe: StripeSettings = field(default_factory=StripeSettings)
    notify: NotifySettings = field(default_factory=NotifySettings)
    downgrade_grace_days: int = setting(
        7,
        unit="days",
        minimum=0,
        maximum=90,
        help="How long events are kept, unseen, that a smaller plan no longer shows, so that going "
        "back to the larger one shows them again.",
    )

    def __post_init__(self) -> None:
        """Refuse addresses and database URLs of another form. Raises ValueError."""
        for name in ("listen", "probes_listen"):
            split_address(f"{PREFIX}{name.upper()}", getattr(self, name))
        check_url(f"{PREFIX}PUBLIC_URL", self.public_url)
        check_networks(f"{PREFIX}TRUSTED_PROXIES", self.trusted_proxies)
        if self.database_url is not None and not self.database_url.startswith(
            ("sqlite:///", "postgresql://", "postgres://")
        ):
            raise ValueError(
                f"{PREFIX}DATABASE_URL has a value (not shown); it must begin with "
                "sqlite:/// or postgresql://"
            )
        if self.secrets_key is not None:
            try:
                read_key(self.secrets_key)
            except SealError as error:
                raise ValueError(f"{PREFIX}SECRETS_KEY has a value (not shown); {error}") from None

    def secrets_folder(self) -> Path | None:
        """Return where a key may be made: the folder of the SQLite file, None with PostgreSQL."""
        url = self.resolved_database_url()
        return Path(url.removeprefix("sqlite:///")).parent if url.startswith("sqlite:") else None

    def resolved_database_url(self) -> str:
        """Return the database URL, the default one made from `data_dir` (absolute). A secret."""
        if self.database_url is None:
            return f"sqlite:///{self.data_dir.absolute() / 'hub.db'}"
        # libpq accepts both spellings of the scheme; SQLAlchemy only the longer.
        return re.sub(r"^postgres://", "postgresql://", self.database_url)


def split_address(variable: str, address: str) -> tuple[str, int]:
    """Split `host:port` (an IPv6 host in brackets). Raises ValueError that names `variable`."""
    match = _ADDRESS.match(address)
    if match is None or int(match[3]) > 65535:
        raise ValueError(
            f"{variable} is {address!r}; it must be an address and a port, such as 127.0.0.1:8080"
        )
    return match[1] or match[2], int(match[3])


def load_settings(environ: Mapping[str, str], file: Path | None = None) -> HubSettings:
    """Build the settings from a TOML `file` and the environment. Raises SettingsError."""
    return load(HubSettings, PREFIX, environ, file)
