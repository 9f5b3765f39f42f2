"""Settings of the collector: every variable that begins with RADAR_AUDIT_COLLECTOR_.

Owns the one frozen dataclass that the collector is started with. Read by `main`,
which passes it on; other modules get values, never the environment. Never
shows a token in an error or a repr.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from radar_audit_events.ids import is_opaque_id
from radar_audit_events.wire import MAX_BATCH_EVENTS
from radar_audit_runtime.settings import load, setting

from .addresses import is_loopback, split_address
from .capture.gateway.settings import GatewaySettings
from .classify import ClassifyRules
from .spool_database import MIN_SPOOL_BYTES

PREFIX = "RADAR_AUDIT_COLLECTOR_"
_MIB = 1024 * 1024
_COLLECTOR_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")


@dataclass(frozen=True, kw_only=True)
class CollectorSettings:
    """The collector's settings; each field says unit, default and why one would change it."""

    hub_url: str = setting(help="Address of the hub, such as https://audit.example.com.")
    token: str = setting(
        secret=True,
        help="Cluster token (rhc_...); with TOKEN_FILE a rotated token is read without a restart.",
    )
    hub_ca_file: Path | None = setting(
        None, help="Certificates (PEM) that vouch for the hub; nothing: those of the system."
    )
    collector_id: str | None = setting(
        None, help="Name of this collector, stable over restarts; nothing: the host's name."
    )
    data_dir: Path = setting(
        Path("data/collector"), help="Folder of the spool; it must survive a restart."
    )
    spool_max_bytes: int = setting(
        256 * _MIB,
        unit="bytes",
        minimum=MIN_SPOOL_BYTES,
        help="What the spool may use on the disk; when full, the oldest events give way.",
    )

    radar_service_account: str = setting(
        "radar/radar", help="Radar's ServiceAccount, as namespace/name."
    )
    org_id: str | None = setting(
        None, help="The org whose terminals are recorded; nothing: what the hub says."
    )
    identity: Literal["cloud", "impersonated", "any"] = setting(
        "cloud",
        help="Who counts as a person: cloud (Radar Cloud's groups), impersonated (any impersonated "
        "user), any (also without one).",
    )
    record_attach: bool = setting(False, help="Record kubectl-attach terminals like exec ones.")
    record_service_actors: bool = setting(
        False, help="Record Radar's own service identities (radar:ai:, radar:system) too."
    )
    include_namespaces: tuple[str, ...] = setting(
        (), help="Namespaces that are recorded, names or prefixes ending in *; nothing: all."
    )
    exclude_namespaces: tuple[str, ...] = setting(
        (), help="Namespaces that are not recorded; wins over the included ones."
    )

    logfile_path: Path | None = setting(
        None, help="The API server's audit log to follow; nothing: this source is off."
    )

    webhook_enabled: bool = setting(False, help="Whether to listen for audit webhook batches.")
    webhook_listen: str = setting(
        "0.0.0.0:9443",
        help="Address and port of the webhook sink.",
    )
    webhook_cert_file: Path | None = setting(
        None, help="Certificate (PEM) of the webhook sink; read again when it changes."
    )
    webhook_key_file: Path | None = setting(None, help="Private key (PEM) of that certificate.")
    webhook_token: str | None = setting(
        None, secret=True, help="Bearer token that the API server must send."
    )
    webhook_client_ca_file: Path | None = setting(
        None, help="Certificates (PEM) that vouch for the API server's client certificate."
    )
    webhook_insecure_loopback: bool = setting(
        False, help="Allow a webhook sink without TLS or credential, on a loopback address only."
    )
    webhook_max_body_bytes: int = setting(
        32 * _MIB,
        unit="bytes",
        minimum=_MIB,
        maximum=256 * _MIB,
        help="Largest batch, after decompression; larger ones get 413 and are lost upstream.",
    )
    webhook_max_inflight_bytes: int = setting(
        64 * _MIB,
        unit="bytes",
        minimum=_MIB,
        help="What all batches being read may hold together; above it: 429.",
    )

    gateway: GatewaySettings = field(default_factory=GatewaySettings)

    batch_events: int = setting(
        500, minimum=1, maximum=MAX_BATCH_EVENTS, help="Events in one request to the hub at most."
    )
    batch_linger_seconds: float = setting(
        0.2,
        unit="seconds",
        minimum=0,
        maximum=1,
        help="How long a batch that is not full waits for more events.",
    )
    request_timeout_seconds: float = setting(
        30.0, unit="seconds", minimum=1, maximum=600, help="How long the hub may take to answer."
    )
    retry_max_seconds: float = setting(
        30.0,
        unit="seconds",
        minimum=0.1,
        maximum=3600,
        help="Longest pause between two tries to reach the hub; the pauses grow up to it.",
    )
    token_retry_seconds: float = setting(
        60.0,
        unit="seconds",
        minimum=0.1,
        maximum=3600,
        help="Pause after the hub refused the token.",
    )
    skew_retry_seconds: float = setting(
        30.0,
        unit="seconds",
        minimum=0.1,
        maximum=3600,
        help="Pause between two tries for events that the hub finds to be ahead of its clock.",
    )
    heartbeat_seconds: float = setting(
        30.0, unit="seconds", minimum=0.1, maximum=3600, help="Pause between two heartbeats."
    )
    drain_seconds: float = setting(
        10.0,
        unit="seconds",
        minimum=0,
        maximum=600,
        help="How long to go on delivering after SIGTERM; what is left stays in the spool.",
    )
    probes_listen: str = setting(
        "127.0.0.1:9281", help="Address and port of /livez, /readyz and /metrics."
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "info", help="Lowest level of the JSON lines on standard error."
    )

    def __post_init__(self) -> None:
        """Refuse values that can never work. Raises ValueError that names the variables."""
        self._check_hub()
        if self.collector_id is not None and not _COLLECTOR_ID.match(self.collector_id):
            raise ValueError(
                f"{PREFIX}COLLECTOR_ID is {self.collector_id!r}; it must be 1 to 63 letters, "
                "digits, dots, dashes or underscores and begin with a letter or digit"
            )
        if self.org_id is not None and not is_opaque_id("org", self.org_id):
            raise ValueError(
                f"{PREFIX}ORG_ID is {self.org_id!r}; an org's id looks like org_01H8XGJWBWBAQ4"
            )
        try:
            self.classify_rules(None)
        except ValueError as exc:
            raise ValueError(
                f"{PREFIX}RADAR_SERVICE_ACCOUNT is {self.radar_service_account!r}; {exc}"
            ) from None
        split_address(f"{PREFIX}PROBES_LISTEN", self.probes_listen)
        if self.webhook_enabled:
            self._check_webhook()

    def _check_hub(self) -> None:
        try:
            parts = urlsplit(self.hub_url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname)
            usable = usable and (parts.port is None or parts.port > 0)
            bare = not (parts.username or parts.password or parts.query or parts.fragment)
        except ValueError:
            usable, bare = False, True
        if not bare:
            raise ValueError(
                f"{PREFIX}HUB_URL has a value (not shown); it must hold no user, password or query"
            )
        if not usable:
            raise ValueError(
                f"{PREFIX}HUB_URL is {self.hub_url!r}; it must look like https://audit.example.com"
            )
        if not self.token.isascii() or not self.token.isprintable() or " " in self.token:
            raise ValueError(
                f"{PREFIX}TOKEN has a value (not shown); it must be one cluster token (rhc_...)"
            )

    def _check_webhook(self) -> None:
        host, _ = split_address(f"{PREFIX}WEBHOOK_LISTEN", self.webhook_listen)
        if (self.webhook_cert_file is None) != (self.webhook_key_file is None):
            raise ValueError(
                f"{PREFIX}WEBHOOK_CERT_FILE and {PREFIX}WEBHOOK_KEY_FILE belong together; set both"
            )
        if self.webhook_insecure_loopback:
            if not is_loopback(host):
                raise ValueError(
                    f"{PREFIX}WEBHOOK_INSECURE_LOOPBACK allows a loopback address only, and "
                    f"{PREFIX}WEBHOOK_LISTEN is {self.webhook_listen!r}; use 127.0.0.1 or set "
                    "a certificate and a token"
                )
            return
        if self.webhook_cert_file is None:
            raise ValueError(
                f"{PREFIX}WEBHOOK_CERT_FILE and {PREFIX}WEBHOOK_KEY_FILE are not set; "
                "the webhook sink speaks TLS only"
            )
        if not self.webhook_token and self.webhook_client_ca_file is None:
            raise ValueError(
                f"{PREFIX}WEBHOOK_TOKEN and {PREFIX}WEBHOOK_CLIENT_CA_FILE are not set; the "
                "webhook sink needs one of them to know the API server"
            )

    @property
    def is_hub_in_clear(self) -> bool:
        """Whether others on the way to the hub can read what is sent: http to another machine."""
        parts = urlsplit(self.hub_url)
        return parts.scheme == "http" and not is_loopback(parts.hostname or "")

    @property
    def spool_dir(self) -> Path:
        """The folder of the spool."""
        return self.data_dir / "spool"

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources that are switched on, by name."""
        names = (
            ("gateway", self.gateway.enabled),
            ("logfile", self.logfile_path is not None),
            ("webhook", self.webhook_enabled),
        )
        return tuple(name for name, is_on in names if is_on)

    def with_gateway_only(self) -> CollectorSettings:
        """Return the same settings with the gateway as the one source."""
        gateway = replace(self.gateway, enabled=True)
        return replace(self, gateway=gateway, logfile_path=None, webhook_enabled=False)

    def resolved_collector_id(self) -> str:
        """Return the collector's id, made from the host's name if none is set."""
        if self.collector_id is not None:
            return self.collector_id
        name = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname()).lstrip("._-")
        return name[:63] or "collector"

    def classify_rules(self, learnt_org_id: str | None) -> ClassifyRules:
        """Return what counts as a terminal; the org set here wins over the learnt one."""
        return ClassifyRules(
            radar_service_account=self.radar_service_account,
            org_id=self.org_id or learnt_org_id,
            identity=self.identity,
            attach=self.record_attach,
            service_actors=self.record_service_actors,
            include_namespaces=self.include_namespaces,
            exclude_namespaces=self.exclude_namespaces,
        )


def load_settings(environ: Mapping[str, str], file: Path | None = None) -> CollectorSettings:
    """Build the settings from a TOML `file` and the environment. Raises SettingsError."""
    return load(CollectorSettings, PREFIX, environ, file)
