"""Guards what each condition says, of a policy and of an AuditHub, and when it is Ready."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from radar_audit_events.policy_answers import (
    CollectorState,
    DestinationState,
    Holder,
    Pending,
    RetentionState,
    SettingsAnswer,
)
from radar_audit_events.policy_wire import (
    SCOPE_ORG_SETTINGS,
    SCOPE_SETTINGS,
    CaptureSettings,
    capture_etag,
)
from radar_audit_operator.plan import hub_verdicts
from radar_audit_operator.plan.verdicts import (
    SyncResult,
    Verdict,
    accepted_verdict,
    destination_verdict,
    destinations_verdict,
    ready_verdict,
    retention_verdict,
    synced_verdict,
    tried_sentence,
)
from radar_audit_operator.specs import (
    Key,
)
from radar_audit_operator.world import runs_with_gateway

from tests.support.operator_objects import a_hub

GOOD = Verdict("True", "Valid", "")


def retention(**changes: Any) -> RetentionState:
    whole = {
        "key": "cluster/cl_1",
        "state": "held",
        "ceiling_hours": 720,
        "effective_hours": 720,
        "requested_hours": 720,
    }
    return RetentionState(**{**whole, **changes})


HOLDER = Holder(owner_id="k8s:cl_2:sec:audit", since="2026-01-01T00:00:00Z", cluster_name="eu")


class TestVerdicts:
    @pytest.mark.parametrize(
        ("changes", "status", "reason", "says"),
        [
            ({}, "True", "AsRequested", "30d"),
            ({"has_holds": True}, "True", "Held", "held longer"),
            ({"is_clamped": True, "requested_hours": 8760}, "False", "ClampedToPlan", "365d"),
            (
                {"pending": Pending(effective_hours=168, at="T", would_delete=12)},
                "False",
                "ShrinkPending",
                "7d comes into force at T and then deletes 12 events",
            ),
            ({"state": "conflict", "holder": HOLDER}, "False", "Conflicted", "alerts work"),
            ({"state": "owned_elsewhere", "holder": HOLDER}, "False", "OwnedElsewhere", "eu"),
            (
                {"state": "owned_elsewhere", "holder": HOLDER, "takeover": "holder_differs"},
                "False",
                "OwnedElsewhere",
                "takeOverFrom names another holder",
            ),
            ({"state": "none", "requested_hours": None}, "True", "AsRequested", "30d"),
        ],
    )
    def test_retention(self, changes: dict[str, Any], status: str, reason: str, says: str) -> None:
        verdict = retention_verdict(retention(**changes))
        assert (verdict.status, verdict.reason) == (status, reason)
        assert says in verdict.message

    @pytest.mark.parametrize(
        ("state", "status", "reason"),
        [
            ("never_used", "True", "NeverUsed"),
            ("delivering", "True", "Delivering"),
            ("failing", "False", "DeliveryFailing"),
            ("disabled", "False", "DisabledByReceiver"),
            ("no_secret", "False", "SecretMissing"),
            ("invalid", "False", "SecretInvalid"),
        ],
    )
    def test_destinations(self, state: Any, status: str, reason: str) -> None:
        verdict = destination_verdict(None, DestinationState(name="a", state=state))
        assert (verdict.status, verdict.reason) == (status, reason)

    def test_a_problem_of_the_secret_speaks_before_the_deliveries(self) -> None:
        problem = Verdict("False", "SecretMissing", "gone")
        state = DestinationState(name="a", state="delivering")
        assert destination_verdict(problem, state) is problem
        assert destination_verdict(None, None).status == "Unknown"

    def test_the_first_failing_destination_is_named_and_the_others_counted(self) -> None:
        bad = Verdict("False", "DeliveryFailing", "no")
        verdict = destinations_verdict({"a": GOOD, "b": bad, "c": bad})
        assert verdict.message == "b: no (and 1 more)"

    def test_an_invalid_query_is_the_policys_fault_and_a_refusal_the_hubs(self) -> None:
        query = SyncResult(kind="refused", code="invalid_query", sentence="at position 3")
        assert accepted_verdict(GOOD, query).reason == "InvalidQuery"
        action = SyncResult(kind="refused", code="unknown_action", sentence="pod.exce")
        assert accepted_verdict(GOOD, action).reason == "UnknownAction"
        other = SyncResult(kind="refused", code="too_many_owners", sentence="5000")
        assert accepted_verdict(GOOD, other) is GOOD
        assert synced_verdict(other).reason == "HubRejected"
        scope = SyncResult(kind="refused", code="scope_missing", sentence="ask an owner")
        assert synced_verdict(scope).reason == "Unauthorized"

    def test_clamped_and_pending_leave_a_policy_ready_and_conflicts_do_not(self) -> None:
        sync = SyncResult(kind="synced")
        for reason in ("ClampedToPlan", "ShrinkPending"):
            named = [("RetentionEffective", Verdict("False", reason, "note"))]
            ready = ready_verdict(named, sync, None)
            assert (ready.status, ready.message) == ("True", "note")
        named = [("RetentionEffective", Verdict("False", "Conflicted", "other"))]
        assert ready_verdict(named, sync, None).reason == "Conflicted"

    def test_a_dry_run_tells_of_alerts_by_rule_and_of_none_without_rules(self) -> None:
        said = tried_sentence({"shells": 12, "pay": 2})
        tried = SyncResult(kind="tried", sentence=said)
        assert "14 to each destination (pay 2, shells 12)" in synced_verdict(tried).message
        assert ready_verdict([], tried, None).message == f"mode: DryRun; {said}"
        silent = SyncResult(kind="tried", sentence=tried_sentence({}))
        assert "would have sent" not in synced_verdict(silent).message

    def test_a_hub_that_is_away_leaves_ready_alone_until_the_grace_is_over(self) -> None:
        away = SyncResult(kind="unreachable", down_since="T", last_good="G")
        named = [("Synced", synced_verdict(away))]
        before = Verdict("True", "Synced", "")
        assert ready_verdict(named, away, before).status == "True"
        assert ready_verdict(named, away, None).status == "Unknown"
        over = SyncResult(kind="unreachable", down_since="T", last_good="G", is_grace_over=True)
        ready = ready_verdict([("Synced", synced_verdict(over))], over, before)
        assert (ready.status, ready.reason) == ("False", "HubUnreachable")
        assert "last good at G, settings still in force" in ready.message

    def test_suspend_keeps_what_ready_was(self) -> None:
        left = SyncResult(kind="left")
        for status in ("True", "False", "Unknown"):
            before = Verdict(status, "x", "")
            assert ready_verdict([], left, before).status == status
        assert ready_verdict([], left, None).reason == "Suspended"

    def test_the_first_condition_that_fails_speaks_for_ready(self) -> None:
        named = [
            ("Accepted", Verdict("True", "Valid", "")),
            ("Synced", Verdict("False", "HubRejected", "first")),
            ("DestinationsReady", Verdict("False", "SecretMissing", "second")),
        ]
        assert ready_verdict(named, SyncResult(kind="refused"), None).message == "first"


class TestHubs:
    ANSWER = SettingsAnswer(
        revision="1",
        now="T",
        org_id="org_01H8XGJWBWBAQ4",
        cluster_id="cl_01H8XGJWBWBAQ4",
        cluster_name="prod",
        plan="team",
        ceiling_hours=720,
        scopes=[SCOPE_SETTINGS],
    )

    def test_a_token_of_another_cluster_or_organization_is_found_out(self) -> None:
        assert hub_verdicts.belongs(a_hub().spec, self.ANSWER) is None
        for field in ("org_id", "cluster_id"):
            other = msgspec.structs.replace(self.ANSWER, **{field: "cl_else"})
            assert "cl_else" in (hub_verdicts.belongs(a_hub().spec, other) or "")

    def test_missing_scopes_are_named(self) -> None:
        bare = msgspec.structs.replace(self.ANSWER, scopes=[])
        assert SCOPE_SETTINGS in (hub_verdicts.lacks(a_hub().spec, bare) or "")
        speaks = a_hub(("speaksFor", "Organization")).spec
        assert SCOPE_ORG_SETTINGS in (hub_verdicts.lacks(speaks, self.ANSWER) or "")
        assert hub_verdicts.lacks(a_hub().spec, self.ANSWER) is None

    def collector(self, name: str, etag: str | None) -> CollectorState:
        return CollectorState(
            collector_id=name, version="1", last_seen_at="T", is_healthy=True, capture_hash=etag
        )

    def test_capture_is_applied_when_all_collectors_echo_its_hash(self) -> None:
        wanted, etag = CaptureSettings(), capture_etag(CaptureSettings())
        both = [self.collector("a", etag), self.collector("b", etag)]
        verdict = hub_verdicts.capture_verdict
        assert (
            verdict(wanted, hub_verdicts.applied(both, etag), is_held_back=False).reason
            == "Applied"
        )
        one = [*both, self.collector("c", None)]
        some = verdict(wanted, hub_verdicts.applied(one, etag), is_held_back=False)
        assert (some.status, some.reason) == ("False", "Pending")
        assert "2 of 3" in some.message
        held = verdict(wanted, hub_verdicts.applied(both, etag), is_held_back=True)
        assert held.reason == "UnsafeRequired"
        assert (
            verdict(wanted, hub_verdicts.applied([], etag), is_held_back=False).status == "Unknown"
        )
        assert verdict(None, None, is_held_back=False).reason == "NotManaged"

    def test_a_radar_pod_needs_the_gateway_and_has_to_be_pointed_at_it(self) -> None:
        pointed = {
            "name": "radar",
            "env": [{"name": "KUBERNETES_SERVICE_HOST", "value": "127.0.0.1"}],
        }
        gateway = {"name": "radar-audit"}
        good = {"spec": {"containers": [pointed], "initContainers": [gateway]}}
        assert runs_with_gateway(good, "radar-audit")
        beside = {"spec": {"containers": [pointed, gateway]}}
        assert runs_with_gateway(beside, "radar-audit")
        alone = copy.deepcopy(good)
        alone["spec"]["initContainers"] = []
        assert not runs_with_gateway(alone, "radar-audit")
        blind = {"spec": {"containers": [{"name": "radar"}], "initContainers": [gateway]}}
        assert not runs_with_gateway(blind, "radar-audit")
        assert not runs_with_gateway({}, "radar-audit")

    def test_the_gateway_condition_names_a_pod(self) -> None:
        pods = {Key("radar", "a"): True, Key("radar", "b"): False}
        verdict = hub_verdicts.gateway_verdict(pods, ("radar",))
        assert verdict.reason == "GatewayMissing"
        assert "1 of 2" in verdict.message
        assert "radar/b" in verdict.message
        assert hub_verdicts.gateway_verdict({}, ("radar",)).reason == "NoRadarPods"
        assert hub_verdicts.gateway_verdict(None, ("radar",)).reason == "NotReadable"
        assert hub_verdicts.gateway_verdict({Key("r", "a"): True}, ("r",)).status == "True"
