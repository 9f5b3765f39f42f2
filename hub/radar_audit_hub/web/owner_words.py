"""What the holder of a setting is called: an AuditPolicy of a cluster, or the org's own people.

Owns these words. Called by the settings' pages and by the rows of the log. Pure.
"""

from __future__ import annotations

from radar_audit_events.policy_wire import parse_owner_id

from radar_audit_hub.policy.settling import ORG_OWNER


def owner_words(owner_id: str) -> str:
    """Return what a holder is called: an AuditPolicy by namespace and name, or the org itself.

    Raises IdError for what is no owner id.
    """
    if owner_id == ORG_OWNER:
        return "the organization's owners"
    name = parse_owner_id(owner_id)
    return f"AuditPolicy {name.namespace}/{name.name}" if name.namespace else name.name
