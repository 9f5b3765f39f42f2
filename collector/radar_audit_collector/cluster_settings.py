"""What the cluster's AuditHub asks of capture, laid over this collector's own settings: pure.

Owns the reading of the settings that the hub sends with each heartbeat's answer. Called by `app`
when an answer told something new. Never applies a part of them: settings that this version does
not understand leave what was in force, and the hub sees by the tag that is echoed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from radar_audit_events.policy_wire import CaptureSettings

from .classify import ClassifyRules

_EVERYTHING = ("*",)


@dataclass(frozen=True, slots=True)
class Applied:
    """What follows: the rules, whether the gateway looks at requests, and its failure policy.

    `required` is null where the collector's own setting counts.
    """

    rules: ClassifyRules
    is_on: bool = True
    required: bool | None = None


def apply(own: ClassifyRules, sent: Mapping[str, Any] | None) -> Applied:
    """Lay the cluster's settings over the collector's own; null: its own alone count.

    Raises msgspec.ValidationError for settings of another form.
    """
    if sent is None:
        return Applied(own)
    asked = msgspec.convert(sent, CaptureSettings)
    rules = replace(
        own,
        identity=asked.identity,
        attach=asked.attach,
        service_actors=asked.service_actors == "record",
        include_namespaces=tuple(asked.include_namespaces),
        exclude_namespaces=tuple(asked.exclude_namespaces) if asked.enabled else _EVERYTHING,
    )
    return Applied(rules, asked.enabled, asked.failure_policy == "required")
