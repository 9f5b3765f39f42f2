"""The conditions of an AuditPolicy: what each says, and which of them make it Ready.

Owns reasons and sentences. Called by `status.py`. Pure: what the hub answered, what became of the
Secrets and the times are arguments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from radar_audit_events.policy_answers import DestinationState, Holder, RetentionState
from radar_audit_events.policy_wire import (
    CODE_INVALID_QUERY,
    CODE_SCOPE_MISSING,
    CODE_UNKNOWN_ACTION,
)

from radar_audit_operator.specs import in_days

Status = Literal["True", "False", "Unknown"]
# Works, but not as asked or not yet: says so without making the policy unready.
_READY_ANYWAY = frozenset({"ClampedToPlan", "ShrinkPending"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """One condition without its type and times."""

    status: Status
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult:
    """What became of sending a policy.

    `code` and `sentence` are the hub's. `down_since` and `last_good` are RFC 3339;
    `is_grace_over`: the hub has been away so long that Ready turns False.
    """

    kind: Literal[
        "synced", "tried", "left", "unreachable", "refused", "unauthorized", "overridden", "waiting"
    ]
    code: str = ""
    sentence: str = ""
    down_since: str = ""
    last_good: str = ""
    is_grace_over: bool = False


def accepted_verdict(decided: Verdict, sync: SyncResult | None) -> Verdict:
    """Return Accepted: the decision, unless the hub found a query or an action wrong."""
    reasons = {CODE_INVALID_QUERY: "InvalidQuery", CODE_UNKNOWN_ACTION: "UnknownAction"}
    if sync is not None and sync.kind == "refused" and sync.code in reasons:
        return Verdict("False", reasons[sync.code], sync.sentence)
    return decided


def synced_verdict(sync: SyncResult) -> Verdict:
    """Return Synced: whether the hub holds this generation."""
    if sync.kind == "unreachable":
        good = f"last good at {sync.last_good}, settings still in force"
        good = good if sync.last_good else "nothing of this policy is in force yet"
        message = f"the hub cannot be reached since {sync.down_since} ({sync.sentence}); {good}"
        return Verdict("False", "HubUnreachable", message)
    if sync.kind == "refused" and sync.code == CODE_SCOPE_MISSING:
        return Verdict("False", "Unauthorized", sync.sentence)
    said = sync.sentence
    return {
        "synced": Verdict("True", "Synced", "the hub has this generation"),
        "tried": Verdict("True", "DryRun", said or "tried at the hub without an effect"),
        "left": Verdict("Unknown", "Suspended", "mode: Suspend sends nothing"),
        "refused": Verdict("False", "HubRejected", said),
        "unauthorized": Verdict("False", "Unauthorized", said),
        "overridden": Verdict("False", "OverriddenOnHub", said),
        "waiting": Verdict("Unknown", "Pending", said or "the hub has not been asked yet"),
    }[sync.kind]


def tried_sentence(would_have_sent: Mapping[str, int]) -> str:
    """Return what a dry run says of the alerts, by rule; without rules it says nothing."""
    if not would_have_sent:
        return ""
    rules = ", ".join(f"{name} {count}" for name, count in sorted(would_have_sent.items()))
    total = sum(would_have_sent.values())
    return f"in the last 7 days its alerts would have sent {total} to each destination ({rules})"


def retention_verdict(state: RetentionState) -> Verdict:
    """Return RetentionEffective: whether the age in force is the one asked for."""
    effective = in_days(state.effective_hours)
    if state.state == "conflict":
        message = f"{_named(state.holder)} holds {state.key}; its age ({effective}) is in force"
        return Verdict("False", "Conflicted", f"{message}, this policy's alerts work")
    if state.state == "owned_elsewhere":
        message = f"{_named(state.holder)} holds {state.key}; its age ({effective}) is in force"
        if state.takeover == "holder_differs":
            message += "; takeOverFrom names another holder"
        return Verdict("False", "OwnedElsewhere", message)
    if state.pending is not None:
        shorter = in_days(state.pending.effective_hours)
        message = f"{shorter} comes into force at {state.pending.at} and then deletes "
        message += f"{state.pending.would_delete} events; until then it is {effective}"
        return Verdict("False", "ShrinkPending", message)
    if state.is_clamped and state.requested_hours is not None:
        asked, most = in_days(state.requested_hours), in_days(state.ceiling_hours)
        message = f"{asked} is asked for, the plan keeps {most} at most"
        return Verdict("False", "ClampedToPlan", message)
    if state.has_holds:
        return Verdict("True", "Held", f"events are kept for {effective}, what is held longer")
    return Verdict("True", "AsRequested", f"events are kept for {effective}")


def destination_verdict(problem: Verdict | None, state: DestinationState | None) -> Verdict:
    """Return Ready of one destination: its Secret first, then what the hub saw of it."""
    if problem is not None:
        return problem
    if state is None:
        return Verdict("Unknown", "Pending", "the hub has not said how it stands")
    error = f" (last error: {state.last_error})" if state.last_error else ""
    return {
        "never_used": Verdict("True", "NeverUsed", "no alert was sent yet"),
        "delivering": Verdict("True", "Delivering", f"last delivery at {state.last_delivery_at}"),
        "failing": Verdict("False", "DeliveryFailing", f"the last try failed{error}"),
        "disabled": Verdict(
            "False",
            "DisabledByReceiver",
            f"nothing is sent there any more{error}; enable it at the hub, or change its Secret",
        ),
        "no_secret": Verdict("False", "SecretMissing", "the hub was never sent its secret"),
        "invalid": Verdict("False", "SecretInvalid", f"the hub refused it{error}"),
    }[state.state]


def destinations_verdict(each: Mapping[str, Verdict]) -> Verdict:
    """Return DestinationsReady of all destinations by name: the first that fails speaks."""
    bad = {name: verdict for name, verdict in each.items() if verdict.status == "False"}
    if bad:
        name, first = next(iter(bad.items()))
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        return Verdict("False", first.reason, f"{name}: {first.message}{more}")
    if any(verdict.status == "Unknown" for verdict in each.values()):
        return Verdict("Unknown", "Pending", "the hub has not said how they stand")
    if any(verdict.reason == "Delivering" for verdict in each.values()):
        return Verdict("True", "Delivering", "alerts arrive")
    return Verdict("True", "NeverUsed", "no alert was sent yet")


def ready_verdict(
    named: Sequence[tuple[str, Verdict]], sync: SyncResult | None, before: Verdict | None
) -> Verdict:
    """Return Ready from the other conditions in their order; `before` is what it was."""
    if sync is not None and sync.kind == "left":
        status: Status = "Unknown" if before is None else before.status
        return Verdict(status, "Suspended", "mode: Suspend; the hub keeps what it had")
    for name, verdict in named:
        if verdict.status == "True" or verdict.reason in _READY_ANYWAY:
            continue
        is_away = name == "Synced" and sync is not None and sync.kind == "unreachable"
        if is_away and sync is not None and not sync.is_grace_over:
            kept: Status = "Unknown" if before is None else before.status
            return Verdict(kept, "HubUnreachable", verdict.message)
        return Verdict(verdict.status, verdict.reason, verdict.message)
    if sync is not None and sync.kind == "tried":
        said = sync.sentence or "the status says what would be"
        return Verdict("True", "DryRun", f"mode: DryRun; {said}")
    notes = [verdict.message for _, verdict in named if verdict.reason in _READY_ANYWAY]
    return Verdict("True", "Synced", "; ".join(notes) or "in force")


def _named(holder: Holder | None) -> str:
    if holder is None:
        return "another owner"
    where = f" of cluster {holder.cluster_name}" if holder.cluster_name else ""
    stale = ", silent for seven days," if holder.is_stale else ""
    return f"{holder.owner_id}{where} (since {holder.since}){stale}"
