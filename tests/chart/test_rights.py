"""Guards the Roles: they grant what the code uses, no more and no less."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from radar_audit_operator.permissions import PERMISSIONS

from tests.chart.rendering import Helm, Object, Rendered
from tests.cluster.tools import BUILD_SECONDS

pytestmark = pytest.mark.timeout(BUILD_SECONDS)
VALUES: dict[str, Any] = {"operator": {"policyNamespaces": ["team-a"], "radarNamespaces": ["two"]}}
OPERATOR, HUB = "radar-audit-operator", "radar-audit-hub"
Rights = set[tuple[str, str, str]]


def granted(rendered: Rendered, account: str) -> dict[str, Rights]:
    """Return group, resource and verb that an account may, by namespace ("": everywhere)."""
    roles = {_place(each): each for each in rendered.of("Role", "ClusterRole")}
    rights: dict[str, Rights] = defaultdict(set)
    for binding in rendered.of("RoleBinding", "ClusterRoleBinding"):
        (subject,) = binding["subjects"]
        assert (subject["kind"], subject["namespace"]) == ("ServiceAccount", "radar-audit")
        namespace = binding["metadata"].get("namespace", "")
        role = roles[binding["roleRef"]["kind"], namespace, binding["roleRef"]["name"]]
        if subject["name"] == account:
            rights[namespace] |= _rights(role)
    return dict(rights)


def _place(role: Object) -> tuple[str, str, str]:
    metadata = role["metadata"]
    return role["kind"], metadata.get("namespace", ""), metadata["name"]


def _rights(role: Object) -> Rights:
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(where: str) -> Rights:
    """Return what the operator's code says that it uses at a place."""
    return {
        (each.group, each.resource, verb)
        for each in PERMISSIONS
        if each.where == where
        for verb in each.verbs
    }


def test_the_operator_is_granted_what_its_code_uses_and_no_more(helm: Helm) -> None:
    rights = granted(helm.render(VALUES), OPERATOR)
    assert rights == {
        "": used("cluster"),
        "radar-audit": used("own namespace"),
        "team-a": used("policy namespaces"),
        "radar": used("radar namespaces"),
        "two": used("radar namespaces"),
    }
    assert all(rights.values())


def test_the_hub_may_ask_about_tokens_only_while_it_has_to(helm: Helm) -> None:
    review = ("authentication.k8s.io", "tokenreviews", "create")
    assert granted(helm.render("default"), HUB) == {"": {review}}
    without = {
        "hub": {"auth": {"kubernetesLogin": {"enabled": False}}},
        "collector": {"token": {"existingSecret": "t"}},
    }
    assert granted(helm.render(without), HUB) == {}


def test_nobody_else_may_anything(helm: Helm) -> None:
    for name in ("default", "all"):
        bound = {
            subject["name"]
            for binding in helm.render(name).of("RoleBinding", "ClusterRoleBinding")
            for subject in binding["subjects"]
        }
        assert {each.rsplit("-", 1)[1] for each in bound} == {"hub", "operator"}


def test_no_role_goes_unbound(helm: Helm) -> None:
    rendered = helm.render("all")
    roles = sorted(_place(each)[1:] for each in rendered.of("Role", "ClusterRole"))
    bound = sorted(
        (each["metadata"].get("namespace", ""), each["roleRef"]["name"])
        for each in rendered.of("RoleBinding", "ClusterRoleBinding")
    )
    assert roles == bound


def test_roles_are_left_out_where_somebody_else_makes_them(helm: Helm) -> None:
    rendered = helm.render({"operator": {"rbac": {"create": False}}})
    assert granted(rendered, OPERATOR) == {}
    assert "operator.rbac.create is false" in rendered.notes


def test_accounts_that_are_given_are_bound_and_not_made(helm: Helm) -> None:
    values = {
        "hub": {"serviceAccount": {"name": "mine"}},
        "operator": {"serviceAccount": {"name": "yours"}},
    }
    rendered = helm.render(values)
    assert [each["metadata"]["name"] for each in rendered.of("ServiceAccount")] == [
        "radar-audit-test"
    ]
    assert granted(rendered, "mine")
    assert granted(rendered, "yours").keys() == {"", "radar-audit", "radar"}
    accounts = {name: pod["serviceAccountName"] for name, pod in rendered.pods()}
    assert accounts[HUB] == "mine"
    assert accounts[OPERATOR] == "yours"
