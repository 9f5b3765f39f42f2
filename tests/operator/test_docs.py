"""Guards docs/operator.md: every condition, reason, event and right stands there."""

from __future__ import annotations

import re
from pathlib import Path

from radar_audit_operator.metrics import Metrics
from radar_audit_operator.permissions import PERMISSIONS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operator.md").read_text(encoding="utf-8")
SOURCES = (ROOT / "operator" / "radar_audit_operator").glob("**/*.py")
_REASON = re.compile(
    r'(?:Verdict\(\s*"(?:True|False|Unknown)",|Notice\(\s*"(?:Normal|Warning)",|_refuse\()\s*'
    r'"([A-Z][A-Za-z]+)"'
)


def test_every_reason_is_explained() -> None:
    text = "\n".join(source.read_text(encoding="utf-8") for source in SOURCES)
    reasons = set(_REASON.findall(text))
    assert len(reasons) > 35
    assert not {reason for reason in reasons if not re.search(rf"\b{reason}\b", PAGE)}


def test_every_metric_is_explained() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    families = list(Metrics().registry.collect())
    assert len(families) > 15
    assert not {family.name for family in families if f"`{family.name}" not in page}


def test_every_right_is_listed() -> None:
    assert not {each.resource for each in PERMISSIONS if each.resource not in PAGE}
    assert all(each.reason for each in PERMISSIONS)
    assert not [
        each for each in PERMISSIONS if "secrets" in each.resource and each.where == "cluster"
    ]
    assert not [verb for each in PERMISSIONS for verb in each.verbs if verb in {"*", "delete"}]
