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
KEY = "whsec_" + "canary" * 6
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
                "webhook": {"url": "https://siem.acme.com/in", "signing_secret": KEY},
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


PAIR = ("sec", "siem")
AT_RULE = "notifications.rules[0]"
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
        (f"{TARGET}.0.slack.url", "https://:8080/y", "notifications.destinations[0].slack.url"),
        (
            f"{TARGET}.0.slack.url",
            "https://x.test:99999",
            "notifications.destinations[0].slack.url",
        ),
        (f"{TARGET}.0.muted_until", "tomorrow", "notifications.destinations[0].muted_until"),
        (
            f"{TARGET}.1.webhook.signing_secret",
            "whsec_c2hvcnQ=",
            "notifications.destinations[1].webhook.signing_secret",
        ),
        (
            f"{TARGET}.1.webhook.previous_signing_secret",
            "canary",
            "notifications.destinations[1].webhook.previous_signing_secret",
        ),
        (
            f"{TARGET}.1.webhook.signing_key",
            KEY,
            "notifications.destinations[1].webhook.signing_key",
        ),
        (f"{RULE}.kinds", ["org.member.left"], "notifications.rules[0].kinds"),
        (f"{RULE}.kinds", ["org.member.joined"], "notifications.rules[0].kinds"),
        (f"{RULE}.kinds", ["cluster.disconnected"] * 7, "notifications.rules[0].kinds"),
        (f"{RULE}.threshold", {"count": 1, "within_seconds": 60}, f"{AT_RULE}.threshold.count"),
        (
            f"{RULE}.threshold",
            {"count": 10_001, "within_seconds": 60},
            f"{AT_RULE}.threshold.count",
        ),
        (
            f"{RULE}.threshold",
            {"count": 2, "within_seconds": 59},
            f"{AT_RULE}.threshold.within_seconds",
        ),
        (
            f"{RULE}.threshold",
            {"count": 2, "within_seconds": 86_401},
            f"{AT_RULE}.threshold.within_seconds",
        ),
        (
            f"{RULE}.grouping",
            {"by": "actor", "wait_seconds": 0},
            f"{AT_RULE}.grouping.wait_seconds",
        ),
        (
            f"{RULE}.grouping",
            {"by": "actor", "wait_seconds": 3601},
            f"{AT_RULE}.grouping.wait_seconds",
        ),
        (f"{RULE}.muted_until", "2026-11-25", f"{AT_RULE}.muted_until"),
    ],
)
def test_mistake_is_named_by_its_field(path: str, value: Any, field: str) -> None:
    assert found(at(path, value)) == [field]


def test_rule_without_actions_and_query_would_match_nothing_named() -> None:
    rule = {"name": "all", "destinations": ["sec"]}
    assert found(at("notifications.rules", [rule])) == ["notifications.rules[0]"]


def test_digest_goes_with_neither_throttle_nor_grouping() -> None:
    rule = {"name": "all", "destinations": ["sec"], "actions": ["*"], "digest_seconds": 3600}
    throttle = {"throttle": {"max": 1, "per_seconds": 60}}
    grouping = {"grouping": {"by": "actor", "wait_seconds": 30}}
    for other in (throttle, grouping):
        assert found(at("notifications.rules", [rule | other])) == [AT_RULE]
    del rule["digest_seconds"]
    assert found(at("notifications.rules", [rule | throttle | grouping])) == []


@pytest.mark.parametrize(
    "target",
    [
        {"teams": {"url": "https://acme.test/workflows/1?sig=x"}, "min_severity": "warning"},
        {"pagerduty": {"routing_key": "0123456789abcdef0123456789ABCDEF"}},
        {
            "webhook": {
                "url": "https://siem.acme.com/in",
                "signing_key": "whsk_" + "A" * 43 + "=",
                "previous_signing_secret": KEY,
                "envelope": "cloudevents",
            }
        },
        {"slack": {}, "muted_until": "2026-12-01T00:00:00+01:00"},
    ],
)
def test_each_form_of_a_destination_is_accepted(target: dict[str, Any]) -> None:
    others = [{"name": "siem", "email": {"to": ["a@b.cd"]}}]
    assert found(at(TARGET, [{"name": "sec", **target}, *others])) == []


