"""The form of an alert rule: what it shows of one, and the rule that it says: pure.

Owns the names of its fields; each part of a rule has one. Called by `rules.py`. What a rule may be
is decided by `policy/`; how the form says what is wrong is `rule_mistakes.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args
from zoneinfo import ZoneInfo

import msgspec
from radar_audit_events.policy_wire import AlertRule, GroupBy

from radar_audit_hub.web.forms import Form, as_document

from .destination_form import SEVERITIES
from .entries import lines, minutes_text, seconds_of, time_of, time_text, whole

_BY: tuple[GroupBy, ...] = get_args(GroupBy)
# What a threshold and a grouping keep apart, with the page's words.
GROUPS = tuple((name, "all together" if name == "rule" else name) for name in _BY)
_TEXTS = (
    "name", "query", "severity", "throttle_max", "throttle_minutes", "threshold_count",
    "threshold_minutes", "threshold_by", "grouping_seconds", "grouping_by", "digest_minutes",
    "quiet_from", "quiet_to", "quiet_zone", "muted_until",
)  # fmt: skip
_rule = msgspec.json.Decoder(AlertRule)


@dataclass(frozen=True, slots=True)
class Filled:
    """What the form's fields hold: one text each, and what is chosen."""

    texts: dict[str, str]
    actions: str
    kinds: list[str]
    destinations: list[str]
    suspended: bool


def filled(form: Form | None, rule: AlertRule | None, zone: ZoneInfo) -> Filled:
    """Return what the form holds: what was typed, else the rule, else a new one's beginning."""
    if form is not None:
        return Filled(
            texts={name: form.text(name) for name in _TEXTS},
            actions="\n".join(lines(form, "actions")),
            kinds=form.many("kinds"),
            destinations=form.many("destinations"),
            suspended=form.has("suspended"),
        )
    texts = dict.fromkeys(_TEXTS, "")
    texts |= {"severity": SEVERITIES[0], "quiet_zone": "UTC"}
    texts |= {"threshold_by": _BY[0], "grouping_by": _BY[0]}
    if rule is None:
        return Filled(texts, "", [], [], suspended=False)
    texts |= {"name": rule.name, "query": rule.query or "", "severity": rule.severity}
    return Filled(
        texts=texts | _pace(rule) | {"muted_until": time_text(rule.muted_until, zone)},
        actions="\n".join(rule.actions),
        kinds=rule.kinds,
        destinations=rule.destinations,
        suspended=rule.suspended,
    )


def _pace(rule: AlertRule) -> dict[str, str]:
    """Return the fields of how often and when a rule tells."""
    texts = {}
    if rule.throttle is not None:
        texts["throttle_max"] = str(rule.throttle.max)
        texts["throttle_minutes"] = minutes_text(rule.throttle.per_seconds)
    if rule.threshold is not None:
        texts["threshold_count"] = str(rule.threshold.count)
        texts["threshold_minutes"] = minutes_text(rule.threshold.within_seconds)
        texts["threshold_by"] = rule.threshold.by
    if rule.grouping is not None:
        texts["grouping_seconds"] = str(rule.grouping.wait_seconds)
        texts["grouping_by"] = rule.grouping.by
    if rule.digest_seconds is not None:
        texts["digest_minutes"] = minutes_text(rule.digest_seconds)
    if rule.quiet_hours is not None:
        quiet = rule.quiet_hours
        texts |= {"quiet_from": quiet.from_time, "quiet_to": quiet.to_time}
        texts["quiet_zone"] = quiet.time_zone
    return texts


def asked(form: Form, before: AlertRule | None, zone: ZoneInfo) -> AlertRule:
    """Return the rule that a form says; one that there is keeps its name.

    Raises InvalidBodyError.
    """
    muted = time_of(form, "muted_until", zone, None if before is None else before.muted_until)
    values: dict[str, Any] = {
        "name": form.text("name") if before is None else before.name,
        "destinations": form.many("destinations"),
        "actions": lines(form, "actions"),
        "kinds": form.many("kinds"),
        "query": form.text("query") or None,
        "severity": form.text("severity") or SEVERITIES[0],
        "throttle": _throttle(form),
        "threshold": _threshold(form),
        "grouping": _grouping(form),
        "digest_seconds": _optional_seconds(form, "digest_minutes"),
        "quiet_hours": _quiet_hours(form),
        "muted_until": muted,
        "suspended": form.has("suspended"),
    }
    return as_document(values, _rule)


def _throttle(form: Form) -> dict[str, int] | None:
    if not form.text("throttle_max") and not form.text("throttle_minutes"):
        return None
    return {
        "max": whole(form, "throttle_max"),
        "per_seconds": seconds_of(form, "throttle_minutes"),
    }


def _threshold(form: Form) -> dict[str, Any] | None:
    if not form.text("threshold_count") and not form.text("threshold_minutes"):
        return None
    return {
        "count": whole(form, "threshold_count"),
        "within_seconds": seconds_of(form, "threshold_minutes"),
        "by": form.text("threshold_by") or _BY[0],
    }


def _grouping(form: Form) -> dict[str, Any] | None:
    if not form.text("grouping_seconds"):
        return None
    return {
        "by": form.text("grouping_by") or _BY[0],
        "wait_seconds": whole(form, "grouping_seconds"),
    }


def _quiet_hours(form: Form) -> dict[str, str] | None:
    if not form.text("quiet_from") and not form.text("quiet_to"):
        return None
    return {
        "from_time": form.text("quiet_from"),
        "to_time": form.text("quiet_to"),
        "time_zone": form.text("quiet_zone") or "UTC",
    }


def _optional_seconds(form: Form, name: str) -> int | None:
    return seconds_of(form, name) if form.text(name) else None
