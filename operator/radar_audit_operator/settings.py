"""Settings of the operator: every variable that begins with RADAR_AUDIT_OPERATOR_.

Owns the one frozen dataclass that the operator is started with. Read by `main`, which passes it
on; other modules get values, never the environment. What concerns a hub or a policy is no setting:
it stands in an AuditHub or AuditPolicy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from radar_audit_runtime.settings import load, setting

PREFIX = "RADAR_AUDIT_OPERATOR_"
_NAME = re.compile(r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\Z")
_ADDRESS = re.compile(r"^(?:\[([0-9a-fA-F:]+)\]|([^\s:\[\]/]+)):(\d{1,5})\Z")


@dataclass(frozen=True, kw_only=True)
class OperatorSettings:
    """The operator's settings; each field says unit, default and why one would change it."""

    namespace: str | None = setting(
        None,
        help="The operator's own namespace: of the cluster tokens, the Lease, and of policies that "
        "need no grant; nothing: that of the pod.",
    )
    identity: str | None = setting(
        None, help="Name of this replica in the Lease; nothing: the host's name."
    )
    lease_enabled: bool = setting(
        True, help="Whether replicas agree by a Lease which one is active; a second one stands by."
    )
    lease_name: str = setting("radar-audit-operator", help="Name of that Lease.")
    lease_seconds: float = setting(
        15.0,
        unit="seconds",
        minimum=0.3,
        maximum=300,
        help="How long an active replica may be silent before another takes over.",
    )
    radar_namespaces: tuple[str, ...] = setting(
        ("radar",), help="Namespaces of Radar's pods, which are checked for the gateway."
    )
    radar_selector: str = setting(
        "app.kubernetes.io/name=radar", help="Label selector of Radar's pods."
    )
    gateway_container: str = setting(
        "radar-audit", help="Name of the gateway's container in Radar's pods."
    )
    workers: int = setting(
        16, minimum=1, maximum=100, help="Objects that are worked on at the same time."
    )
    queue_limit: int = setting(
        20_000, minimum=100, help="Objects that may wait; above it a resync repairs the rest."
    )
    hub_token_file: Path | None = setting(
        None,
        help="File with the operator's own token to hubs in its cluster, for AuditHubs without a "
        "tokenSecretRef: a projected ServiceAccount token with the hub's audience. Read each time.",
    )
    hub_timeout_seconds: float = setting(
        10.0, unit="seconds", minimum=0.1, maximum=120, help="How long the hub may take to answer."
    )
    retry_max_seconds: float = setting(
        30.0,
        unit="seconds",
        minimum=0.1,
        maximum=600,
        help="Longest pause between two tries; the pauses grow up to it.",
    )
    unready_after_seconds: float = setting(
        300.0,
        unit="seconds",
        minimum=0,
        maximum=86_400,
        help="How long a hub may be away before its policies are no longer Ready.",
    )
    secret_retry_seconds: float = setting(
        30.0,
        unit="seconds",
        minimum=0.1,
        maximum=3600,
        help="Pause before a missing Secret is looked for again where none can be watched.",
    )
    event_quiet_seconds: float = setting(
        300.0,
        unit="seconds",
        minimum=0,
        maximum=86_400,
        help="How long the same event of an object is not posted again.",
    )
    probes_listen: str = setting(
        "127.0.0.1:9282", help="Address and port of /livez, /readyz and /metrics."
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "info", help="Lowest level of the JSON lines on standard error."
    )

    def __post_init__(self) -> None:
        """Refuse values that can never work. Raises ValueError that names the variables."""
        named = [("NAMESPACE", self.namespace), ("IDENTITY", self.identity)]
        named += [("LEASE_NAME", self.lease_name), ("GATEWAY_CONTAINER", self.gateway_container)]
        named += [("RADAR_NAMESPACES", each) for each in self.radar_namespaces]
        for variable, value in named:
            if value is not None and not _NAME.match(value):
                raise ValueError(
                    f"{PREFIX}{variable} holds {value!r}; it must be a Kubernetes name such as "
                    "radar-audit"
                )
        self.probes_address()

    def probes_address(self) -> tuple[str, int]:
        """Return host and port of the probes. Raises ValueError that names the variable."""
        found = _ADDRESS.match(self.probes_listen)
        if found is None or int(found[3]) > 65_535:
            raise ValueError(
                f"{PREFIX}PROBES_LISTEN is {self.probes_listen!r}; it must look like 127.0.0.1:9282"
            )
        return found[1] or found[2], int(found[3])


def load_settings(environ: Mapping[str, str], file: Path | None = None) -> OperatorSettings:
    """Build the settings from a TOML `file` and the environment. Raises SettingsError."""
    return load(OperatorSettings, PREFIX, environ, file)
