"""Which Kubernetes events a change of status is worth.

Owns the events' names and when they are told. Called by the status writer. Pure; a notice is made
of a transition, so a status that stays the same tells nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Notice:
    """One event: Normal or Warning, a reason in CamelCase, a sentence."""

    kind: Literal["Normal", "Warning"]
    reason: str
    message: str


_NORMAL = frozenset({"Synced", "DryRun", "Connected"})
_WARNING = frozenset({
    "ClampedToPlan", "Conflicted", "DeliveryFailing", "DisabledByReceiver", "DuplicateCluster",
    "GatewayMissing", "HubNotFound", "HubRejected", "HubUnreachable", "InvalidName",
    "InvalidQuery", "NotGranted", "OverriddenOnHub", "OwnedElsewhere", "SecretForbidden",
    "SecretInvalid", "SecretKeyMissing", "SecretMissing", "ShrinkPending", "Unauthorized",
    "UnknownAction", "UnsafeRequired", "WrongCluster",
})  # fmt: skip


def transitions(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Notice]:
    """Return the notices of a change from one status to another, each reason once."""
    old, new = _conditions(before), _conditions(after)
    found: dict[str, Notice] = {}
    for name, condition in new.items():
        reason, was = condition["reason"], old.get(name, {})
        is_new = (was.get("reason"), was.get("status")) != (reason, condition["status"])
        # Ready repeats the reason of another condition, and says Synced when all is well.
        is_repeat = name == "Ready" and reason not in _NORMAL
        if is_new and not is_repeat and reason in _WARNING:
            found.setdefault(reason, Notice("Warning", reason, condition["message"]))
        if is_new and name in {"Ready", "Connected"} and reason in _NORMAL:
            found.setdefault(reason, Notice("Normal", reason, condition["message"]))
    return [*found.values(), *_of_retention(before, after, old, new)]


def _of_retention(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    old: Mapping[str, Any],
    new: Mapping[str, Any],
) -> list[Notice]:
    was = old.get("RetentionEffective", {}).get("reason")
    now = new.get("RetentionEffective", {}).get("reason")
    effective = (after.get("retention") or {}).get("effective")
    found = []
    has_moved = effective != (before.get("retention") or {}).get("effective")
    if has_moved and was == "ShrinkPending" and now in {"AsRequested", "Held", "ClampedToPlan"}:
        message = f"events are now kept for {effective}; older ones are deleted"
        found.append(Notice("Normal", "ShrinkApplied", message))
    if was == "Conflicted" and now not in {None, "Conflicted", "OwnedElsewhere"}:
        message = "the other owner is gone; this policy's age counts now"
        found.append(Notice("Normal", "Promoted", message))
    if was == "OwnedElsewhere" and now not in {None, "Conflicted", "OwnedElsewhere"}:
        message = "the organization's retention is this policy's now"
        found.append(Notice("Normal", "OwnershipTaken", message))
    return [*found, *_of_secrets(before, after)]


def _of_secrets(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Notice]:
    old = {each["name"]: each for each in before.get("destinations") or ()}
    rotated = [
        each["name"]
        for each in after.get("destinations") or ()
        if each.get("secretResourceVersion")
        and old.get(each["name"], {}).get("secretResourceVersion")
        not in {None, each["secretResourceVersion"]}
    ]
    if not rotated:
        return []
    return [Notice("Normal", "SecretRotated", f"the hub has the new secret of {rotated[0]}")]


def _conditions(status: Mapping[str, Any]) -> dict[str, Any]:
    listed: Sequence[dict[str, Any]] = status.get("conditions") or ()
    return {condition["type"]: condition for condition in listed}
