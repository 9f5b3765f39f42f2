"""The status of both kinds, and the smallest patch that brings it about.

Owns the form of `.status`. Called by the reconciler after each decision. Pure: the same facts give
the same status, so nothing is written when nothing changed. Never holds a secret or its hash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from radar_audit_events.policy_answers import DestinationState, RetentionState

from .plan.secrets import Found, Use
from .plan.verdicts import (
    SyncResult,
    Verdict,
    accepted_verdict,
    destination_verdict,
    destinations_verdict,
    ready_verdict,
    retention_verdict,
    synced_verdict,
)
from .specs import Policy, in_days

_MAX_ERROR_CHARS = 256
_TERMINAL = frozenset({"refused", "unauthorized"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a policy after a reconcile; `sync` is null for a refused policy.

    `synced_at` is when the hub last took a change of it (null: keep what the status says).
    """

    accepted: Verdict
    sync: SyncResult | None
    owner_id: str = ""
    organization: str = ""
    revision: str = ""
    synced_at: str | None = None
    retention: RetentionState | None = None
    destinations: Sequence[DestinationState] = ()
    secrets: Mapping[Use, Found]
    last_test: Mapping[str, Any] | None = None
    handled_sync: str = ""


def policy_status(policy: Policy, facts: Facts, now: str) -> dict[str, Any]:
    """Return the whole status; `now` (RFC 3339) is the time of conditions that change."""
    before = policy.status
    generation = policy.meta.generation
    if facts.sync is not None and facts.sync.kind == "left":
        return _left(policy, facts, now)
    named = [("Accepted", accepted_verdict(facts.accepted, facts.sync))]
    if facts.sync is not None:
        named.append(("Synced", synced_verdict(facts.sync)))
    if facts.retention is not None:
        named.append(("RetentionEffective", retention_verdict(facts.retention)))
    each = _destination_verdicts(policy, facts)
    if each and facts.sync is not None:
        named.append(("DestinationsReady", destinations_verdict(each)))
    ready = ready_verdict(named, facts.sync, _previous(before, "Ready"))
    named.append(("Ready", ready))
    if named[0][1].status == "False" or (facts.sync and facts.sync.kind in _TERMINAL):
        named.append(("Stalled", Verdict("True", ready.reason, ready.message)))
    made: dict[str, Any] = {
        "observedGeneration": generation,
        "conditions": _conditions(before.get("conditions"), named, generation, now),
    }
    made |= _identity(before, facts)
    if facts.retention is not None:
        made["retention"] = _retention(facts.retention)
    if each:
        made["destinations"] = _destinations(before, facts, each, generation, now)
        good = sum(verdict.status == "True" for verdict in each.values())
        made["destinationSummary"] = f"{good}/{len(each)}"
        times = [item.get("lastDeliveryTime", "") for item in made["destinations"]]
        if any(times):
            made["lastDeliveryTime"] = max(times)
    return made


def merge_patch(before: Any, after: Any) -> dict[str, Any]:
    """Return the JSON merge patch from one object to another; empty when they are the same."""
    patch: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            inner = merge_patch(old, value)
            if inner:
                patch[key] = inner
        elif old != value:
            patch[key] = value
    return patch


def conditions(
    before: Mapping[str, Any], named: Sequence[tuple[str, Verdict]], generation: int, now: str
) -> list[dict[str, Any]]:
    """Return conditions for a status, each keeping its transition time while its status stays."""
    return _conditions(before.get("conditions"), named, generation, now)


def _left(policy: Policy, facts: Facts, now: str) -> dict[str, Any]:
    """Return the status of a suspended policy: the last one, with a Ready that says so."""
    before, generation = policy.status, policy.meta.generation
    old = {item["type"]: item for item in before.get("conditions") or ()}
    ready = ready_verdict([], facts.sync, _previous(before, "Ready"))
    accepted = ("Accepted", facts.accepted)
    fresh = _conditions(before.get("conditions"), [accepted, ("Ready", ready)], generation, now)
    old |= {item["type"]: item for item in fresh}
    old.pop("Stalled", None)
    made = dict(before) | {"observedGeneration": generation, "conditions": list(old.values())}
    return made | _identity(before, facts)


