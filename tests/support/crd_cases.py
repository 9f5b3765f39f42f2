"""Custom resources that the API server must refuse, with what it must say, and right ones.

Owns the table. Called by the schema tests, which ask the API server's packages, and by the e2e
tests, which apply each case to a real one. A case changes a good object at one place.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

API_VERSION = "audit.radarhq.io/v1alpha1"
SECRET = {"name": "alerts", "key": "url"}
POLICY: dict[str, Any] = {
    "apiVersion": API_VERSION,
    "kind": "AuditPolicy",
    "metadata": {"name": "team", "namespace": "demo"},
    "spec": {
        "hubRef": {"name": "main"},
        "retention": {"maxAge": "30d"},
        "notifications": {
            "destinations": [
                {"name": "sec", "slack": {"urlSecretRef": SECRET}},
                {
                    "name": "siem",
                    "webhook": {
                        "url": "https://siem.example.com/hook",
                        "signingSecretRef": {"name": "alerts", "key": "signing"},
                    },
                },
            ],
            "rules": [{"name": "shells", "actions": ["pod.exec_started"], "destinations": ["sec"]}],
        },
    },
}
HUB: dict[str, Any] = {
    "apiVersion": API_VERSION,
    "kind": "AuditHub",
    "metadata": {"name": "main"},
    "spec": {
        "url": "https://audit.example.com",
        "organization": "org_01H8XGJWBWBAQ4",
        "clusterId": "cl_01H8XGJWBWBAQ4",
        "tokenSecretRef": {"name": "radar-audit-token", "key": "token"},
    },
}
_GONE = object()


def changed(whole: dict[str, Any], *changes: tuple[str, Any]) -> dict[str, Any]:
    """Return a copy in which each dotted path of `spec` (or of `/` the root) has a new value."""
    made = copy.deepcopy(whole)
    for path, value in changes:
        *way, last = path.removeprefix("/").split(".")
        place: Any = made if path.startswith("/") else made["spec"]
        for step in way:
            place = place[int(step)] if step.isdigit() else place.setdefault(step, {})
        if value is _GONE:
            del place[last]
        elif isinstance(place, list):
            place[int(last)] = copy.deepcopy(value)
        else:
            place[last] = copy.deepcopy(value)
    return made


@dataclass(frozen=True)
class Case:
    """An object, what a refusal must contain (empty: it is right), and what it replaces."""

    name: str
    object: dict[str, Any]
    says: str = ""
    old: dict[str, Any] | None = None


def _policy(name: str, says: str, *changes: tuple[str, Any]) -> Case:
    return Case(name, changed(POLICY, *changes), says)


def _hub(name: str, says: str, *changes: tuple[str, Any]) -> Case:
    return Case(name, changed(HUB, *changes), says)


def _edit(
    name: str,
    says: str,
    whole: dict[str, Any],
    before: tuple[str, Any],
    after: tuple[str, Any],
) -> Case:
    return Case(name, changed(whole, after), says, changed(whole, before))


_RULE = "notifications.rules.0"
_AGE = "retention.maxAge"
_SLACK, _HOOK = "notifications.destinations.0", "notifications.destinations.1"
_URL = f"{_HOOK}.webhook.url"
_DAYS = "use whole days or hours, for example 30d or 720h"
_NAME = "use lower-case letters, digits and dashes"
_ACTION = "an action looks like pod.exec_started, pod.* or *"
_PER = "use whole minutes or hours up to 24h, for example 5m"
_HTTPS = "webhook url must be https, such as https://siem.example.com/hook"
_HOLD = {"name": "case-7", "reason": "litigation"}
_KEPT = "a hold is ended by released: true, not by removing it"
_HOLDS = "retention.holds"
_HUB_URL = "hub url must be https (http only for a host that ends in .svc or .svc.cluster.local)"
_NIGHT = {"from": "22:00", "to": "06:00"}
_GRANT = {"namespaceSelector": {"matchLabels": {"team": "a"}}, "allow": ["Notifications"]}
_ORG = ("scope", "Organization")
# Fields that hold one word of a few.
_POLICY_WORDS = {
    "mode": "mode must be Enforce, DryRun or Suspend",
    "deletionPolicy": "deletionPolicy must be Revert or Retain",
    "scope": "scope must be Cluster or Organization",
    "retention.clusterOverrides": "clusterOverrides must be None, Longer or Any",
    f"{_RULE}.severity": "severity must be Info, Warning or Critical",
    f"{_RULE}.digest.every": "digest.every must be 15m, 1h or 24h",
}
_HUB_WORDS = {
    "speaksFor": "speaksFor must be Cluster or Organization",
    "capture.serviceActors": "serviceActors must be Ignore or Record",
    "capture.identity": "identity must be Cloud, Impersonated or Any",
    "capture.failurePolicy": "failurePolicy must be BestEffort or Required",
    "grants.0.queryScope": "queryScope must be OwnNamespace or Any",
    "grants.0.allow.0": "allow must hold Notifications, Retention or Holds",
}
_NO_NAME = {"maxAge": "365d", "actions": ["pod.*"]}

REFUSED: tuple[Case, ...] = (
    *(_policy(f"unknown {p}", says, _ORG, (p, "Other")) for p, says in _POLICY_WORDS.items()),
    *(
        _hub(f"unknown {p}", says, ("grants", [_GRANT]), (p, "Other"))
        for p, says in _HUB_WORDS.items()
    ),
    _policy("no hub", "spec.hubRef: Required value", ("hubRef", _GONE)),
    _policy(
        "nothing asked for",
        "set spec.retention, spec.notifications or both: an empty policy would do nothing",
        ("retention", _GONE),
        ("notifications", _GONE),
    ),
    _policy("empty retention", "retention needs maxAge, overrides or holds", (_AGE, _GONE)),
    _policy("age in minutes", _DAYS, (_AGE, "30m")),
    _policy("age without a unit", _DAYS, (_AGE, "30")),
    _policy("age in words", _DAYS, (_AGE, "a month")),
    _policy("age with a sign", _DAYS, (_AGE, "-30d")),
    _policy("age as a number", 'must be of type string: "integer"', (_AGE, 30)),
    _policy("age under a day", "must be at least 24h", (_AGE, "23h")),
    _policy("age of no days", "must be at least 24h", (_AGE, "0d")),
    _policy("age over ten years", "must be at most 3650d", (_AGE, "3651d")),
    _policy("delay in days", "use whole hours, 0h to 720h", ("retention.shrinkDelay", "1d")),
    _policy("delay over a month", "use whole hours, 0h to 720h", ("retention.shrinkDelay", "721h")),
    _policy(
        "take over for a cluster",
        "takeOverFrom needs scope: Organization",
        ("takeOverFrom", "k8s:cl_1:ns:a"),
    ),
    _policy(
        "take over from something",
        "takeOverFrom must be the present holder, such as k8s:cl_01H8XGJWBWBAQ4:security:audit",
        _ORG,
        ("takeOverFrom", "the other cluster"),
    ),
    _policy(
        "cluster overrides of a cluster",
        "retention.clusterOverrides needs scope: Organization",
        ("retention.clusterOverrides", "Longer"),
    ),
    _policy(
        "override without a name",
        "overrides[0].name: Required value",
        ("retention.overrides", [_NO_NAME]),
    ),
    _policy(
        "override of an action that cannot be",
        _ACTION,
        ("retention.overrides", [{**_NO_NAME, "name": "a", "actions": ["Exec"]}]),
    ),
    _policy(
        "two overrides of one name",
        "Duplicate value",
        ("retention.overrides", [{**_NO_NAME, "name": "a"}] * 2),
    ),
    _policy("hold without a reason", "reason: Required value", (_HOLDS, [{"name": "case-7"}])),
    _policy(
        "hold until some day", "must be of type date-time", (_HOLDS, [{**_HOLD, "until": "May"}])
    ),
    _policy("name in capitals", _NAME, (f"{_RULE}.name", "Shells")),
    _policy("name that begins with a dash", _NAME, (f"{_RULE}.name", "-shells")),
    _policy(
        "rule to nowhere",
        "every rule destination must name an entry of spec.notifications.destinations",
        (f"{_RULE}.destinations", ["nobody"]),
    ),
    _policy(
        "rules without destinations",
        "notifications needs at least one destination",
        ("notifications.destinations", []),
    ),
    _policy(
        "destination of two kinds",
        "set exactly one of slack, webhook, email, teams or pagerduty",
        (f"{_SLACK}.email", {"to": ["security@example.com"]}),
    ),
    _policy(
        "destination of no kind",
        "set exactly one of slack, webhook, email, teams or pagerduty",
        (f"{_SLACK}.slack", _GONE),
    ),
    _policy("webhook in clear", _HTTPS, (_URL, "http://siem.example.com/hook")),
    _policy("webhook that is no address", _HTTPS, (_URL, "siem.example.com")),
    _policy(
        "webhook with a password",
        "put no credentials in the url; sign with signingSecretRef",
        (_URL, "https://user:pass@siem.example.com/hook"),
    ),
    _policy(
        "webhook without a secret",
        "a webhook needs signingSecretRef, signingKeySecretRef or both",
        (f"{_HOOK}.webhook.signingSecretRef", _GONE),
    ),
    _policy(
        "secret without a key",
        "urlSecretRef.key: Required value",
        (f"{_SLACK}.slack.urlSecretRef", {"name": "alerts"}),
    ),
    _policy(
        "secret of another namespace",
        'unknown field "spec.notifications.destinations[0].slack.urlSecretRef.namespace"',
        (f"{_SLACK}.slack.urlSecretRef.namespace", "kube-system"),
    ),
    _policy(
        "mail to no address",
        "an address looks like security@example.com",
        (_SLACK, {"name": "sec", "email": {"to": ["security"]}}),
    ),
    _policy(
        "rule that matches nothing in particular",
        "a rule needs actions, query, kinds or several of them",
        (f"{_RULE}.actions", _GONE),
    ),
    _policy("rule of a bad action", _ACTION, (f"{_RULE}.actions", ["pod"])),
    _policy(
        "digest and throttle",
        "digest and throttle exclude each other",
        (f"{_RULE}.digest", {"every": "1h"}),
        (f"{_RULE}.throttle", {"max": 1, "per": "1h"}),
    ),
    _policy("throttle per second", _PER, (f"{_RULE}.throttle", {"max": 1, "per": "1s"})),
    _policy("throttle per two days", _PER, (f"{_RULE}.throttle", {"max": 1, "per": "48h"})),
    _policy(
        "throttle of nothing",
        "should be greater than or equal to 1",
        (f"{_RULE}.throttle", {"max": 0, "per": "5m"}),
    ),
    _policy(
        "quiet hours past midnight",
        "use hours and minutes from 00:00 to 23:59, for example 22:00",
        (f"{_RULE}.quietHours", {"from": "22:00", "to": "24:00"}),
    ),
    _policy(
        "quiet hours of no length",
        "quietHours.from and to must differ",
        (f"{_RULE}.quietHours", {"from": "22:00", "to": "22:00"}),
    ),
    _policy(
        "quiet hours nowhere",
        "timeZone must be a name such as UTC or Europe/Berlin",
        (f"{_RULE}.quietHours", {**_NIGHT, "timeZone": "+02:00"}),
    ),
    _policy("mistyped field", 'unknown field "spec.retention.maxage"', ("retention.maxage", "30d")),
    _policy(
        "long name",
        "metadata.name must be at most 63 characters",
        ("/metadata.name", "a" * 64),
    ),
    _edit("another hub", "hubRef is immutable", POLICY, ("mode", "Enforce"), ("hubRef.name", "b")),
    _edit(
        "another scope",
        "scope is immutable: create a new AuditPolicy",
        POLICY,
        ("scope", "Cluster"),
        _ORG,
    ),
    _edit("hold taken away", _KEPT, POLICY, (_HOLDS, [_HOLD]), (_HOLDS, [])),
    _edit("holds taken away", _KEPT, POLICY, (_HOLDS, [_HOLD]), ("mode", "Enforce")),
    _edit("retention taken away", _KEPT, POLICY, (_HOLDS, [_HOLD]), ("retention", _GONE)),
    _hub("hub in clear", _HUB_URL, ("url", "http://audit.example.com")),
    _hub("hub that only looks inside", _HUB_URL, ("url", "http://evil.svc.example.com")),
    _hub("hub without a host", _HUB_URL, ("url", "https://")),
    _hub(
        "hub with a password",
        "hub url must hold no user, query or fragment",
        ("url", "https://u:p@audit.example.com"),
    ),
    _hub(
        "no organization",
        "an organization looks like org_01H8XGJWBWBAQ4",
        ("organization", "acme"),
    ),
    _hub("no cluster id", "a cluster id looks like cl_01H8XGJWBWBAQ4", ("clusterId", "prod")),
    _hub("half a token", "spec.tokenSecretRef.key: Required value", ("tokenSecretRef.key", _GONE)),
    _hub("token in the open", 'unknown field "spec.token"', ("token", "rhc_not_a_token")),
    _hub("resync in seconds", "use whole minutes, 1m to 59m", ("resyncInterval", "30s")),
    _hub("resync in hours", "use whole minutes, 1m to 59m", ("resyncInterval", "60m")),
    _hub(
        "grant to nobody",
        "should have at least 1 properties",
        ("grants", [{"namespaceSelector": {"matchLabels": {}}, "allow": ["Holds"]}]),
    ),
    _hub(
        "required and off",
        "failurePolicy Required needs enabled: true",
        ("capture", {"enabled": False, "failurePolicy": "Required"}),
    ),
    _hub(
        "namespace in and out",
        "a namespace cannot be both included and excluded",
        ("capture", {"namespaces": {"include": ["a"], "exclude": ["a"]}}),
    ),
    _hub(
        "namespaces in the middle",
        "use names of namespaces, or prefixes such as team-*",
        ("capture", {"namespaces": {"include": ["*-prod"]}}),
    ),
    _hub(
        "port forwards",
        'unknown field "spec.capture.portForward"',
        ("capture", {"portForward": True}),
    ),
    _edit(
        "another organization",
        "organization is immutable: create another AuditHub",
        HUB,
        ("speaksFor", "Cluster"),
        ("organization", "org_2"),
    ),
    _edit(
        "another cluster",
        "clusterId is immutable: create another AuditHub",
        HUB,
        ("speaksFor", "Cluster"),
        ("clusterId", "cl_2"),
    ),
)

ACCEPTED: tuple[Case, ...] = (
    _hub("the operator's own account for a token", "", ("tokenSecretRef", _GONE)),
    Case("a policy", POLICY),
    Case("a hub", HUB),
    Case("retention alone", changed(POLICY, ("notifications", _GONE))),
    Case("alerts alone", changed(POLICY, ("retention", _GONE))),
    _policy("a year in hours", "", (_AGE, "8760h")),
    _policy(
        "overrides and holds",
        "",
        ("retention.overrides", [{"name": "exec", "actions": ["pod.*", "*"], "maxAge": "365d"}]),
        (_HOLDS, [{**_HOLD, "query": "actor:bob", "until": "2027-01-31T00:00:00Z"}]),
    ),
    _policy(
        "all of a rule",
        "",
        (f"{_RULE}.query", "namespace:prod"),
        (f"{_RULE}.severity", "Critical"),
        (f"{_RULE}.throttle", {"max": 10, "per": "5m"}),
        (f"{_RULE}.quietHours", {**_NIGHT, "timeZone": "America/Argentina/Buenos_Aires"}),
        (f"{_HOOK}.webhook.previousSigningSecretRef", {"name": "alerts", "key": "before"}),
    ),
    _policy(
        "take over",
        "",
        _ORG,
        ("takeOverFrom", "k8s:cl_1:security:audit"),
        ("retention.clusterOverrides", "Any"),
    ),
    _edit("hold released", "", POLICY, (_HOLDS, [_HOLD]), (_HOLDS, [{**_HOLD, "released": True}])),
    _edit("released hold gone", "", POLICY, (_HOLDS, [{**_HOLD, "released": True}]), (_HOLDS, [])),
    _hub("hub inside the cluster", "", ("url", "http://hub.radar-audit.svc:8080")),
    _hub("hub by its full name", "", ("url", "http://hub.radar-audit.svc.cluster.local")),
    _hub(
        "all of a hub",
        "",
        ("speaksFor", "Organization"),
        ("resyncInterval", "1m"),
        (
            "grants",
            [_GRANT],
        ),
        (
            "capture",
            {
                "namespaces": {"include": ["prod", "team-*"], "exclude": ["team-a"]},
                "identity": "Impersonated",
                "failurePolicy": "Required",
            },
        ),
    ),
)
