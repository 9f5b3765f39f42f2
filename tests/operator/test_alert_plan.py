"""Guards what of a policy's alerts reaches the hub: every field, and keys of the right form."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from radar_audit_events.policy_wire import (
    AlertRule,
    Destination,
    Grouping,
    NotificationSettings,
    PagerDutyTarget,
    TeamsTarget,
    Threshold,
    WebhookTarget,
)
from radar_audit_hub.policy.documents import mistakes_in
from radar_audit_operator.plan.document import policy_document
from radar_audit_operator.plan.secrets import Found, Role, Use, judge, uses
from radar_audit_operator.specs import SecretRef, read_policy

from tests.support import crd_alert_cases, crd_cases
from tests.support.crd_cases import Case
from tests.support.operator_objects import a_policy

VALUES: dict[Role, str] = {
    "token": "rhc_" + "A" * 43,
    "url": "https://hooks.example.com/one",
    "routing_key": "0123456789abcdef0123456789abcdef",
    "signing_secret": "whsec_" + "c2VjcmV0" * 4,
    "previous_signing_secret": "whsec_" + "YmVmb3Jl" * 4,
    "signing_key": "whsk_" + "A" * 43 + "=",
    "previous_signing_key": "whsk_" + "B" * 42 + "A=",
}
KEYS = {
    "signingSecretRef": "a",
    "previousSigningSecretRef": "b",
    "signingKeySecretRef": "c",
    "previousSigningKeySecretRef": "d",
}
ALERTS: dict[str, Any] = {
    "destinations": [
        {"name": "chat", "teams": {"urlSecretRef": {"name": "s", "key": "url"}}},
        {
            "name": "pager",
            "pagerduty": {"routingKeySecretRef": {"name": "s", "key": "key"}},
            "minSeverity": "Critical",
            "mutedUntil": "2026-12-01T00:00:00Z",
        },
        {
            "name": "siem",
            "webhook": {
                "url": "https://siem.example.com/hook",
                "envelope": "CloudEvents",
                **{name: {"name": "s", "key": key} for name, key in KEYS.items()},
            },
        },
    ],
    "rules": [
        {
            "name": "many",
            "destinations": ["chat", "pager"],
            "actions": ["pod.*"],
            "kinds": ["cluster.disconnected"],
            "threshold": {"count": 5, "within": "2h", "by": "Actor"},
            "grouping": {"by": "Cluster", "wait": "90s"},
            "mutedUntil": "2026-12-02T00:00:00Z",
        }
    ],
}


def values_of(policy: Any, version: str = "s:1") -> dict[Use, Found]:
    return {use: Found(version, VALUES[use.role]) for use in uses(policy.spec)}


def test_every_field_of_a_policys_alerts_travels() -> None:
    policy = a_policy(("notifications", ALERTS))
    sent = policy_document(policy, values_of(policy), None)
    assert sent.notifications == NotificationSettings(
        destinations=[
            Destination(name="chat", teams=TeamsTarget(url=VALUES["url"])),
            Destination(
                name="pager",
                pagerduty=PagerDutyTarget(routing_key=VALUES["routing_key"]),
                min_severity="critical",
                muted_until="2026-12-01T00:00:00Z",
            ),
            Destination(
                name="siem",
                webhook=WebhookTarget(
                    url="https://siem.example.com/hook",
                    signing_secret=VALUES["signing_secret"],
                    previous_signing_secret=VALUES["previous_signing_secret"],
                    signing_key=VALUES["signing_key"],
                    previous_signing_key=VALUES["previous_signing_key"],
                    envelope="cloudevents",
                ),
            ),
        ],
        rules=[
            AlertRule(
                name="many",
                destinations=["chat", "pager"],
                actions=["pod.*"],
                kinds=["cluster.disconnected"],
                threshold=Threshold(count=5, within_seconds=7200, by="actor"),
                grouping=Grouping(by="cluster", wait_seconds=90),
                muted_until="2026-12-02T00:00:00Z",
            )
        ],
    )


def test_hash_is_of_what_is_asked_and_of_versions_but_of_no_secret() -> None:
    policy = a_policy(("notifications", ALERTS))
    first = policy_document(policy, values_of(policy), None).spec_hash
    other_values = {use: Found("s:1", "another") for use in uses(policy.spec)}
    assert policy_document(policy, other_values, None).spec_hash == first
    assert policy_document(policy, values_of(policy, "s:2"), None).spec_hash != first
    louder = a_policy(
        ("notifications", ALERTS), ("notifications.destinations.1.minSeverity", "Info")
    )
    assert policy_document(louder, values_of(louder), None).spec_hash != first


@pytest.mark.parametrize(
    "case",
    [
        case
        for case in (*crd_cases.ACCEPTED, *crd_alert_cases.ACCEPTED)
        if case.object["kind"] == "AuditPolicy"
    ],
    ids=lambda case: case.name,
)
def test_hub_takes_what_the_api_server_takes(case: Case) -> None:
    meta = {"uid": "u", "generation": 1, "creationTimestamp": "2026-11-25T00:00:00Z"}
    raw = {**case.object, "metadata": {**case.object["metadata"], **meta}}
    policy = read_policy(raw)
    document = policy_document(policy, values_of(policy), None)
    sent = msgspec.json.decode(msgspec.json.encode(document), type=type(document))
    found = mistakes_in(sent, is_hub=False, knows_zone=lambda _: True)
    assert (found.invalid, found.queries, found.actions) == ([], [], [])


@pytest.mark.parametrize("role", sorted(VALUES))
def test_secret_of_another_form_is_named_by_its_key_and_not_repeated(role: Role) -> None:
    def found(text: str) -> Found:
        data = {"key": base64.b64encode(text.encode()).decode()}
        secret = {"metadata": {"uid": "u", "resourceVersion": "1"}, "data": data}
        return judge(Use("d", role, SecretRef("alerts", "key")), secret)

    assert found(VALUES[role] + "\n").value == VALUES[role]
    wrong = found("canary")
    assert (wrong.problem, wrong.value) == ("SecretInvalid", None)
    assert wrong.message.startswith("key key of Secret alerts must be ")
    assert "canary" not in wrong.message
