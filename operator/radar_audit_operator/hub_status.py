"""The status of an AuditHub.

Owns its form. Called by the AuditHub's reconcile. Pure: the same facts give the same status.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from radar_audit_events.policy_answers import OperatorHeartbeatAnswer, SettingsAnswer

from .plan.document import capture_settings
from .plan.hub_verdicts import (
    applied,
    capture_verdict,
    gateway_verdict,
    hub_ready_verdict,
    without_gateway,
)
from .plan.verdicts import Verdict
from .specs import Hub, Key, in_days
from .status import conditions

_MAX_PODS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFacts:
    """What is known of an AuditHub after a reconcile; nulls were not learnt yet."""

    connected: Verdict
    authorized: Verdict | None
    settings: SettingsAnswer | None
    heartbeat: OperatorHeartbeatAnswer | None
    contact_at: str
    policies: int
    radar_pods: Mapping[Key, bool] | None
    radar_namespaces: Sequence[str]
    is_sync_handled: bool


def hub_status(hub: Hub, facts: HubFacts, now: str) -> dict[str, Any]:
    """Return the whole status; `now` (RFC 3339) is the time of conditions that change."""
    before, generation, beat = hub.status, hub.meta.generation, facts.heartbeat
    wanted = None if hub.spec.capture is None else capture_settings(hub.spec.capture)
    state = beat.capture if beat is not None else None
    counted = None if beat is None or state is None else applied(beat.collectors, state.etag)
    is_held_back = state is not None and state.is_required_held_back
    named = [("Connected", facts.connected)]
    if facts.authorized is not None:
        named.append(("Authorized", facts.authorized))
    named.append(("CaptureApplied", capture_verdict(wanted, counted, is_held_back=is_held_back)))
    named.append(("GatewayPresent", gateway_verdict(facts.radar_pods, facts.radar_namespaces)))
    named.append(("Ready", hub_ready_verdict(named)))
    latest = beat or facts.settings
    pairs: dict[str, Any] = {
        "plan": latest.plan if latest else before.get("plan"),
        "planCeiling": in_days(latest.ceiling_hours) if latest else before.get("planCeiling"),
        "lastContactTime": facts.contact_at or before.get("lastContactTime"),
        "lastHandledSync": hub.meta.sync_now
        if facts.is_sync_handled
        else before.get("lastHandledSync"),
        "requestedUpgrade": beat.requested_upgrade
        if beat is not None
        else before.get("requestedUpgrade"),
    }
    if counted is not None:
        summary = f"{counted.good}/{counted.total}"
        pairs["collectors"] = {"summary": summary, "configHash": counted.etag}
    elif before.get("collectors") and beat is None:
        pairs["collectors"] = before["collectors"]
    if facts.radar_pods:
        bare, total = without_gateway(facts.radar_pods), len(facts.radar_pods)
        pairs["radar"] = {"summary": f"{total - len(bare)}/{total}"}
        if bare:
            pairs["radar"]["withoutGateway"] = bare[:_MAX_PODS]
    made = {key: value for key, value in pairs.items() if value}
    return made | {
        "observedGeneration": generation,
        "policies": facts.policies,
        "conditions": conditions(before, named, generation, now),
    }
