"""Settings of notifications: where they may go, and what becomes of those that do not arrive.

Owns the group that `settings.py` holds as `notify`. Read by `notify/`. Never reads the
environment.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from radar_audit_runtime.settings import setting

from .settings_signin import check_file, check_networks

_PREFIX = "RADAR_AUDIT_HUB_NOTIFY_"


@dataclass(frozen=True, kw_only=True)
class NotifySettings:
    """How notifications are delivered."""

    allowed_networks: tuple[str, ...] = setting(
        (),
        help="Private networks (10.1.0.0/16) in which receivers may be. Without them only public "
        "addresses are connected to. In them any port is allowed, too.",
    )
    ca_file: Path | None = setting(
        None,
        help="A file of certificates (PEM) to trust for receivers, beside the system's.",
    )
    disconnected_after_seconds: float = setting(
        300.0,
        unit="seconds",
        minimum=120,
        maximum=86_400,
        help="How long nothing may be heard of a cluster before it is told to be disconnected. "
        "One that comes back earlier is not told of.",
    )
    timeout_seconds: float = setting(
        20.0,
        unit="seconds",
        minimum=1,
        maximum=30,
        help="How long a receiver may take to answer before the message is tried again later.",
    )
    disable_after_days: int = setting(
        5,
        unit="days",
        minimum=1,
        maximum=90,
        help="How long a destination may do nothing but fail before it is disabled.",
    )
    mails_per_day: int = setting(
        1000,
        minimum=1,
        maximum=1_000_000,
        help="Addresses that an organization's alerts are mailed to in a day, on each replica.",
    )
    pagerduty_url: str = setting(
        "https://events.pagerduty.com/v2/enqueue",
        help="Where PagerDuty takes events; accounts of its EU region have another address.",
    )
    log_days: int = setting(
        30,
        unit="days",
        minimum=4,
        maximum=400,
        help="How long the delivery log is kept at most; what shows an event is kept no longer "
        "than that event.",
    )
    log_rows: int = setting(
        10_000,
        minimum=100,
        maximum=1_000_000,
        help="Messages of one destination that the delivery log keeps at most.",
    )

    def __post_init__(self) -> None:
        """Refuse what is no network, and a file that is not there. Raises ValueError."""
        check_networks(f"{_PREFIX}ALLOWED_NETWORKS", self.allowed_networks)
        check_file(f"{_PREFIX}CA_FILE", self.ca_file)
