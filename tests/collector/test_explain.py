"""The prose of `check`: it names each rule, and never an argument of a command."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from radar_audit_collector.capture.record import parse_line
from radar_audit_collector.classify import RULES, ClassifyRules, Reason, classify
from radar_audit_collector.explain import WHY, explain

from tests.support.audit_lines import ARGV_SECRET, audit_line

CONFIGURED = ClassifyRules("radar/radar", org_id="org_x")


@pytest.mark.parametrize(
    "line",
    [
        audit_line(),
        audit_line(stage="ResponseComplete"),
        audit_line(code=403, groups=("cloud:viewer",)),
        audit_line(principal="admin", person=None),
        audit_line(query=""),
        audit_line(stage="RequestReceived", code=None),
        audit_line(groups=("cloud:org:org_y",)),
        audit_line()[:100],
        ARGV_SECRET.encode(),
        b"\xff",
        b"",
    ],
)
def test_explanation_agrees_with_the_verdict_and_never_shows_argv(line: bytes) -> None:
    found = explain(line, CONFIGURED)
    verdict = classify(parse_line(line), CONFIGURED)
    assert found.recorded == (verdict.kind != "ignored")
    assert found.reason == verdict.reason
    failed = [check.reason for check in found.checks if not check.passed]
    assert failed[:1] == ([] if found.recorded else [found.reason])
    assert ARGV_SECRET not in found.text() + repr(found)


def test_every_rule_is_shown_in_order_even_after_one_failed() -> None:
    found = explain(audit_line(principal="admin", person=None, query="tty=true"), CONFIGURED)
    assert [check.name for check in found.checks] == ["line", *(rule.name for rule in RULES)]
    failed = [check.reason for check in found.checks if not check.passed]
    assert failed == ["not_radar", "not_impersonated", "no_role", "not_terminal"]


def test_text_names_session_pod_and_person() -> None:
    text = explain(audit_line(), CONFIGURED).text()
    assert "demo/web, container app for user_x" in text
    assert "9ab2aa80-03ee-4a19-adef-e01fdd0f4183" in text
    assert text.endswith(
        "Recorded as the start of a terminal session (pod.exec_started), "
        "unless the same fact is recorded already."
    )


def test_waiting_for_the_org_is_said() -> None:
    assert "until the hub has said" in explain(audit_line(), ClassifyRules("radar/radar")).text()


def test_what_could_move_a_cursor_is_escaped() -> None:
    rules = ClassifyRules("radar/radar", identity="impersonated")
    changes: dict[str, Any] = {"person": "eve\x1b[2J", "audit_id": "x\x1b[2J"}
    assert "\x1b" not in explain(audit_line(**changes), rules).text()
    claiming = audit_line(groups=("cloud:owner", "cloud:org:org_\x1b[2J"))
    text = explain(claiming, ClassifyRules("radar/radar")).text()
    assert "until the hub has said" in text
    assert "\x1b" not in text


def test_every_reason_has_a_sentence() -> None:
    reasons = {word for part in get_args(Reason) for word in (get_args(part) or (part,))}
    assert set(WHY) == reasons
