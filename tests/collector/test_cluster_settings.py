"""The cluster's capture settings lie over the collector's own, whole or not at all."""

from __future__ import annotations

import msgspec
import pytest
from radar_audit_collector.capture.record import parse_line
from radar_audit_collector.classify import ClassifyRules, classify
from radar_audit_collector.cluster_settings import apply
from radar_audit_events.policy_wire import CaptureSettings

from tests.support.audit_lines import audit_line

OWN = ClassifyRules(
    radar_service_account="radar/radar", org_id="org_x", attach=True, include_namespaces=("own",)
)


def sent(**changes: object) -> dict[str, object]:
    asked = msgspec.convert(changes, CaptureSettings)
    found: dict[str, object] = msgspec.to_builtins(asked)
    return found


def test_without_settings_of_the_cluster_its_own_count() -> None:
    applied = apply(OWN, None)
    assert (applied.rules, applied.is_on, applied.required) == (OWN, True, None)


def test_settings_of_the_cluster_replace_all_of_its_own_but_who_it_is() -> None:
    applied = apply(
        OWN,
        sent(
            include_namespaces=["a"],
            exclude_namespaces=["b"],
            identity="impersonated",
            service_actors="record",
            failure_policy="required",
        ),
    )
    assert applied.required is True
    rules = applied.rules
    assert (rules.radar_service_account, rules.org_id) == ("radar/radar", "org_x")
    assert (rules.attach, rules.service_actors, rules.identity) == (False, True, "impersonated")
    assert (rules.include_namespaces, rules.exclude_namespaces) == (("a",), ("b",))
    assert apply(OWN, sent()).required is False


def test_capture_that_is_switched_off_records_nothing() -> None:
    on, off = apply(OWN, sent()), apply(OWN, sent(enabled=False))
    assert (on.is_on, off.is_on) == (True, False)
    record = parse_line(audit_line())
    assert classify(record, on.rules).kind == "started"
    assert classify(record, off.rules).reason == "namespace_excluded"


@pytest.mark.parametrize("bad", [{"identity": "everybody"}, {"new_switch": True}, {"attach": 1}])
def test_settings_that_are_not_understood_are_applied_in_no_part(bad: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        apply(OWN, {**sent(attach=True), **bad})
