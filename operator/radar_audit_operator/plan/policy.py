"""What to do with a policy: send it, try it, leave it, or say why not.

Owns the decision from the policy, its AuditHub and the grants. Called by the reconciler before
anything is sent. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from radar_audit_events.errors import IdError

from radar_audit_operator.specs import Hub, Policy

from .document import policy_owner
from .grants import authority
from .verdicts import Verdict

Action = Literal["enforce", "try", "leave", "refuse"]


@dataclass(frozen=True, slots=True)
class Decision:
    """The action, the condition Accepted, and the namespace that alerts are bound to (or null)."""

    action: Action
    accepted: Verdict
    only_namespace: str | None = None

    @property
    def is_live(self) -> bool:
        """Whether the hub keeps this policy's document: a refused one is released in time."""
        return self.action != "refuse"


def decide(
    policy: Policy,
    hub: Hub | None,
    own_namespace: str,
    labels: Mapping[str, str] | None,
) -> Decision:
    """Decide; `hub` is null when there is no such AuditHub, `labels` are the namespace's."""
    name = policy.spec.hub_ref.name
    if hub is None:
        return _refuse("HubNotFound", f"there is no AuditHub {name}")
    granted = authority(policy, hub, own_namespace, labels)
    if granted.refusal is not None:
        return _refuse("NotGranted", granted.refusal)
    try:
        policy_owner(policy, hub)
    except IdError as error:
        return _refuse("InvalidName", str(error))
    action: Action = {"Enforce": "enforce", "DryRun": "try", "Suspend": "leave"}[policy.spec.mode]  # type: ignore[assignment] # the values are the three words
    valid = Verdict("True", "Valid", "the policy may ask for what it asks for")
    return Decision(action, valid, granted.only_namespace)


def rival(hub: Hub, hubs: Iterable[Hub]) -> Hub | None:
    """Return the older AuditHub that reports for the same cluster, or null.

    Two would release each other's policies with every heartbeat.
    """
    others = [
        each
        for each in hubs
        if each.spec.cluster_id == hub.spec.cluster_id and each.meta.uid != hub.meta.uid
    ]
    first = min((hub, *others), key=lambda each: (each.meta.created_at, each.meta.key.name))
    return None if first is hub else first


def _refuse(reason: str, message: str) -> Decision:
    return Decision("refuse", Verdict("False", reason, message))
