"""Guards the schemas: the API server itself refuses what is wrong and says what is right."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.support import crd_alert_cases, crd_cases
from tests.support.crd_cases import HUB, POLICY, Case
from tests.support.crd_checker import BUILD_SECONDS, CRDS, CrdChecker, Verdict

pytestmark = pytest.mark.timeout(BUILD_SECONDS)  # the first run on a machine builds the validator
ACCEPTED = (*crd_cases.ACCEPTED, *crd_alert_cases.ACCEPTED)
REFUSED = (*crd_cases.REFUSED, *crd_alert_cases.REFUSED)
DEFINITIONS = [yaml.safe_load(path.read_text()) for path in sorted(CRDS.glob("*.yaml"))]


def verdict(checker: CrdChecker, case: Case) -> Verdict:
    old = None if case.old is None else checker.check(case.old).object
    return checker.check(case.object, old)


def complaints(found: Verdict) -> str:
    return "\n".join((*(f'unknown field "{name}"' for name in found.unknown), *found.errors))


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_a_wrong_object_is_refused_with_what_would_be_right(
    checker: CrdChecker, case: Case
) -> None:
    assert case.says in complaints(verdict(checker, case))


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)
def test_a_right_object_is_taken(checker: CrdChecker, case: Case) -> None:
    assert complaints(verdict(checker, case)) == ""


def test_the_table_of_wrong_objects_is_long_and_changes_good_ones() -> None:
    assert len(REFUSED) >= 60
    assert len({case.name for case in (*REFUSED, *ACCEPTED)}) == len(REFUSED) + len(ACCEPTED)


def test_each_rule_of_the_schemas_is_broken_by_a_case(checker: CrdChecker) -> None:
    rules = [rule["message"] for definition in DEFINITIONS for rule in _rules(definition)]
    said = "\n".join(complaints(verdict(checker, case)) for case in REFUSED)
    unbroken = {rule for rule in rules if rule not in said}
    assert not unbroken
    assert len(rules) > 45


def test_defaults_are_filled_in(checker: CrdChecker) -> None:
    policy, hub = checker.check(POLICY).object["spec"], checker.check(HUB).object["spec"]
    assert (policy["scope"], policy["mode"], policy["deletionPolicy"]) == (
        "Cluster",
        "Enforce",
        "Revert",
    )
    assert policy["retention"]["shrinkDelay"] == "24h"
    assert policy["notifications"]["rules"][0]["severity"] == "Info"
    assert (hub["resyncInterval"], hub["speaksFor"]) == ("10m", "Cluster")


def test_unknown_fields_are_pruned(checker: CrdChecker) -> None:
    odd = copy.deepcopy(POLICY)
    odd["spec"]["retention"]["portForward"] = True
    found = checker.check(odd)
    assert found.unknown == ("spec.retention.portForward",)
    assert "portForward" not in found.object["spec"]["retention"]


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda each: each["spec"]["names"]["kind"])
def test_every_field_is_explained(definition: dict[str, Any]) -> None:
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    bare = sorted(_undocumented(schema["properties"]["spec"], "spec"))
    # What the name alone says: a list's own items, and figures whose parent explains them.
    assert bare == [] or all(name.rsplit(".", 1)[1] in _PLAIN for name in bare), bare


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda each: each["spec"]["names"]["kind"])
def test_nothing_of_ours_can_block_a_cluster(definition: dict[str, Any]) -> None:
    spec = definition["spec"]
    assert spec["conversion"] == {"strategy": "None"}
    assert [version["storage"] for version in spec["versions"]] == [True]
    assert definition["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert {"radar", "radar-audit"} <= set(spec["names"]["categories"])
    assert spec["versions"][0]["subresources"] == {"status": {}}


_PLAIN = {"max", "matchLabels", "every", "to", "include", "exclude", "spec"}


def _rules(node: Any) -> Iterator[dict[str, str]]:
    if isinstance(node, dict):
        yield from node.get("x-kubernetes-validations", ())
        for value in node.values():
            yield from _rules(value)
    elif isinstance(node, list):
        for value in node:
            yield from _rules(value)


def _undocumented(schema: dict[str, Any], name: str) -> Iterator[str]:
    if "description" not in schema:
        yield f".{name}"
    for key, value in schema.get("properties", {}).items():
        yield from _undocumented(value, f"{name}.{key}")
    yield from (
        (each for each in _undocumented(schema["items"], name) if not each.endswith(f".{name}"))
        if "items" in schema
        else ()
    )
