"""Which records are terminals of a person through Radar: each rule, alone and in order."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from radar_audit_collector.capture.record import Skipped, parse_line
from radar_audit_collector.classify import ClassifyRules, Reason, Verdict, classify, read_groups

from tests.support.audit_lines import audit_line

RULES = ClassifyRules("radar/radar", org_id="org_x")


def verdict(rules: ClassifyRules = RULES, **changes: Any) -> Verdict:
    return classify(parse_line(audit_line(**changes)), rules)


@pytest.mark.parametrize(
    "changes, kind",
    [
        ({}, "started"),
        ({"verb": "create"}, "started"),
        ({"stage": "ResponseComplete"}, "ended"),
        ({"stage": "Panic", "code": 500}, "ended"),
        ({"code": 403}, "denied"),
        ({"code": 403, "stage": "ResponseComplete"}, "denied"),
        ({"code": 403, "query": "container=app"}, "denied"),
        # 1.36 writes `allow` beside a 403; the builder's annotation says allow too.
        ({"code": 403, "annotations": {"authorization.k8s.io/decision": "allow"}}, "denied"),
        ({"groups": ("radar:member",)}, "started"),
        ({"groups": ("cloud:org:org_x",)}, "started"),
        ({"groups": ("cloud:viewer", "radar:whatever")}, "started"),
    ],
)
def test_terminal_of_a_person_through_radar_counts(changes: dict[str, Any], kind: str) -> None:
    found = verdict(**changes)
    assert (found.kind, found.reason) == (kind, None)
    assert found.record is not None
    assert found.record.impersonated_user == "user_x"


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"principal": "admin"}, "not_radar"),
        ({"principal": "system:serviceaccount:radar:other"}, "not_radar"),
        ({"principal": "admin", "person": "user_x"}, "not_radar"),  # kubectl --as
        ({"person": None}, "not_impersonated"),
        ({"person": None, "code": 403}, "not_impersonated"),  # may not impersonate at all
        ({"person": ""}, "not_impersonated"),
        ({"person": "system:admin"}, "system_user"),
        ({"groups": ("cloud:owner", "system:masters")}, "foreign_group"),
        ({"groups": ("cloud:owner", "devs")}, "foreign_group"),
        ({"groups": ()}, "no_role"),
        ({"groups": ("cloud:getonly",)}, "no_role"),
        ({"groups": ("cloud:getonly",), "code": 403}, "no_role"),
        ({"groups": ("cloud:owner", "cloud:org:org_y")}, "org_mismatch"),
        ({"groups": ("cloud:owner", "cloud:org:org_x", "cloud:org:org_y")}, "org_mismatch"),
        ({"groups": ("cloud:owner", "cloud:org:")}, "org_mismatch"),
        ({"groups": ("cloud:owner", "cloud:user:user_y")}, "user_mismatch"),
        ({"groups": ("cloud:owner",), "person": "radar:ai:org_x"}, "service_actor"),
        ({"groups": ("cloud:owner",), "person": "radar:system"}, "service_actor"),
        ({"query": "stdin=true&stdout=true"}, "not_terminal"),
        ({"query": "tty=true&stdout=true"}, "not_terminal"),
        ({"query": "", "stage": "ResponseComplete"}, "not_terminal"),
        ({"query": "", "stage": "Panic", "code": 500}, "not_terminal"),
        ({"subresource": "attach"}, "attach_off"),
        ({"code": None}, "no_status"),
        ({"code": 404}, "status_4xx"),
        ({"code": 400}, "status_4xx"),
        ({"code": 401}, "status_4xx"),
        ({"code": 500}, "status_5xx"),
        ({"code": 200}, "status_other"),
    ],
)
def test_everything_else_is_ignored_with_its_reason(changes: dict[str, Any], reason: str) -> None:
    assert verdict(**changes) == Verdict("ignored", reason)  # type: ignore[arg-type]


def test_skipped_line_keeps_its_reason() -> None:
    assert classify(Skipped("malformed"), RULES) == Verdict("ignored", "malformed")


def test_unknown_org_makes_the_event_wait_with_the_org_it_claims() -> None:
    rules = ClassifyRules("radar/radar")
    assert verdict(rules).claimed_org == "org_x"
    assert verdict(rules, groups=("cloud:owner",)).claimed_org is None
    assert verdict(RULES).claimed_org is None
    two = verdict(rules, groups=("cloud:owner", "cloud:org:org_x", "cloud:org:org_y"))
    assert two.reason == "org_mismatch"


def test_identity_impersonated_drops_the_group_rules() -> None:
    rules = ClassifyRules("radar/radar", org_id="org_x", identity="impersonated")
    found = verdict(rules, person="alice@acme.com", groups=("devs", "cloud:org:org_y"))
    assert (found.kind, found.role, found.claimed_org) == ("started", None, None)
    assert verdict(rules, person=None).reason == "not_impersonated"
    assert verdict(rules, person="system:node:n").reason == "system_user"


def test_identity_any_also_takes_terminals_of_nobody() -> None:
    rules = ClassifyRules("radar/radar", identity="any")
    found = verdict(rules, person=None)
    assert found.kind == "started"
    assert found.record is not None
    assert found.record.impersonated_user is None
    assert verdict(rules, principal="admin", person=None).reason == "not_radar"


def test_service_actors_and_attach_count_when_switched_on() -> None:
    rules = ClassifyRules("radar/radar", org_id="org_x", attach=True, service_actors=True)
    changes = {"person": "radar:ai:org_x", "groups": ("cloud:member",)}
    assert verdict(rules, **changes).kind == "started"
    assert verdict(rules, subresource="attach").kind == "started"


@pytest.mark.parametrize(
    "include, exclude, captured",
    [
        ((), (), True),
        (("demo",), (), True),
        (("prod", "de*"), (), True),
        (("prod", "dem"), (), False),
        ((), ("demo",), False),
        ((), ("de*",), False),
        (("demo",), ("demo",), False),
        (("*",), ("other",), True),
    ],
)
def test_namespaces_in_and_out(
    include: tuple[str, ...], exclude: tuple[str, ...], captured: bool
) -> None:
    rules = ClassifyRules("radar/radar", include_namespaces=include, exclude_namespaces=exclude)
    assert verdict(rules).reason == (None if captured else "namespace_excluded")


@pytest.mark.parametrize(
    "groups, role",
    [
        (("cloud:owner",), "owner"),
        (("radar:member",), "member"),
        (("cloud:viewer",), "viewer"),
        (("cloud:viewer", "radar:owner", "cloud:member"), "owner"),
        (("cloud:org:org_x",), None),
        (("owner", "cloud:owners"), None),
    ],
)
def test_role_is_the_highest_that_the_groups_name(groups: tuple[str, ...], role: str) -> None:
    assert read_groups(groups).role == role


@pytest.mark.parametrize("text", ["radar", "radar/", "/radar", "a/b/c", ""])
def test_service_account_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="namespace/name"):
        ClassifyRules(text)


def test_reasons_are_usable_as_metric_labels() -> None:
    reasons = [word for part in get_args(Reason) for word in (get_args(part) or (part,))]
    assert all(word.isidentifier() and word.islower() for word in reasons)
    assert len(set(reasons)) == len(reasons)
