"""Guards the values for Radar's chart: our chart and our program give the same ones."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import yaml
from radar_audit_collector.main import main

from tests.chart.rendering import CHART, Helm, values_of
from tests.cluster.tools import BUILD_SECONDS

pytestmark = pytest.mark.timeout(BUILD_SECONDS)
NAME = "radar-audit-radar-values"
CASES: list[tuple[str, dict[str, Any]]] = [
    ("default", {}),
    (
        "hub-elsewhere",
        {
            "hub": {"enabled": False, "url": "https://audit.example.com"},
            "collector": {"token": {"existingSecret": "theirs", "existingSecretKey": "rhc"}},
        },
    ),
    (
        "all-that-differs",
        {
            "fullnameOverride": "log",
            "hub": {
                "service": {"port": 80},
                "auth": {"kubernetesLogin": {"audience": "the-hub"}},
            },
            "collector": {
                "image": {"registry": "mirror.example", "digest": f"sha256:{'0' * 64}"},
                "radar": {"namespace": "tools", "serviceAccountName": "radar-prod"},
                "gateway": {
                    "failurePolicy": "required",
                    "resources": {
                        "requests": {"cpu": "50m", "memory": "96Mi", "ephemeral-storage": "1Gi"},
                        "limits": {"cpu": "1500m", "memory": "1.5Gi"},
                    },
                },
                "identity": "any",
                "logLevel": "debug",
            },
        },
    ),
    (
        "names-and-images",
        {
            "global": {"imageRegistry": "registry.example.com"},
            "nameOverride": "audit",
            "hub": {"url": "https://audit.example.com"},
            "collector": {
                "image": {"repository": "acme/collector", "tag": "1.2"},
                "identity": "impersonated",
                "gateway": {"resources": {"limits": None}},
            },
        },
    ),
]
TEMPLATES = "\n".join(
    file.read_text(encoding="utf-8") for file in sorted(CHART.glob("templates/**/*.tpl"))
)


def from_chart(helm: Helm, values: dict[str, Any]) -> Any:
    """Return what the chart renders into its ConfigMap, parsed."""
    return yaml.safe_load(helm.render(values).one("ConfigMap", NAME)["data"]["radar-values.yaml"])


def flags(notes: str) -> list[str]:
    """Return the flags that the notes print, but for those that are not of the block."""
    (command,) = re.findall(r"radar-audit-collector radar-values (.*?) > ", notes, re.DOTALL)
    words = shlex.split(str(command).replace("\\\n", " "))
    assert words[:3] == ["--merge", "before.yaml", "--pod-exec"]
    return words[3:]


@pytest.mark.parametrize(("name", "values"), CASES, ids=[name for name, _ in CASES])
def test_the_program_that_the_notes_name_prints_what_the_chart_renders(
    helm: Helm, name: str, values: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    rendered = helm.render(values)
    found = [each for each in rendered.of("ConfigMap") if "radar-values.yaml" in each["data"]]
    (config,) = found
    assert main(["radar-values", *flags(rendered.notes)]) == 0
    printed = capsys.readouterr().out
    assert yaml.safe_load(config["data"]["radar-values.yaml"]) == yaml.safe_load(printed)


def values_read(template: str) -> set[str]:
    """Return the paths of the values that a named template reads, itself or by what it includes."""
    (body,) = re.findall(
        rf'define "{re.escape(template)}" -}}}}(.*?)(?=\{{\{{-? define |\Z)', TEMPLATES, re.DOTALL
    )
    found = set(re.findall(r"\.Values\.([A-Za-z.]*[A-Za-z])", body))
    found |= {f"global.{name}" for name in re.findall(r"\.Values\.global\)\.(\w+)", body)}
    for name in set(re.findall(r'include "([^"]+)"', body)):
        found |= values_read(name)
    return found - {"global"}


def has(values: Any, path: str) -> bool:
    for key in path.split("."):
        if not isinstance(values, dict) or key not in values:
            return False
        values = values[key]
    return True


def test_each_value_that_the_block_reads_differs_in_a_case() -> None:
    """So that one which the program has no option for cannot be forgotten by the notes."""
    image = {f"collector.image.{part}" for part in ("registry", "repository", "tag", "digest")}
    read = values_read("radar-audit.radarValues") | image
    assert len(read) > 15
    assert not {path for path in read if not any(has(values, path) for _, values in CASES)}


def test_settings_of_the_values_reach_the_gateway(helm: Helm) -> None:
    values = {"collector": {"identity": "any", "logLevel": "debug"}}
    (sidecar,) = from_chart(helm, values)["initContainers"]
    variables = {each["name"]: each["value"] for each in sidecar["env"]}
    assert variables["RADAR_AUDIT_COLLECTOR_IDENTITY"] == "any"
    assert variables["RADAR_AUDIT_COLLECTOR_LOG_LEVEL"] == "debug"


def test_nothing_is_a_template_as_radars_chart_passes_it_on_as_it_is(helm: Helm) -> None:
    assert "{{" not in helm.render({}).one("ConfigMap", NAME)["data"]["radar-values.yaml"]


def test_there_is_no_config_map_where_it_is_not_wanted(helm: Helm) -> None:
    for injection in ({"mode": "none"}, {"radarValuesConfigMap": False}):
        rendered = helm.render({"collector": {"injection": injection}})
        names = [each["metadata"]["name"] for each in rendered.of("ConfigMap")]
        assert NAME not in names


class TestAdmissionPolicy:
    """The same block, as the API server puts it into a pod."""

    def test_it_acts_on_labelled_pods_of_radars_namespace_alone(self, helm: Helm) -> None:
        policy = helm.render("all").of("MutatingAdmissionPolicy")[0]["spec"]
        constraints = policy["matchConstraints"]
        assert constraints["namespaceSelector"]["matchLabels"] == {
            "kubernetes.io/metadata.name": "tools"
        }
        assert constraints["objectSelector"]["matchLabels"] == {"acme.example/audit": "true"}
        (rule,) = constraints["resourceRules"]
        assert (rule["operations"], rule["resources"]) == (["CREATE"], ["pods"])
        (binding,) = helm.render("all").of("MutatingAdmissionPolicyBinding")
        assert binding["spec"]["policyName"] == binding["metadata"]["name"]

    def test_it_holds_the_block_that_the_values_hold(self, helm: Helm) -> None:
        policy = helm.render("admission-policy").of("MutatingAdmissionPolicy")[0]["spec"]
        merged, patched = policy["mutations"]
        text = merged["applyConfiguration"]["expression"] + patched["jsonPatch"]["expression"]
        block = from_chart(helm, {})
        for name in ("env", "extraVolumeMounts", "extraVolumes", "initContainers"):
            assert not [each for each in _texts(block[name]) if f'"{each}"' not in text]
        assert text.count('path: "/spec/volumes/-"') == len(block["extraVolumes"])

    def test_it_replaces_no_list_as_a_whole_by_merging(self, helm: Helm) -> None:
        """The API server refuses an apply configuration with args, sources or capabilities."""
        policy = helm.render("admission-policy").of("MutatingAdmissionPolicy")[0]["spec"]
        merged = policy["mutations"][0]["applyConfiguration"]["expression"]
        assert set(re.findall(r"(\w+): \[", merged)) == {"containers", "env", "volumeMounts"}

    def test_the_chosen_failure_policy_is_used(self, helm: Helm) -> None:
        policy = helm.render("admission-policy").of("MutatingAdmissionPolicy")[0]["spec"]
        assert policy["failurePolicy"] == "Fail"
        assert values_of("admission-policy")["collector"]["injection"]["failurePolicy"] == "Fail"


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for each in value.values() for text in _texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    return [value] if isinstance(value, str) else []