def test_routing_key_of_another_form_is_refused_without_being_repeated() -> None:
    bad = at(TARGET, [{"name": name, "pagerduty": {"routing_key": "canary"}} for name in PAIR])
    wrong = mistakes_in(bad, is_hub=False, knows_zone=lambda _: True)
    assert [e.field for e in wrong.invalid] == [
        f"{TARGET}[{n}].pagerduty.routing_key" for n in range(2)
    ]
    assert "canary" not in str(wrong.invalid)


def test_unknown_kind_names_the_nearest() -> None:
    wrong = mistakes_in(
        at(f"{RULE}.kinds", ["cluster.disconnect"]), is_hub=False, knows_zone=lambda _: True
    )
    assert wrong.invalid[0].message == "names no known kind; the nearest is cluster.disconnected"


def test_kinds_of_the_org_need_its_scope_and_no_namespace_is_told_of_any() -> None:
    def asks(kind: str, scope: str, namespace: str | None = None) -> list[str]:
        doc = at(f"{RULE}.kinds", [kind])
        assert doc.notifications is not None
        alerts = msgspec.structs.replace(doc.notifications, only_namespace=namespace)
        return found(msgspec.structs.replace(doc, scope=scope, notifications=alerts))

    assert asks("billing.payment_failed", "organization") == []
    assert asks("billing.payment_failed", "cluster") == [f"{AT_RULE}.kinds"]
    assert asks("cluster.disconnected", "cluster") == []
    assert asks("cluster.disconnected", "cluster", "pay") == [f"{AT_RULE}.kinds"]


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
    assert secrets == {"sec": Secret(url=SLACK), "siem": Secret(signing_secret=KEY)}
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


def test_change_of_the_newer_fields_is_told_field_by_field() -> None:
    plain, secrets = without_secrets(document(), {})
    rule = {
        **FULL["notifications"]["rules"][0],
        "kinds": ["cluster.disconnected", "cluster.reconnected"],
        "threshold": {"count": 5, "within_seconds": 300, "by": "actor"},
        "grouping": {"by": "cluster", "wait_seconds": 30},
        "muted_until": "2026-12-01T00:00:00Z",
    }
    new, _ = without_secrets(at("notifications.rules", [rule]), secrets)
    at_rule = "notifications.rules.shells"
    assert changes(plain, new, secrets, secrets) == {
        f"{at_rule}.grouping.by": [None, "cluster"],
        f"{at_rule}.grouping.wait_seconds": [None, 30],
        f"{at_rule}.kinds": [None, "cluster.disconnected, cluster.reconnected"],
        f"{at_rule}.muted_until": [None, "2026-12-01T00:00:00Z"],
        f"{at_rule}.threshold.by": [None, "actor"],
        f"{at_rule}.threshold.count": [None, 5],
        f"{at_rule}.threshold.within_seconds": [None, 300],
    }


def test_destination_that_becomes_another_channel_tells_which() -> None:
    plain, secrets = without_secrets(document(), {})
    moved = {"name": "sec", "teams": {"url": "https://x.test/canary"}, "min_severity": "critical"}
    others = FULL["notifications"]["destinations"][1:]
    new, fresh = without_secrets(at(TARGET, [moved, *others]), secrets)
    assert changes(plain, new, secrets, fresh) == {
        f"{TARGET}.sec.min_severity": [None, "critical"],
        f"{TARGET}.sec.secret": ["set", "changed"],
        f"{TARGET}.sec.slack": [True, None],
        f"{TARGET}.sec.teams": [None, True],
    }


def test_change_of_many_fields_is_bounded() -> None:
    rules = [
        {"name": f"r{n}", "destinations": ["sec"], "query": "x", "suspended": True}
        for n in range(32)
    ]
    plain, secrets = without_secrets(at("notifications.rules", rules), {})
    told = changes(None, plain, {}, secrets)
    assert len(told) == MAX_CHANGES
    assert isinstance(told["more"][1], int)
