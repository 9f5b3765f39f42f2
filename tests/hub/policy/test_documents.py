"""What an owner's document may say, what of it is secret, and how a change of it is told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from radar_audit_events.policy_wire import OwnerDocument
from radar_audit_hub.policy.differences import MAX_CHANGES, changes
from radar_audit_hub.policy.documents import mistakes_in
from radar_audit_hub.policy.secret_parts import Secret, without_secrets

SLACK = "https://hooks.slack.com/services/T000/B000/canary-secret"
FULL: dict[str, Any] = {
    "uid": "0b1c",
    "generation": 3,
    "spec_hash": "abc",
    "created_at": "2026-11-25T10:00:00Z",
    "retention": {
        "max_age_hours": 720,
        "overrides": [{"name": "shells", "actions": ["pod.*"], "max_age_hours": 2160}],
        "holds": [{"name": "case", "reason": "Case 7", "query": "namespace:pay*"}],
    },
    "notifications": {
        "destinations": [
            {"name": "sec", "slack": {"url": SLACK}},
            {
                "name": "siem",
                "webhook": {"url": "https://siem.acme.com/in", "signing_secret": "canary-key"},
            },
            {"name": "ops", "email": {"to": ["ops@acme.com"]}},
        ],
        "rules": [
            {
                "name": "shells",
                "destinations": ["sec", "siem"],
                "actions": ["pod.exec_started"],
                "query": "namespace:prod",
                "quiet_hours": {
                    "from_time": "22:00",
                    "to_time": "06:00",
                    "time_zone": "Europe/Berlin",
                },
            }
        ],
    },
}


def document(**changed: Any) -> OwnerDocument:
    return msgspec.convert({**FULL, **changed}, OwnerDocument)


def at(path: str, value: Any) -> OwnerDocument:
    """The full document with one field changed."""
    whole = msgspec.json.decode(msgspec.json.encode(FULL))
    node = whole
    *way, last = path.split(".")
    for part in way:
        node = node[int(part)] if part.isdigit() else node.setdefault(part, {})
    node[last] = value
    return msgspec.convert(whole, OwnerDocument)


def found(doc: OwnerDocument, *, is_hub: bool = False) -> list[str]:
    wrong = mistakes_in(doc, is_hub=is_hub, knows_zone=lambda zone: zone == "Europe/Berlin")
    return [e.field for e in (*wrong.invalid, *wrong.queries, *wrong.actions)]


def test_full_document_has_no_mistake() -> None:
    assert found(document()) == []


RULE, HOLD = "notifications.rules.0", "retention.holds.0"
TARGET = "notifications.destinations"


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("uid", "", "uid"),
        ("spec_hash", "", "spec_hash"),
        ("generation", -1, "generation"),
        ("created_at", "yesterday", "created_at"),
        ("take_over_from", "k8s:cl_1:a:b", "take_over_from"),
        ("capture", {"enabled": True}, "capture"),
        ("retention.max_age_hours", 23, "retention.max_age_hours"),
        ("retention.max_age_hours", 87_601, "retention.max_age_hours"),
        ("retention.shrink_delay_hours", 721, "retention.shrink_delay_hours"),
        ("retention.cluster_overrides", "any", "retention.cluster_overrides"),
        ("retention.overrides.0.name", "Shells", "retention.overrides[0].name"),
        ("retention.overrides.0.actions", [], "retention.overrides[0].actions"),
        ("retention.overrides.0.actions", ["pod.exec"], "retention.overrides[0].actions"),
        ("retention.overrides.0.actions", ["POD"], "retention.overrides[0].actions"),
        ("retention.overrides.0.max_age_hours", 1, "retention.overrides[0].max_age_hours"),
        (f"{HOLD}.reason", "", "retention.holds[0].reason"),
        (f"{HOLD}.query", "nope:x", "retention.holds[0].query"),
        (f"{HOLD}.query", "x" * 513, "retention.holds[0].query"),
        (f"{HOLD}.until", "soon", "retention.holds[0].until"),
        (f"{TARGET}.0.email", {"to": ["a@b.c"]}, "notifications.destinations[0]"),
        (f"{TARGET}.0.slack.url", "http://x.test/y", "notifications.destinations[0].slack.url"),
        (
            f"{TARGET}.1.webhook.url",
            "https://user:pw@x.test/y",
            "notifications.destinations[1].webhook.url",
        ),
        (
            f"{TARGET}.1.webhook.signing_secret",
            "",
            "notifications.destinations[1].webhook.signing_secret",
        ),
        (f"{TARGET}.2.email.to", [], "notifications.destinations[2].email.to"),
        (f"{TARGET}.2.email.to", ["nobody"], "notifications.destinations[2].email.to"),
        (f"{TARGET}.2.name", "sec", "notifications.destinations[2].name"),
        (f"{RULE}.actions", ["pod.exec_start"], "notifications.rules[0].actions"),
        (f"{RULE}.query", "created:", "notifications.rules[0].query"),
        (f"{RULE}.destinations", ["nowhere"], "notifications.rules[0].destinations"),
        (f"{RULE}.destinations", [], "notifications.rules[0].destinations"),
        (f"{RULE}.digest_seconds", 1, "notifications.rules[0].digest_seconds"),
        (f"{RULE}.throttle", {"max": 0, "per_seconds": 60}, "notifications.rules[0].throttle.max"),
        (f"{RULE}.quiet_hours.from_time", "25:00", "notifications.rules[0].quiet_hours"),
        (f"{RULE}.quiet_hours.to_time", "22:00", "notifications.rules[0].quiet_hours"),
        (
            f"{RULE}.quiet_hours.time_zone",
            "Mars/Base",
            "notifications.rules[0].quiet_hours.time_zone",
        ),
        ("notifications.only_namespace", "Pay", "notifications.only_namespace"),
    ],
)
def test_mistake_is_named_by_its_field(path: str, value: Any, field: str) -> None:
    assert found(at(path, value)) == [field]


def test_rule_without_actions_and_query_would_match_nothing_named() -> None:
    rule = {"name": "all", "destinations": ["sec"]}
    assert found(at("notifications.rules", [rule])) == ["notifications.rules[0]"]


def test_unknown_action_names_the_nearest_and_no_secret_is_repeated() -> None:
    wrong = mistakes_in(
        at(f"{RULE}.actions", ["pod.exec_start"]), is_hub=False, knows_zone=lambda _: True
    )
    assert "pod.exec_started" in wrong.actions[0].message
    bad = at(f"{TARGET}.0.slack.url", "http://canary-secret")
    wrong = mistakes_in(bad, is_hub=False, knows_zone=lambda _: True)
    assert "canary" not in str(wrong.invalid)


def test_capture_stands_in_the_hub_s_document() -> None:
    assert found(at("capture", {"include_namespaces": ["a"]}), is_hub=True) == []
    wrong = found(at("capture", {"include_namespaces": ["A_b"]}), is_hub=True)
    assert wrong == ["capture.include_namespaces"]


def test_secrets_are_apart_and_stay_where_none_is_sent() -> None:
    plain, secrets = without_secrets(document(), {})
    assert "canary" not in msgspec.json.encode(plain).decode()
    assert secrets == {"sec": Secret(url=SLACK), "siem": Secret(signing_secret="canary-key")}
    again, kept = without_secrets(plain, secrets)
    assert (again, kept) == (plain, secrets)
    rotated = at(f"{TARGET}.1.webhook", {"url": "https://x.test", "signing_secret": "new"})
    assert without_secrets(rotated, secrets)[1]["siem"] == Secret(signing_secret="new")
    assert "canary" not in repr((document(), secrets))


def test_secret_of_a_destination_that_is_gone_is_gone() -> None:
    _, secrets = without_secrets(document(), {})
    mail = {"name": "sec", "email": {"to": ["a@b.cd"]}}
    other = at(TARGET, [mail])
    assert without_secrets(other, secrets)[1] == {}


def test_change_is_told_by_field_without_secrets_and_addresses() -> None:
    plain, secrets = without_secrets(document(), {})
    new, fresh = without_secrets(at("retention.max_age_hours", 168), secrets)
    assert changes(plain, new, secrets, fresh) == {"retention.max_age_hours": [720, 168]}
    moved, fresh = without_secrets(at(f"{TARGET}.0.slack.url", "https://x.test/z"), secrets)
    assert changes(plain, moved, secrets, fresh) == {
        "notifications.destinations.sec.secret": ["set", "changed"]
    }
    first = changes(None, plain, {}, secrets)
    assert first["retention.overrides.shells.actions"] == [None, "pod.*"]
    assert first["notifications.destinations.ops.email.to"] == [None, 1]
    assert "canary" not in str(first)
    assert "ops@acme.com" not in str(first)
    assert changes(plain, None, secrets, {})["retention.max_age_hours"] == [720, None]
    assert changes(plain, plain, secrets, secrets) == {}


def test_change_of_many_fields_is_bounded() -> None:
    rules = [
        {"name": f"r{n}", "destinations": ["sec"], "query": "x", "suspended": True}
        for n in range(32)
    ]
    plain, secrets = without_secrets(at("notifications.rules", rules), {})
    told = changes(None, plain, {}, secrets)
    assert len(told) == MAX_CHANGES
    assert isinstance(told["more"][1], int)
