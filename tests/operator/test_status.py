"""Guards the status: the same facts write nothing, transitions are dated and told once."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from radar_audit_events.policy_answers import DestinationState, RetentionState
from radar_audit_operator.plan.notices import transitions
from radar_audit_operator.plan.secrets import Found, uses
from radar_audit_operator.plan.verdicts import SyncResult, Verdict
from radar_audit_operator.specs import Policy, read_policy
from radar_audit_operator.status import Facts, merge_patch, policy_status

from tests.support.crd_cases import POLICY, changed

META = {"uid": "u", "generation": 2, "creationTimestamp": "2026-11-25T10:00:00Z"}
VALID = Verdict("True", "Valid", "fine")
EARLY, LATE = "2026-11-25T10:00:00Z", "2026-11-25T11:00:00Z"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=12,
)


def a_policy(status: dict[str, Any] | None = None, generation: int = 2) -> Policy:
    raw = changed(POLICY)
    raw["metadata"] |= META | {"generation": generation}
    return read_policy(raw | {"status": status or {}})


def facts(policy: Policy, **changes: Any) -> Facts:
    whole: dict[str, Any] = {
        "accepted": VALID,
        "sync": SyncResult(kind="synced"),
        "owner_id": "k8s:cl_1:demo:team",
        "organization": "org_1",
        "synced_at": EARLY,
        "retention": RetentionState(
            key="cluster/cl_1",
            state="held",
            ceiling_hours=720,
            effective_hours=720,
            requested_hours=720,
        ),
        "destinations": [
            DestinationState(name="sec", state="delivering", last_delivery_at=EARLY),
            DestinationState(name="siem", state="never_used"),
        ],
        "secrets": {use: Found("s:5", "x") for use in uses(policy.spec)},
    }
    return Facts(**{**whole, **changes})


def conditions(status: dict[str, Any]) -> dict[str, Any]:
    return {each["type"]: each for each in status["conditions"]}


def test_the_same_facts_give_the_same_status_and_so_no_write() -> None:
    policy = a_policy()
    first = policy_status(policy, facts(policy), EARLY)
    again = a_policy(first)
    assert policy_status(again, facts(again), LATE) == first
    assert merge_patch(first, first) == {}


def test_a_transition_time_moves_with_the_status_alone() -> None:
    policy = a_policy()
    first = policy_status(policy, facts(policy), EARLY)
    away = SyncResult(kind="unreachable", down_since=LATE, is_grace_over=True)
    down = policy_status(a_policy(first), facts(policy, sync=away), LATE)
    assert conditions(down)["Ready"]["lastTransitionTime"] == LATE
    assert conditions(down)["Accepted"]["lastTransitionTime"] == EARLY
    edited = policy_status(a_policy(first, generation=3), facts(policy), LATE)
    assert conditions(edited)["Ready"]["lastTransitionTime"] == EARLY
    assert conditions(edited)["Ready"]["observedGeneration"] == 3


def test_kubectl_gets_its_three_answers() -> None:
    policy = a_policy()
    status = policy_status(policy, facts(policy), EARLY)
    assert conditions(status)["Ready"]["status"] == "True"
    assert status["retention"]["effective"] == "30d"
    assert status["lastDeliveryTime"] == EARLY
    assert status["destinationSummary"] == "2/2"


def test_a_refused_policy_is_stalled_and_says_nothing_of_the_hub() -> None:
    policy = a_policy()
    refused = Verdict("False", "NotGranted", "add a grant")
    status = policy_status(policy, Facts(accepted=refused, sync=None, secrets={}), EARLY)
    found = conditions(status)
    assert found["Ready"]["reason"] == found["Stalled"]["reason"] == "NotGranted"
    assert "Synced" not in found
    assert "retention" not in status


def test_stalled_goes_when_the_cause_goes() -> None:
    policy = a_policy()
    refused = Verdict("False", "NotGranted", "add a grant")
    stalled = policy_status(policy, Facts(accepted=refused, sync=None, secrets={}), EARLY)
    mended = policy_status(a_policy(stalled), facts(policy), LATE)
    assert "Stalled" not in conditions(mended)


def test_a_suspended_policy_keeps_its_status_but_for_ready() -> None:
    policy = a_policy()
    before = policy_status(policy, facts(policy), EARLY)
    left = facts(policy, sync=SyncResult(kind="left"))
    after = policy_status(a_policy(before, generation=3), left, LATE)
    assert after["retention"] == before["retention"]
    assert conditions(after)["Ready"]["reason"] == "Suspended"
    assert conditions(after)["Ready"]["status"] == "True"
    assert conditions(after)["Synced"] == conditions(before)["Synced"]


def test_no_value_of_a_secret_is_in_a_status() -> None:
    policy = a_policy()
    secrets = {use: Found("s:5", "https://canary.test") for use in uses(policy.spec)}
    status = policy_status(policy, facts(policy, secrets=secrets), EARLY)
    assert "canary" not in str(status)
    assert status["destinations"][0]["secretResourceVersion"] == "5"


def test_a_version_of_a_secret_is_shown_only_once_the_hub_has_it() -> None:
    policy = a_policy()
    away = SyncResult(kind="unreachable", down_since=EARLY)
    status = policy_status(policy, facts(policy, sync=away), EARLY)
    assert "secretResourceVersion" not in status["destinations"][0]


@settings(max_examples=40)
@given(st.dictionaries(st.text(max_size=2), JSON), st.dictionaries(st.text(max_size=2), JSON))
def test_a_merge_patch_brings_one_object_to_the_other(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    after = _without_nulls(after)  # a merge patch cannot say null
    assert _merged(before, merge_patch(before, after)) == after


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return value


def _merged(value: Any, patch: dict[str, Any]) -> dict[str, Any]:
    made = dict(value) if isinstance(value, dict) else {}
    for key, item in patch.items():
        if item is None:
            made.pop(key, None)
        elif isinstance(item, dict):
            made[key] = _merged(made.get(key), item)
        else:
            made[key] = item
    return made


class TestNotices:
    def status(self, **changes: Any) -> dict[str, Any]:
        policy = a_policy()
        return policy_status(policy, facts(policy, **changes), EARLY)

    def reasons(self, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
        return sorted(notice.reason for notice in transitions(before, after))

    def test_nothing_is_told_when_nothing_changed(self) -> None:
        assert transitions(self.status(), self.status()) == []

    def test_the_first_success_is_told_once(self) -> None:
        assert self.reasons({}, self.status()) == ["Synced"]

    def test_a_failure_is_told_once_though_two_conditions_say_it(self) -> None:
        away = SyncResult(kind="unreachable", down_since=EARLY, is_grace_over=True)
        assert self.reasons(self.status(), self.status(sync=away)) == ["HubUnreachable"]

    def test_a_shrink_is_told_when_it_waits_and_when_it_is_applied(self) -> None:
        whole = facts(a_policy()).retention
        assert whole is not None
        waits = {"effective_hours": 168, "at": LATE, "would_delete": 4}
        raw = msgspec.to_builtins(whole)
        pending = msgspec.convert(raw | {"pending": waits}, RetentionState)
        done = msgspec.convert(raw | {"effective_hours": 168}, RetentionState)
        before, waiting = self.status(), self.status(retention=pending)
        assert self.reasons(before, waiting) == ["ShrinkPending"]
        assert self.reasons(waiting, self.status(retention=done)) == ["ShrinkApplied"]
        assert self.reasons(waiting, before) == []

    def test_a_promotion_is_told(self) -> None:
        whole = facts(a_policy()).retention
        assert whole is not None
        lost = msgspec.structs.replace(whole, state="conflict")
        assert "Promoted" in self.reasons(self.status(retention=lost), self.status())

    def test_a_rotated_secret_is_told(self) -> None:
        policy = a_policy()
        rotated = {use: Found("s:6", "x") for use in uses(policy.spec)}
        assert self.reasons(self.status(), self.status(secrets=rotated)) == ["SecretRotated"]
