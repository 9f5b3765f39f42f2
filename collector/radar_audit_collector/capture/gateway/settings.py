"""Settings of the gateway: every variable that begins with RADAR_AUDIT_COLLECTOR_GATEWAY_.

Owns the one frozen dataclass that the gateway is started with. Read once, at the
start; other modules get values, never the environment. Holds no secret: keys are
made by the gateway, tokens pass through it unread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from radar_audit_runtime.settings import setting

from radar_audit_collector.addresses import split_address

from .config import LEAF_FILE, RelayConfig

GATEWAY_PREFIX = "RADAR_AUDIT_COLLECTOR_GATEWAY_"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_DAY_SECONDS = 86_400


@dataclass(frozen=True, kw_only=True)
class GatewaySettings:
    """The gateway's settings; each field says unit, default and why one would change it."""

    enabled: bool = setting(False, help="Whether to relay Radar's traffic to the API server.")
    listen: str = setting(
        "127.0.0.1:16443", help="Loopback address and port at which Radar finds its API server."
    )
    upstream: str | None = setting(
        None,
        help="Address and port of the API server; nothing: KUBERNETES_SERVICE_HOST and _PORT.",
    )
    upstream_server_name: str | None = setting(
        None, help="Name that the API server's certificate must have; nothing: its address."
    )
    upstream_ca_file: Path = setting(
        Path("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"),
        help="Certificates (PEM) that vouch for the API server; read again when they change.",
    )
    keys_dir: Path = setting(
        Path("/run/radar-audit/keys"),
        help="Folder for the gateway's own keys: a memory volume that no other container has.",
    )
    account_dir: Path = setting(
        Path("/run/radar-audit/sa"),
        help="Folder that Radar sees as its ServiceAccount's; ca.crt and links are made here.",
    )
    token_dir: Path = setting(
        Path("/var/run/secrets/radar-audit"),
        help="Where Radar's container has its projected token; the links point there.",
    )
    capture: bool = setting(
        True, help="Whether to look at requests; off: everything is relayed blind (kill switch)."
    )
    failure_policy: Literal["open", "required"] = setting(
        "open",
        help="What becomes of a terminal that cannot be recorded: open lets it pass and counts, "
        "required refuses it.",
    )
    close_off: bool = setting(
        True,
        help="Whether an ordinary HTTP/1.1 connection carries one request only, so that no later "
        "one passes unseen.",
    )
    max_connections: int = setting(
        4096, minimum=16, maximum=30_000, help="Connections at one time; more are refused."
    )
    confirm_ms: int = setting(
        20,
        unit="milliseconds",
        minimum=0,
        maximum=1000,
        help="How long a terminal's start may wait for the disk before it goes on unconfirmed.",
    )
    required_ms: int = setting(
        2_000,
        unit="milliseconds",
        minimum=50,
        maximum=30_000,
        help="The same where recording is required; after it the terminal is refused.",
    )
    leaf_seconds: float = setting(
        30 * _DAY_SECONDS,
        unit="seconds",
        minimum=1,
        maximum=365 * _DAY_SECONDS,
        help="Life of the gateway's certificate; it is renewed after two thirds of it.",
    )
    watch_files_seconds: float = setting(
        30.0,
        unit="seconds",
        minimum=0.05,
        maximum=3600,
        help="Pause between two looks at certificates that may have changed.",
    )
    drain_seconds: float = setting(
        20.0,
        unit="seconds",
        minimum=0,
        maximum=3600,
        help="How long to go on relaying after SIGTERM.",
    )

    def __post_init__(self) -> None:
        """Refuse values that can never work. Raises ValueError that names the variables."""
        host, _ = split_address(f"{GATEWAY_PREFIX}LISTEN", self.listen)
        if host not in _LOOPBACK:
            raise ValueError(
                f"{GATEWAY_PREFIX}LISTEN is {self.listen!r}; the gateway listens on loopback only, "
                "such as 127.0.0.1:16443"
            )
        if self.upstream is not None:
            split_address(f"{GATEWAY_PREFIX}UPSTREAM", self.upstream)

    def relay_config(self, environ: Mapping[str, str]) -> RelayConfig:
        """Return what the relay process is told. Raises ValueError without an API server."""
        listen_host, listen_port = split_address(f"{GATEWAY_PREFIX}LISTEN", self.listen)
        host, port = self._endpoint(environ)
        return RelayConfig(
            listen_host=listen_host,
            listen_port=listen_port,
            upstream_host=host,
            upstream_port=port,
            upstream_server_name=self.upstream_server_name or host,
            upstream_ca_file=str(self.upstream_ca_file),
            leaf_file=str(self.keys_dir / LEAF_FILE),
            failure_policy=self.failure_policy,
            capture=self.capture,
            close_off=self.close_off,
            max_connections=self.max_connections,
            confirm_ms=self.confirm_ms,
            required_ms=self.required_ms,
            watch_files_seconds=self.watch_files_seconds,
            drain_seconds=self.drain_seconds,
        )

    def _endpoint(self, environ: Mapping[str, str]) -> tuple[str, int]:
        if self.upstream is not None:
            return split_address(f"{GATEWAY_PREFIX}UPSTREAM", self.upstream)
        host = environ.get("KUBERNETES_SERVICE_HOST", "")
        port = environ.get("KUBERNETES_SERVICE_PORT", "")
        if not host or not port.isdecimal():
            raise ValueError(
                f"{GATEWAY_PREFIX}UPSTREAM is not set, and outside a cluster there is no "
                "KUBERNETES_SERVICE_HOST; set it to the API server, such as 10.0.0.1:6443"
            )
        return host, int(port)
