"""Guards what helm prints after an install: next commands that work, and one line a doubt."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from radar_audit_cli.main import cli as CLI  # noqa: N812 - two groups of commands side by side
from radar_audit_hub.main import main as HUB  # noqa: N812

from tests.chart.rendering import Helm, values_of
from tests.cluster.tools import BUILD_SECONDS
from tests.support.crd_checker import CrdChecker, running_checker

pytestmark = pytest.mark.timeout(BUILD_SECONDS)
_COMMAND = re.compile(r"(?:-- |^  )(radar-audit[a-z-]*(?: [a-z]+[a-z-]*)+)", re.MULTILINE)
QUIET: dict[str, Any] = {
    "hub": {
        "auth": {"oidc": {"issuer": "https://id.example.com", "clientId": "a"}},
        "smtp": {"host": "mail.example.com"},
        "ingress": {"enabled": True, "host": "audit.acme.org", "tlsSecret": "tls"},
        "bootstrap": {"ownerEmail": "ann@acme.org", "orgId": "org_acme"},
        "trustedProxies": ["10.0.0.0/8"],
    }
}
ELSEWHERE = {"enabled": False, "url": "http://audit.acme.org"}
POSTGRESQL = {"type": "postgresql", "postgresql": {"existingSecret": "db"}}
TOKEN = {"token": {"existingSecret": "t"}}
WEBHOOK = {
    "enabled": True,
    "tls": {"existingSecret": "a"},
    "token": {"value": "b"},
}
# What is chosen beside QUIET, and how its line begins.
DOUBTS: list[tuple[dict[str, Any], str]] = [
    ({"hub": {"auth": {"oidc": {"issuer": ""}}}}, "hub.auth.oidc.issuer is empty"),
    ({"hub": {"smtp": {"host": ""}}}, "hub.smtp.host is empty"),
    ({"hub": {"ingress": {"enabled": False}}}, "hub.publicUrl is on loopback"),
    ({"hub": {"bootstrap": {"ownerEmail": "owner@example.com"}}}, "hub.bootstrap.ownerEmail is"),
    ({"hub": {"bootstrap": {"enabled": False}}}, "hub.bootstrap.enabled is false"),
    ({"hub": {"bootstrap": {"orgId": "org_main"}}}, "hub.bootstrap.orgId is org_main"),
    ({"hub": {"trustedProxies": []}}, "hub.trustedProxies is empty"),
    ({"hub": {"database": {"persistence": {"enabled": False}}}}, "hub.database.persistence.ena"),
    ({"hub": {"database": {"persistence": {"keep": False}}}}, "hub.database.persistence.keep"),
    ({"hub": {"database": POSTGRESQL}}, "hub.secretsKey is empty"),
    ({"hub": {"secretsKey": {"value": "a"}}}, "Secrets stand in the values (secrets-key)"),
    (
        {"hub": {"publicUrl": "https://audit.acme.org", "ingress": {"tlsSecret": ""}}},
        "hub.ingress.tlsSecret is empty",
    ),
    (
        {"hub": {"auth": {"kubernetesLogin": {"enabled": False}}}, "collector": TOKEN},
        "hub.auth.kubernetesLogin.enabled is false",
    ),
    ({"collector": TOKEN}, "collector.token.existingSecret is set"),
    ({"hub": ELSEWHERE, "collector": TOKEN}, "hub.url is http"),
    ({"collector": {"injection": {"mode": "none"}}}, "collector.injection.mode is none"),
    ({"collector": {"injection": {"mode": "admissionPolicy"}}}, "collector.injection.failurePo"),
    ({"collector": {"logTail": {"enabled": True}}}, "collector.logTail.enabled is true"),
    ({"collector": {"webhook": WEBHOOK}}, "collector.webhook.token.value stands in the values"),
    ({"operator": {"enabled": False}}, "operator.enabled is false"),
    ({"operator": {"rbac": {"create": False}}}, "operator.rbac.create is false"),
    ({"crds": {"enabled": False}}, "crds.enabled is false"),
    ({"crds": {"keep": False}}, "crds.keep is false"),
]


@pytest.fixture(scope="module")
def checker() -> Iterator[CrdChecker]:
    with running_checker() as running:
        yield running


def warnings(notes: str) -> list[str]:
    return re.findall(r"^WARNING: (.*)$", notes, re.MULTILINE)


def beside(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in change.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = beside(merged[key], value) if both else value
    return merged


def test_good_values_raise_no_doubt(helm: Helm) -> None:
    assert warnings(helm.notes(QUIET)) == []


@pytest.mark.parametrize(("change", "words"), DOUBTS, ids=[words for _, words in DOUBTS])
def test_each_degraded_choice_has_its_one_line(
    helm: Helm, change: dict[str, Any], words: str
) -> None:
    (found,) = warnings(helm.notes(beside(QUIET, change)))
    assert found.startswith(words)


def test_every_line_has_a_case() -> None:
    source = (Path(__file__).parents[2] / "charts/radar-audit/templates/_warnings.tpl").read_text()
    lines = re.findall(r'append \$warnings \(?(?:printf )?"([^"]+)"', source)
    told = [line for line in lines if not any(line.startswith(w[:20]) for _, w in DOUBTS)]
    # Only seen where a cluster can be asked.
    (only,) = told
    assert only.startswith("The namespace %s does not exist")


PLAIN: dict[str, Any] = {
    "hub": {"auth": {"kubernetesLogin": {"enabled": False}}},
    "collector": TOKEN,
}


@pytest.mark.parametrize("values", [{}, values_of("all"), PLAIN], ids=["default", "all", "plain"])
def test_the_objects_to_apply_are_ones_that_the_api_server_takes(
    helm: Helm, checker: CrdChecker, values: dict[str, Any]
) -> None:
    notes = helm.notes(values)
    (text,) = re.findall(r"kubectl apply -f - <<'END'\n(.*?)\nEND", notes, re.DOTALL)
    hub, policy = yaml.safe_load_all(text)
    for each in (hub, policy):
        verdict = checker.check(each)
        assert (verdict.unknown, verdict.errors) == ((), ())
    assert policy["spec"]["hubRef"]["name"] == hub["metadata"]["name"]
    bootstrap = {"orgId": "org_main", "clusterId": "cl_main"}
    bootstrap |= values.get("hub", {}).get("bootstrap", {})
    assert hub["spec"]["organization"] == bootstrap["orgId"]
    assert hub["spec"]["clusterId"] == bootstrap["clusterId"]
    # The Secrets that the objects name are those that are made before.
    secrets = re.findall(r"create secret generic (\S+) --from-\w+=(\w+)=", notes)
    (destination,) = policy["spec"]["notifications"]["destinations"]
    wanted = [destination["slack"]["urlSecretRef"], hub["spec"].get("tokenSecretRef")]
    assert set(secrets) == {tuple(each.values()) for each in wanted if each is not None}
    assert (wanted[1] is not None) == (values == PLAIN)


@pytest.mark.parametrize(
    "values", [PLAIN, {"hub": ELSEWHERE, "collector": TOKEN}], ids=["plain", "elsewhere"]
)
def test_what_all_parts_need_is_there_before_radar_is_changed(
    helm: Helm, values: dict[str, Any]
) -> None:
    notes = helm.notes(values)
    before, _, _ = notes.partition("Put the gateway into the pod of Radar")
    assert "export RADAR_AUDIT_URL=" in before
    made = re.findall(r"kubectl -n (\S+) create secret generic t --from-file=token=", before)
    assert made == ["radar", "radar-audit"]
    assert notes.count("RADAR_AUDIT_URL=") == 1
    # The one token that there is: a second one would end the collectors'.
    assert 'tokenSecretRef: {name: t, key: "token"}' in notes


def test_where_no_organization_is_made_the_command_for_it_is_first(helm: Helm) -> None:
    notes = helm.notes({"hub": {"bootstrap": {"enabled": False}}})
    assert "radar-audit-hub init" in notes.partition("Sign in with a browser")[0]


def test_every_command_that_is_named_exists(helm: Helm) -> None:
    named = set()
    for name in ("default", "all"):
        text = helm.render(name).notes.replace("\\\n", " ")
        named |= set(_COMMAND.findall(text))
    assert len(named) >= 5
    for command in named:
        program, *words = command.split()
        if program == "radar-audit-collector":
            assert words[0] == "radar-values"  # its flags are checked by test_radar_values
            continue
        group: click.Command | None = HUB if program == "radar-audit-hub" else CLI
        for word in words:
            if isinstance(group, click.Group):
                group = group.get_command(click.Context(group), word)
        assert group is not None, command


def test_the_pods_that_commands_are_typed_into_exist(helm: Helm) -> None:
    rendered = helm.render("default")
    deployments = {each["metadata"]["name"] for each in rendered.of("Deployment")}
    services = {each["metadata"]["name"] for each in rendered.of("Service")}
    assert set(re.findall(r"deploy/(\S+)", rendered.notes)) == {"radar-audit-hub"} <= deployments
    assert set(re.findall(r"svc/(\S+)", rendered.notes)) == {"radar-audit-hub"} <= services
