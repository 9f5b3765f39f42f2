"""What the operator remembers of each policy between two reconciles.

Owns the last acknowledged document and what the hub last said of it. Written by the policies'
reconcile and the resync. Holds no value of a Secret; lost at a restart, which costs one PUT each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from radar_audit_events.policy_answers import DestinationState, RetentionState

from .plan.secrets import Found, Use
from .plan.verdicts import SyncResult
from .specs import Policy

Version = tuple[str, int, str]  # uid, generation, hash


@dataclass
class Memory:
    """One policy. `acknowledged` is the version that the hub has judged, and whether as a dry run.

    `enforced` is the version that is in force at the hub: what heartbeats name. `is_forced` sends
    again what was acknowledged, `rereads` reads the Secrets again.
    """

    owner_id: str = ""
    hub_name: str = ""
    uid: str = ""
    last_seen: Policy | None = None
    deletion_policy: str = "Revert"
    acknowledged: tuple[Version, bool] | None = None
    enforced: Version | None = None
    sync: SyncResult | None = None
    revision: str = ""
    good_at: str = ""
    retention: RetentionState | None = None
    destinations: list[DestinationState] = field(default_factory=list)
    secrets: Mapping[Use, Found] = field(default_factory=dict)
    secret_versions: Mapping[str, str] = field(default_factory=dict)
    is_forced: bool = False
    rereads: bool = False
    seen_from: float = 0.0
    failing_at: str = ""
    failing_from: float = 0.0
    last_test: Mapping[str, Any] | None = None
