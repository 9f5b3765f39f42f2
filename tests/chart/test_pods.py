"""Guards the pods: restricted Pod Security, no token that is not needed, probes, bounds, labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.chart.rendering import Helm, Object, set_names
from tests.cluster.tools import BUILD_SECONDS

pytestmark = pytest.mark.timeout(BUILD_SECONDS)
LOG_TAIL = "-collector-log"  # reads the node's disk, as root, which no restricted pod may
VOLUMES = {"configMap", "emptyDir", "projected", "secret", "persistentVolumeClaim"}
Pods = Iterator[tuple[str, Object]]


def pods(helm: Helm) -> Pods:
    """Yield the pods of all sets of values."""
    for name in set_names():
        for pod, spec in helm.render(name).pods():
            yield f"{name}: {pod}", spec


def sidecar(helm: Helm, name: str = "default") -> tuple[Object, list[Object]]:
    """Return the gateway's container in Radar's pod, and its volumes."""
    (found,) = (
        each
        for each in helm.render(name).of("ConfigMap")
        if each["metadata"]["name"].endswith("-radar-values")
    )
    values = yaml.safe_load(found["data"]["radar-values.yaml"])
    (container,) = values["initContainers"]
    return container, values["extraVolumes"]


def not_restricted(pod: Object, container: Object) -> list[str]:
    """Return what of the restricted Pod Security Standard a container breaks."""
    of_pod, own = pod.get("securityContext", {}), container.get("securityContext", {})

    def of(key: str) -> Any:
        return own.get(key, of_pod.get(key))

    broken = {
        "runAsNonRoot": of("runAsNonRoot") is not True,
        "runAsUser": of("runAsUser") in {None, 0},
        "seccompProfile": (of("seccompProfile") or {}).get("type") != "RuntimeDefault",
        "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is not False,
        "capabilities": own.get("capabilities") != {"drop": ["ALL"]},
        "readOnlyRootFilesystem": own.get("readOnlyRootFilesystem") is not True,
        "privileged": bool(own.get("privileged")),
        "host": any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")),
        "hostPort": any("hostPort" in port for port in container.get("ports", [])),
        "volumes": any(not (set(v) - {"name"}) <= VOLUMES for v in pod.get("volumes", [])),
    }
    return [name for name, is_broken in broken.items() if is_broken]


def test_each_container_is_restricted(helm: Helm) -> None:
    seen = 0
    for name, pod in pods(helm):
        if name.endswith(LOG_TAIL):
            continue
        for container in pod["containers"]:
            seen += 1
            assert not_restricted(pod, container) == [], name
    assert seen > 20


def test_the_sidecar_is_restricted_whatever_radars_pod_says(helm: Helm) -> None:
    container, volumes = sidecar(helm)
    assert not_restricted({"volumes": volumes}, container) == []


def test_the_log_tail_breaks_no_more_than_it_needs(helm: Helm) -> None:
    (pod,) = (spec for name, spec in helm.render("all").pods() if name.endswith(LOG_TAIL))
    assert not_restricted(pod, pod["containers"][0]) == ["volumes"]
    as_root = helm.render({"collector": {"logTail": {"enabled": True}}})
    (pod,) = (spec for name, spec in as_root.pods() if name.endswith(LOG_TAIL))
    assert not_restricted(pod, pod["containers"][0]) == ["runAsNonRoot", "runAsUser", "volumes"]
    (log,) = (mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "log")
    assert log["readOnly"] is True


def test_a_token_is_mounted_only_where_the_api_server_is_asked(helm: Helm) -> None:
    for name, pod in pods(helm):
        needs = name.endswith(("-operator", "-hub"))
        assert pod["automountServiceAccountToken"] is needs, name
    for name in set_names():
        for account in helm.render(name).of("ServiceAccount"):
            assert account["automountServiceAccountToken"] is False, account["metadata"]["name"]
    plain = {
        "hub": {"auth": {"kubernetesLogin": {"enabled": False}}},
        "collector": {"token": {"existingSecret": "t"}},
    }
    hub = helm.render(plain).one("Deployment", "radar-audit-hub")
    assert hub["spec"]["template"]["spec"]["automountServiceAccountToken"] is False


def test_each_container_has_probes_and_bounds(helm: Helm) -> None:
    for name, pod in pods(helm):
        for container in pod["containers"]:
            assert container["resources"]["limits"]["memory"], name
            assert container["resources"]["requests"]["memory"], name
            assert container["resources"]["requests"]["cpu"], name
            assert "cpu" not in container["resources"]["limits"], name
            if not name.endswith("-test"):
                ports = {port["name"] for port in container["ports"]}
                for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                    assert container[probe]["httpGet"]["port"] in ports, name


def test_the_sidecar_holds_radar_back_and_never_takes_it_out_of_service(helm: Helm) -> None:
    container, _ = sidecar(helm)
    assert container["restartPolicy"] == "Always"
    assert container["startupProbe"]["httpGet"]["path"] == "/livez"
    assert "readinessProbe" not in container


def test_mounts_and_volumes_belong_together(helm: Helm) -> None:
    for name, pod in pods(helm):
        volumes = [each["name"] for each in pod.get("volumes", [])]
        mounts = [each["name"] for each in pod["containers"][0]["volumeMounts"]]
        assert sorted(volumes) == sorted(mounts), name


def test_selectors_find_their_pods_and_no_others(helm: Helm) -> None:
    rendered = helm.render("all")
    labels = {
        each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"]
        for each in rendered.of("Deployment", "DaemonSet")
    }
    for each in rendered.of("Service", "PodDisruptionBudget", "Deployment", "DaemonSet"):
        selector = each["spec"]["selector"]
        wanted = selector.get("matchLabels", selector)
        found = [name for name, have in labels.items() if wanted.items() <= have.items()]
        assert found == [each["metadata"]["name"]]
    ports = {
        port["name"]
        for each in rendered.of("Deployment")
        for port in each["spec"]["template"]["spec"]["containers"][0]["ports"]
    }
    for service in rendered.of("Service"):
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


def test_every_object_carries_the_standard_labels(helm: Helm) -> None:
    wanted = {f"app.kubernetes.io/{key}" for key in ("name", "instance", "component", "part-of")}
    wanted |= {"app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart", "team"}
    for each in helm.render("all").objects:
        if not each["metadata"]["name"].endswith("more"):  # the user's own
            assert wanted <= each["metadata"]["labels"].keys(), each["metadata"]["name"]


class _Strict(yaml.CSafeLoader):
    """Refuses a mapping that has a key twice, as strict readers of what Helm renders do."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        found = super().construct_mapping(node, deep)
        assert len(found) == len(node.value), node.start_mark
        return found


