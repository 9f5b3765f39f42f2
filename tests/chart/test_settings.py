"""Guards the variables: each one that the chart sets is a setting, and the parts take them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from radar_audit_collector.settings import CollectorSettings
from radar_audit_collector.settings import load_settings as load_collector
from radar_audit_hub.settings import HubSettings
from radar_audit_hub.settings import load_settings as load_hub
from radar_audit_operator.settings import OperatorSettings
from radar_audit_operator.settings import load_settings as load_operator
from radar_audit_runtime.settings import describe

from tests.chart.rendering import Helm, Object, set_names
from tests.cluster.tools import BUILD_SECONDS

pytestmark = pytest.mark.timeout(BUILD_SECONDS)
PARTS: dict[str, tuple[type, Callable[..., Any]]] = {
    "RADAR_AUDIT_HUB_": (HubSettings, load_hub),
    "RADAR_AUDIT_COLLECTOR_": (CollectorSettings, load_collector),
    "RADAR_AUDIT_OPERATOR_": (OperatorSettings, load_operator),
}
KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
SECRETS = {"DATABASE_URL_FILE": "postgresql://hub@database/hub", "SECRETS_KEY_FILE": KEY}


def containers(helm: Helm, name: str) -> Iterator[Object]:
    """Yield every container of ours: of our pods, and the sidecar in Radar's."""
    rendered = helm.render(name)
    for pod, spec in rendered.pods():
        if not pod.endswith("-test"):
            yield from spec["containers"]
    for each in rendered.of("ConfigMap"):
        if "radar-values.yaml" in each.get("data", {}):
            yield from yaml.safe_load(each["data"]["radar-values.yaml"])["initContainers"]


def environment(container: Object) -> dict[str, str]:
    """Return a container's variables; what the node would fill in is its name."""
    return {each["name"]: each.get("value", "node-1") for each in container["env"]}


def prefix_of(variables: dict[str, str]) -> str:
    (found,) = (prefix for prefix in PARTS if any(name.startswith(prefix) for name in variables))
    return found


@pytest.mark.parametrize("name", set_names())
def test_each_variable_is_a_setting(helm: Helm, name: str) -> None:
    seen = 0
    for container in containers(helm, name):
        variables = environment(container)
        assert len(variables) == len(container["env"])
        prefix = prefix_of(variables)
        rows = describe(PARTS[prefix][0], prefix)
        known = {row.variable for row in rows}
        known |= {f"{row.variable}_FILE" for row in rows if row.secret}
        assert not variables.keys() - known
        seen += len(variables)
    assert seen > 10


@pytest.mark.parametrize("name", set_names())
def test_each_part_takes_what_it_is_given(helm: Helm, name: str, tmp_path: Path) -> None:
    for container in containers(helm, name):
        variables = environment(container)
        prefix = prefix_of(variables)
        for variable in variables:
            if variable.endswith("_FILE") and not variable.endswith(("CA_FILE", "_CERT_FILE")):
                text = SECRETS.get(variable.removeprefix(prefix), "rhc_a_secret")
                file = tmp_path / variable
                file.write_text(text)
                if not variable.endswith("KEY_FILE") or "SECRETS" in variable:
                    variables[variable] = str(file)
        PARTS[prefix][1](variables)


def test_secrets_reach_the_hub_as_files(helm: Helm) -> None:
    hub = helm.render("existing-secrets").one("Deployment", "radar-audit-hub")
    pod = hub["spec"]["template"]["spec"]
    (volume,) = (each for each in pod["volumes"] if each["name"] == "secrets")
    sources = {
        source["secret"]["items"][0]["path"]: (
            source["secret"]["name"],
            source["secret"]["items"][0]["key"],
        )
        for source in volume["projected"]["sources"]
    }
    assert sources == {
        "database-url": ("database", "dsn"),
        "secrets-key": ("sealing", "key"),
        "oidc-client-secret": ("oidc", "client-secret"),
        "smtp-password": ("smtp", "password"),
    }
    (mount,) = (each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "secrets")
    variables = environment(pod["containers"][0])
    files = {value for name, value in variables.items() if name.endswith("_FILE")}
    assert files == {f"{mount['mountPath']}/{name}" for name in sources}


def test_the_hub_lets_in_the_accounts_that_the_chart_makes(helm: Helm) -> None:
    hub = helm.render("all").one("Deployment", "radar-audit-hub")
    variables = environment(hub["spec"]["template"]["spec"]["containers"][0])
    made = {each["metadata"]["name"] for each in helm.render("all").of("ServiceAccount")}
    collectors = variables["RADAR_AUDIT_HUB_KUBERNETES_COLLECTORS"].split(",")
    operators = variables["RADAR_AUDIT_HUB_KUBERNETES_OPERATORS"].split(",")
    assert collectors[0] == "tools/radar-prod"
    assert collectors[-1] == "tools/recorder"
    own = {each.partition("/")[2] for each in [*collectors, *operators] if "radar-audit/" in each}
    assert own == made - {"radar-audit-hub"}
    assert operators == ["radar-audit/radar-audit-operator", "tools/policies"]


def test_tokens_are_made_for_the_audience_that_the_hub_asks_for(helm: Helm) -> None:
    rendered = helm.render("all")
    hub = rendered.one("Deployment", "radar-audit-hub")["spec"]["template"]["spec"]
    audience = environment(hub["containers"][0])["RADAR_AUDIT_HUB_KUBERNETES_AUDIENCE"]
    audiences = {
        source["serviceAccountToken"]["audience"]
        for _, pod in rendered.pods()
        for volume in pod["volumes"]
        for source in volume.get("projected", {}).get("sources", [])
        if "serviceAccountToken" in source
    }
    assert audiences == {audience} == {"the-hub"}


def test_the_operator_has_a_token_for_the_hub_of_its_release_alone(helm: Helm) -> None:
    variable = "RADAR_AUDIT_OPERATOR_HUB_TOKEN_FILE"
    for name, has_token in {"default": True, "second-cluster": False}.items():
        operator = helm.render(name).one("Deployment", "radar-audit-operator")
        pod = operator["spec"]["template"]["spec"]
        assert (variable in environment(pod["containers"][0])) is has_token
        assert ("hub" in {volume["name"] for volume in pod["volumes"]}) is has_token
