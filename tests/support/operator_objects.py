"""AuditPolicies and AuditHubs as the operator reads them, for tests of its pure rules.

Owns nothing but the builders: a good object, changed at one place.
"""

from __future__ import annotations

from typing import Any

from radar_audit_operator.specs import Hub, Policy, read_hub, read_policy

from tests.support.crd_cases import HUB, POLICY, changed

META = {
    "uid": "u1",
    "generation": 3,
    "creationTimestamp": "2026-11-25T10:00:00Z",
    "resourceVersion": "7",
}


def a_policy(*changes: tuple[str, Any]) -> Policy:
    raw = changed(POLICY, *changes)
    raw["metadata"] |= META
    return read_policy(raw)


def a_hub(*changes: tuple[str, Any], **meta: Any) -> Hub:
    raw = changed(HUB, *changes)
    raw["metadata"] |= META | meta
    return read_hub(raw)