def test_labels_of_several_values_are_told_once_and_the_narrower_wins(helm: Helm) -> None:
    own = {"team": "a", "release": "b"}
    narrow = {"enabled": True, "labels": {"release": "c", "app.kubernetes.io/part-of": "d"}}
    text = helm.text(
        {
            "commonLabels": own,
            "hub": {"podLabels": {"team": "e"}},
            "metrics": {
                "renderMode": "alwaysRender",
                **dict.fromkeys(("serviceMonitor", "podMonitor", "dashboards"), narrow),
                "prometheusRule": narrow,
            },
        }
    )
    found = [each for each in yaml.load_all(text, Loader=_Strict) if each]
    labels = {(each["kind"], each["metadata"]["name"]): each for each in found}
    hub = labels["Deployment", "radar-audit-hub"]
    assert hub["metadata"]["labels"].items() >= own.items()
    assert hub["spec"]["template"]["metadata"]["labels"].items() >= {"team": "e"}.items()
    monitor = labels["ServiceMonitor", "radar-audit-hub"]["metadata"]["labels"]
    assert monitor.items() >= {"team": "a", **narrow["labels"]}.items()  # type: ignore[dict-item]


def test_two_hubs_never_have_one_file_open(helm: Helm) -> None:
    spec = helm.render("default").one("Deployment", "radar-audit-hub")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    spec = helm.render("two-replicas-postgresql").one("Deployment", "radar-audit-hub")["spec"]
    assert (spec["replicas"], spec["strategy"]["type"]) == (2, "RollingUpdate")
    assert not helm.render("two-replicas-postgresql").of("PersistentVolumeClaim")


def test_the_log_outlives_the_release_unless_asked(helm: Helm) -> None:
    (claim,) = helm.render("default").of("PersistentVolumeClaim")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    values = {"hub": {"database": {"persistence": {"keep": False}}}}
    (claim,) = helm.render(values).of("PersistentVolumeClaim")
    assert "annotations" not in claim["metadata"]


def test_no_secret_of_the_values_is_seen_outside_of_a_secret(helm: Helm) -> None:
    rendered = helm.render("inline-secrets")
    secrets = {each["metadata"]["name"]: each["stringData"] for each in rendered.of("Secret")}
    assert secrets["radar-audit-hub"].keys() == {
        "database-url",
        "secrets-key",
        "oidc-client-secret",
        "smtp-password",
    }
    assert secrets["radar-audit-collector"] == {"token": "hunter5"}
    others = [each for each in rendered.objects if each["kind"] != "Secret"]
    assert "hunter" not in yaml.safe_dump(others)
    assert "hunter" not in rendered.notes


def test_a_policy_lets_in_who_needs_it_and_no_other(helm: Helm) -> None:
    values = {"networkPolicy": {"enabled": True}}
    policies = {
        each["metadata"]["name"]: each["spec"] for each in helm.render(values).of("NetworkPolicy")
    }
    assert policies.keys() == {"radar-audit-hub", "radar-audit-operator"}
    metrics, api = policies["radar-audit-hub"]["ingress"]
    assert metrics == {"ports": [{"port": "probes"}]}
    assert api["ports"] == [{"port": "http"}]
    ours, radars = api["from"]
    assert ours["podSelector"]["matchLabels"]["app.kubernetes.io/part-of"] == "radar-audit"
    assert radars == {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "radar"}}
    }
    assert policies["radar-audit-operator"]["ingress"] == [metrics]