def _identity(before: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    handled = facts.handled_sync or before.get("lastHandledSync", "")
    pairs = {
        "organization": facts.organization or before.get("organization", ""),
        "ownerId": facts.owner_id or before.get("ownerId", ""),
        "settingsRevision": facts.revision or before.get("settingsRevision", ""),
        "lastSyncTime": facts.synced_at or before.get("lastSyncTime", ""),
        "lastHandledSync": handled,
        "lastTest": dict(facts.last_test or before.get("lastTest") or {}),
    }
    return {key: value for key, value in pairs.items() if value}


def _conditions(
    listed: Sequence[Mapping[str, Any]] | None,
    named: Sequence[tuple[str, Verdict]],
    generation: int,
    now: str,
) -> list[dict[str, Any]]:
    old = {item["type"]: item for item in listed or ()}
    made = []
    for name, verdict in named:
        was = old.get(name, {})
        since = was.get("lastTransitionTime") if was.get("status") == verdict.status else None
        made.append(
            {
                "type": name,
                "status": verdict.status,
                "reason": verdict.reason,
                "message": verdict.message,
                "observedGeneration": generation,
                "lastTransitionTime": since or now,
            }
        )
    return made


def _destination_verdicts(policy: Policy, facts: Facts) -> dict[str, Verdict]:
    wanted = policy.spec.notifications.destinations if policy.spec.notifications else ()
    states = {state.name: state for state in facts.destinations}
    problems: dict[str, Verdict] = {}
    for use, found in facts.secrets.items():
        if found.problem is not None:
            verdict = Verdict("False", found.problem, found.message)
            problems.setdefault(use.destination, verdict)
    return {
        each.name: destination_verdict(problems.get(each.name), states.get(each.name))
        for each in wanted
    }


def _destinations(
    before: Mapping[str, Any],
    facts: Facts,
    each: Mapping[str, Verdict],
    generation: int,
    now: str,
) -> list[dict[str, Any]]:
    old = {item["name"]: item for item in before.get("destinations") or ()}
    states = {state.name: state for state in facts.destinations}
    # Only what the hub has: a version is shown once its document was taken.
    versions: dict[str, list[str]] = {}
    for use, found in facts.secrets.items():
        if found.problem is None:
            versions.setdefault(use.destination, []).append(found.version.rpartition(":")[2])
    is_sent = facts.sync is not None and facts.sync.kind == "synced"
    made = []
    for name, verdict in each.items():
        was = old.get(name, {})
        version = ",".join(dict.fromkeys(versions.get(name, ()))) if is_sent else ""
        item: dict[str, Any] = {"name": name}
        state = states.get(name)
        pairs: dict[str, Any] = {
            "secretResourceVersion": version or was.get("secretResourceVersion")
        }
        if state is not None:
            pairs |= {
                "lastDeliveryTime": state.last_delivery_at,
                "lastErrorTime": state.last_error_at,
                "lastError": state.last_error and state.last_error[:_MAX_ERROR_CHARS],
                "pending": state.pending,
                "suppressed": state.suppressed or None,
            }
        item |= {key: value for key, value in pairs.items() if value is not None}
        item["conditions"] = _conditions(
            was.get("conditions"), [("Ready", verdict)], generation, now
        )
        made.append(item)
    return made


def _retention(state: RetentionState) -> dict[str, Any]:
    made: dict[str, Any] = {
        "planCeiling": in_days(state.ceiling_hours),
        "effective": in_days(state.effective_hours),
        "wouldDelete": state.would_delete,
    }
    if state.requested_hours is not None:
        made["requested"] = in_days(state.requested_hours)
    if state.oldest_kept is not None:
        made["oldestKept"] = state.oldest_kept
    if state.holder is not None:
        made["holder"] = state.holder.owner_id
    if state.pending is not None:
        made["pending"] = {
            "effective": in_days(state.pending.effective_hours),
            "at": state.pending.at,
            "wouldDelete": state.pending.would_delete,
        }
    return made


def _previous(status: Mapping[str, Any], name: str) -> Verdict | None:
    for item in status.get("conditions") or ():
        if item["type"] == name:
            return Verdict(item["status"], item["reason"], item["message"])
    return None
