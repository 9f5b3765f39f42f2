"""Guards the pure rules: what may be asked for, what is sent, what each condition says."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from radar_audit_events.policy_wire import (
    CaptureSettings,
)
from radar_audit_operator.errors import SpecError
from radar_audit_operator.plan.document import hub_document, policy_document
from radar_audit_operator.plan.policy import decide, rival
from radar_audit_operator.plan.secrets import Found, Use, judge, uses
from radar_audit_operator.specs import (
    Policy,
    SecretRef,
    duration_hours,
    duration_seconds,
    in_days,
)

from tests.support.operator_objects import a_hub, a_policy

CANARY = "https://hooks.example.com/canary"


def grant(*allow: str, scope: str = "OwnNamespace") -> dict[str, Any]:
    labels = {"matchLabels": {"team": "pay"}}
    return {"namespaceSelector": labels, "allow": list(allow), "queryScope": scope}


def found_all(policy: Policy, version: str = "s:1") -> dict[Use, Found]:
    return {use: Found(version, CANARY) for use in uses(policy.spec)}


class TestDurations:
    @pytest.mark.parametrize(("text", "hours"), [("24h", 24), ("30d", 720), ("3650d", 87_600)])
    def test_ages_are_read_as_hours(self, text: str, hours: int) -> None:
        assert duration_hours(text) == hours

    @given(st.integers(24, 87_600))
    def test_hours_are_written_so_that_they_read_back(self, hours: int) -> None:
        assert duration_hours(in_days(hours)) == hours

    @pytest.mark.parametrize("text", ["", "d", "30", "-1d", "1w", "1.5h", "٣d"])
    def test_what_is_no_duration_is_refused(self, text: str) -> None:
        with pytest.raises(SpecError):
            duration_seconds(text)


class TestGrants:
    def test_the_operators_own_namespace_needs_no_grant(self) -> None:
        assert decide(a_policy(), a_hub(), "demo", None).action == "enforce"

    def test_another_namespace_without_a_grant_is_refused_with_the_way_out(self) -> None:
        decision = decide(a_policy(), a_hub(), "radar-audit", {})
        assert decision.accepted.reason == "NotGranted"
        assert "spec.grants of AuditHub main" in decision.accepted.message
        assert not decision.is_live

    def test_a_grant_must_allow_each_thing_that_is_asked_for(self) -> None:
        hub = a_hub(("grants", [grant("Notifications")]))
        assert "Retention" in decide(a_policy(), hub, "x", {"team": "pay"}).accepted.message
        alerts_alone = a_policy(("retention", {"holds": [{"name": "h", "reason": "r"}]}))
        assert "Holds" in decide(alerts_alone, hub, "x", {"team": "pay"}).accepted.message

    def test_grants_add_up_and_bind_alerts_to_the_own_namespace(self) -> None:
        hub = a_hub(("grants", [grant("Notifications"), grant("Retention")]))
        assert decide(a_policy(), hub, "x", {"team": "pay"}).only_namespace == "demo"
        hub = a_hub(("grants", [grant("Notifications", scope="Any"), grant("Retention")]))
        assert decide(a_policy(), hub, "x", {"team": "pay"}).only_namespace is None

    def test_a_wide_grant_of_something_else_does_not_widen_alerts(self) -> None:
        hub = a_hub(("grants", [grant("Notifications"), grant("Retention", scope="Any")]))
        assert decide(a_policy(), hub, "x", {"team": "pay"}).only_namespace == "demo"

    def test_labels_that_cannot_be_read_grant_nothing_and_say_why(self) -> None:
        decision = decide(a_policy(), a_hub(("grants", [grant("Retention")])), "x", None)
        assert "cannot be read" in decision.accepted.message

    def test_an_organization_policy_needs_a_hub_that_speaks_for_it(self) -> None:
        policy = a_policy(("scope", "Organization"))
        assert "speaksFor" in decide(policy, a_hub(), "demo", None).accepted.message
        hub = a_hub(("speaksFor", "Organization"))
        assert decide(policy, hub, "demo", None).action == "enforce"

    def test_a_policy_without_a_hub_says_so(self) -> None:
        assert decide(a_policy(), None, "demo", None).accepted.reason == "HubNotFound"

    @pytest.mark.parametrize(
        ("mode", "action"), [("Enforce", "enforce"), ("DryRun", "try"), ("Suspend", "leave")]
    )
    def test_the_mode_is_the_action(self, mode: str, action: str) -> None:
        assert decide(a_policy(("mode", mode)), a_hub(), "demo", None).action == action

    def test_of_two_hubs_for_one_cluster_the_older_reports(self) -> None:
        old = a_hub(uid="a", creationTimestamp="2026-01-01T00:00:00Z")
        new = a_hub(("/metadata.name", "other"), uid="b")
        assert rival(new, [old, new]) is old
        assert rival(old, [new, old]) is None
        elsewhere = a_hub(("clusterId", "cl_2"), uid="c")
        assert rival(elsewhere, [old, elsewhere]) is None


class TestDocuments:
    def test_a_policy_becomes_one_whole_document(self) -> None:
        policy = a_policy(
            ("retention.overrides", [{"name": "e", "actions": ["pod.*"], "maxAge": "365d"}]),
            ("retention.holds", [{"name": "h", "reason": "r", "query": "actor:bob"}]),
            ("notifications.rules.0.throttle", {"max": 3, "per": "2h"}),
            ("notifications.rules.0.quietHours", {"from": "22:00", "to": "06:00"}),
        )
        document = policy_document(policy, found_all(policy), "demo")
        assert document.retention is not None
        assert document.notifications is not None
        assert document.retention.max_age_hours == 720
        assert document.retention.overrides[0].max_age_hours == 8760
        assert document.retention.holds[0].query == "actor:bob"
        rule = document.notifications.rules[0]
        assert rule.throttle is not None
        assert rule.quiet_hours is not None
        assert (rule.throttle.per_seconds, rule.quiet_hours.from_time) == (7200, "22:00")
        assert document.notifications.only_namespace == "demo"
        assert document.notifications.destinations[0].slack is not None
        assert document.notifications.destinations[0].slack.url == CANARY

    def test_the_hash_follows_content_and_versions_of_secrets_not_their_values(self) -> None:
        policy = a_policy()
        first = policy_document(policy, found_all(policy), None).spec_hash
        other_value = {use: Found("s:1", "https://other.test") for use in uses(policy.spec)}
        assert policy_document(policy, other_value, None).spec_hash == first
        rotated = policy_document(policy, found_all(policy, "s:2"), None).spec_hash
        edited = policy_document(a_policy(("retention.maxAge", "31d")), found_all(policy), None)
        scoped = policy_document(policy, found_all(policy), "demo").spec_hash
        assert len({first, rotated, edited.spec_hash, scoped}) == 4

    def test_the_hash_does_not_follow_the_generation(self) -> None:
        policy = a_policy()
        later = msgspec.structs.replace(
            policy, meta=msgspec.structs.replace(policy.meta, generation=9)
        )
        hashes = {
            policy_document(each, found_all(policy), None).spec_hash for each in (policy, later)
        }
        assert len(hashes) == 1

    def test_a_secret_with_a_problem_is_left_out_so_that_the_last_one_stays(self) -> None:
        policy = a_policy()
        missing = {use: Found("missing", problem="SecretMissing") for use in uses(policy.spec)}
        document = policy_document(policy, missing, None)
        assert document.notifications is not None
        assert document.notifications.destinations[0].slack is not None
        assert document.notifications.destinations[0].slack.url is None

    def test_an_audithub_sends_its_capture_settings(self) -> None:
        hub = a_hub(
            ("capture", {"identity": "Any", "namespaces": {"include": ["b", "a"]}, "attach": True})
        )
        expected = CaptureSettings(identity="any", include_namespaces=["a", "b"], attach=True)
        assert hub_document(hub).capture == expected
        assert hub_document(a_hub()).capture is None


class TestSecrets:
    USE = Use("sec", "url", SecretRef("alerts", "url"))

    def coded(self, value: bytes) -> dict[str, Any]:
        meta = {"uid": "s", "resourceVersion": "5"}
        return {"metadata": meta, "data": {"url": base64.b64encode(value).decode()}}

    def test_a_good_secret_gives_its_value_and_its_version(self) -> None:
        found = judge(self.USE, self.coded(CANARY.encode() + b"\n"))
        assert (found.value, found.version, found.problem) == (CANARY, "s:5", None)
        assert CANARY not in repr(found)

    @pytest.mark.parametrize(
        ("secret", "refusal", "problem"),
        [
            (None, 404, "SecretMissing"),
            (None, 403, "SecretForbidden"),
            ({"metadata": {}, "data": {"other": ""}}, 200, "SecretKeyMissing"),
            ({"metadata": {}}, 200, "SecretKeyMissing"),
        ],
    )
    def test_what_is_missing_is_named(
        self, secret: dict[str, Any] | None, refusal: int, problem: str
    ) -> None:
        found = judge(self.USE, secret, refusal)
        assert found.problem == problem
        assert "alerts" in found.message

    @pytest.mark.parametrize(
        "value",
        [b"", b"\xff\xfe", b"http://x.test", b"two words", b"x" * 1_048_576, b"a\nb", b"https://"],
    )
    def test_what_is_no_secret_of_its_kind_is_refused_without_showing_it(
        self, value: bytes
    ) -> None:
        found = judge(self.USE, self.coded(value))
        assert found.problem == "SecretInvalid"
        assert not value or value.decode("latin1")[:9] not in found.message
