"""Alerts of an AuditPolicy that the API server must refuse, with what it must say, and right ones.

Owns the cases of destinations and rules beyond the first three channels. Called, beside
`crd_cases.py`, by the schema tests and by the e2e tests.
"""

from __future__ import annotations

from typing import Any

from tests.support.crd_cases import POLICY, SECRET, Case, changed

_RULE, _FIRST = "notifications.rules.0", "notifications.destinations.0"
_HOOK = "notifications.destinations.1.webhook"
_ORG = ("scope", "Organization")
_WITHIN = "threshold.within must be whole minutes or hours up to 24h, for example 5m"
_WAIT = "use whole seconds or minutes up to 1h, for example 30s"
_ORG_KINDS = (
    "kinds other than cluster.disconnected and cluster.reconnected need scope: Organization"
)
_KIND = "a kind is cluster.disconnected, cluster.reconnected, org.member.invited"
_GROUPS = "must be Rule, Actor, Target, Cluster or Namespace"


def _case(name: str, says: str, *changes: tuple[str, Any]) -> Case:
    return Case(name, changed(POLICY, *changes), says)


def _channel(kind: str, **spec: Any) -> tuple[str, Any]:
    return (_FIRST, {"name": "sec", kind: spec})


def _threshold(**other: Any) -> tuple[str, Any]:
    return (f"{_RULE}.threshold", {"count": 5, "within": "5m", **other})


def _grouping(**other: Any) -> tuple[str, Any]:
    return (f"{_RULE}.grouping", {"by": "Actor", "wait": "30s", **other})


REFUSED: tuple[Case, ...] = (
    _case(
        "slack and teams",
        "set exactly one of slack, webhook, email, teams or pagerduty",
        (f"{_FIRST}.teams", {"urlSecretRef": SECRET}),
    ),
    _case("teams without a secret", "teams.urlSecretRef: Required value", _channel("teams")),
    _case(
        "pagerduty with its key in the open",
        'unknown field "spec.notifications.destinations[0].pagerduty.routingKey"',
        _channel("pagerduty", routingKey="x", routingKeySecretRef=SECRET),
    ),
    _case(
        "unknown envelope",
        "envelope must be Radar or CloudEvents",
        (f"{_HOOK}.envelope", "cloudevents"),
    ),
    _case(
        "unknown least severity",
        "minSeverity must be Info, Warning or Critical",
        (f"{_FIRST}.minSeverity", "warning"),
    ),
    _case("muted for a day", "must be of type date-time", (f"{_FIRST}.mutedUntil", "1d")),
    _case("rule muted for a day", "must be of type date-time", (f"{_RULE}.mutedUntil", "1d")),
    _case("unknown kind", _KIND, _ORG, (f"{_RULE}.kinds", ["cluster.gone"])),
    _case("action among the kinds", _KIND, _ORG, (f"{_RULE}.kinds", ["pod.exec_started"])),
    _case("kind of the org for a cluster", _ORG_KINDS, (f"{_RULE}.kinds", ["org.member.joined"])),
    _case("threshold of one", "should be greater than or equal to 2", _threshold(count=1)),
    _case("threshold of a million", "less than or equal to 10000", _threshold(count=1_000_000)),
    _case("threshold within seconds", _WITHIN, _threshold(within="30s")),
    _case("threshold within two days", _WITHIN, _threshold(within="48h")),
    _case("threshold by colour", f"threshold.by {_GROUPS}", _threshold(by="Colour")),
    _case("grouping by colour", f"grouping.by {_GROUPS}", _grouping(by="Colour")),
    _case("grouping without a wait", "wait: Required value", (f"{_RULE}.grouping", {"by": "Rule"})),
    _case("grouping for two hours", _WAIT, _grouping(wait="7200s")),
    _case("grouping for 61 minutes", _WAIT, _grouping(wait="61m")),
    _case("grouping for no time", _WAIT, _grouping(wait="0s")),
    _case(
        "digest and grouping",
        "digest and grouping exclude each other",
        (f"{_RULE}.digest", {"every": "1h"}),
        _grouping(),
    ),
)

ACCEPTED: tuple[Case, ...] = (
    _case("teams", "", _channel("teams", urlSecretRef=SECRET)),
    _case("pagerduty", "", _channel("pagerduty", routingKeySecretRef=SECRET)),
    _case(
        "webhook with an Ed25519 key alone",
        "",
        (
            _HOOK,
            {
                "url": "https://siem.example.com/hook",
                "signingKeySecretRef": SECRET,
                "previousSigningKeySecretRef": {"name": "alerts", "key": "before"},
                "envelope": "CloudEvents",
            },
        ),
    ),
    _case(
        "all that is newer of a rule",
        "",
        _threshold(by="Namespace", within="24h"),
        _grouping(by="Cluster", wait="1h"),
        (f"{_RULE}.mutedUntil", "2026-12-01T08:00:00Z"),
        (f"{_FIRST}.mutedUntil", "2026-12-01T08:00:00+01:00"),
        (f"{_FIRST}.minSeverity", "Critical"),
    ),
    _case(
        "rule of kinds alone",
        "",
        _ORG,
        (
            _RULE,
            {
                "name": "money",
                "kinds": ["billing.payment_failed", "billing.free_tier_cap_hit"],
                "destinations": ["sec"],
            },
        ),
    ),
    _case("kinds of the cluster", "", (f"{_RULE}.kinds", ["cluster.disconnected"])),
)
