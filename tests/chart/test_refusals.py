"""Guards the values: a wrong one is refused, and helm's message names the key and what is right."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart.rendering import Helm, values_of
from tests.cluster.tools import BUILD_SECONDS

pytestmark = pytest.mark.timeout(BUILD_SECONDS)
Values = dict[str, Any]


def at(path: str, value: Any) -> Values:
    """Return values with one key, as `hub.replicaCount`."""
    for part in reversed(path.split(".")):
        value = {part: value}
    return dict(value)


# The key, a wrong value, and the words that helm must say.
WRONG: list[tuple[str, Any, str]] = [
    ("hubb", {}, "additional properties 'hubb' not allowed"),
    ("hub.replicas", 2, "at '/hub': additional properties 'replicas' not allowed"),
    ("hub.replicaCount", "2", "at '/hub/replicaCount': got string, want integer"),
    ("hub.replicaCount", 0, "at '/hub/replicaCount': minimum: got 0, want 1"),
    ("hub.enabled", "yes", "at '/hub/enabled': got string, want boolean"),
    ("hub.url", "audit.example.com", "at '/hub/url'"),
    ("hub.url", "https://me:pw@audit.example.com", "at '/hub/url'"),
    ("hub.publicUrl", "http://audit.example.com", "at '/hub/publicUrl'"),
    ("hub.trustedProxies", "10.0.0.0/8", "at '/hub/trustedProxies': got string, want array"),
    ("hub.trustedProxies", ["proxy.example"], "at '/hub/trustedProxies/0'"),
    ("hub.logLevel", "verbose", "at '/hub/logLevel': value must be one of 'debug'"),
    ("hub.image.tag", 1, "at '/hub/image/tag': got number, want string"),
    ("hub.image.digest", "abc", "at '/hub/image/digest'"),
    ("hub.image.pullPolicy", "always", "at '/hub/image/pullPolicy': value must be one of 'Always'"),
    ("hub.image.name", "hub", "at '/hub/image': additional properties 'name' not allowed"),
    ("hub.bootstrap.orgId", "acme", "at '/hub/bootstrap/orgId'"),
    ("hub.bootstrap.clusterId", "org_1", "at '/hub/bootstrap/clusterId'"),
    ("hub.bootstrap.ownerEmail", "ann", "at '/hub/bootstrap/ownerEmail'"),
    ("hub.bootstrap.plan", "gold", "at '/hub/bootstrap/plan': value must be one of 'free'"),
    ("hub.bootstrap.orgName", "", "at '/hub/bootstrap/orgName': minLength: got 0, want 1"),
    ("hub.database.type", "mysql", "at '/hub/database/type': value must be one of 'sqlite'"),
    ("hub.database.poolSize", 1, "at '/hub/database/poolSize': minimum: got 1, want 3"),
    ("hub.database.persistence.size", "10 GB", "at '/hub/database/persistence/size'"),
    ("hub.database.persistence.accessMode", "RWO", "at '/hub/database/persistence/accessMode'"),
    ("hub.database.postgresql.url", "mysql://db", "at '/hub/database/postgresql/url'"),
    ("hub.database.postgresql.host", "db", "additional properties 'host' not allowed"),
    ("hub.secretsKey", "abc", "at '/hub/secretsKey': got string, want object"),
    ("hub.secretsKey.existingSecret", "My Secret", "at '/hub/secretsKey/existingSecret'"),
    ("hub.auth.kubernetesLogin.audience", "", "at '/hub/auth/kubernetesLogin/audience'"),
    ("hub.auth.kubernetesLogin.collectors", ["radar"], "/hub/auth/kubernetesLogin/collectors/0"),
    ("hub.auth.oidc.issuer", "http://id.example.com", "at '/hub/auth/oidc/issuer'"),
    ("hub.auth.saml", {}, "at '/hub/auth': additional properties 'saml' not allowed"),
    ("hub.smtp.port", 70000, "at '/hub/smtp/port': maximum: got 70,000, want 65,535"),
    ("hub.smtp.security", "ssl", "at '/hub/smtp/security': value must be one of 'starttls'"),
    ("hub.smtp.existingSecretKey", "a key", "at '/hub/smtp/existingSecretKey'"),
    ("hub.service.type", "ExternalName", "at '/hub/service/type'"),
    ("hub.ingress.host", "https://audit.example.com", "at '/hub/ingress/host'"),
    ("hub.ingress.hosts", [], "at '/hub/ingress': additional properties 'hosts' not allowed"),
    ("hub.podDisruptionBudget.maxUnavailable", "half", "/hub/podDisruptionBudget/maxUnavailable"),
    ("hub.resources.limits.memory", "lots", "at '/hub/resources/limits/memory'"),
    ("hub.resources.memory", "1Gi", "at '/hub/resources': additional properties 'memory'"),
    ("hub.podLabels", {"a": 1}, "at '/hub/podLabels/a': got number, want string"),
    ("hub.tolerations", {}, "at '/hub/tolerations': got object, want array"),
    ("hub.extraEnv", {"A": "b"}, "at '/hub/extraEnv': got object, want array"),
    ("hub.extraEnv", [{"name": "A", "value": 1}], "at '/hub/extraEnv/0/value': got number"),
    ("hub.extraEnv", [{"value": "b"}], "at '/hub/extraEnv/0': missing property 'name'"),
    ("collector.identity", "anybody", "at '/collector/identity': value must be one of 'cloud'"),
    ("collector.radar.namespace", "Radar", "at '/collector/radar/namespace'"),
    ("collector.injection.mode", "webhook", "at '/collector/injection/mode': value must be one"),
    ("collector.injection.podLabel", "a b", "at '/collector/injection/podLabel'"),
    ("collector.gateway.failurePolicy", "closed", "at '/collector/gateway/failurePolicy'"),
    ("collector.gateway.port", 1, "at '/collector/gateway': additional properties 'port'"),
    ("collector.webhook.spoolBytes", 1024, "at '/collector/webhook/spoolBytes': minimum"),
    ("collector.webhook.tls.certManager", {"issuerRef": {}}, "missing property 'name'"),
    ("collector.webhook.service.clusterIP", "audit", "at '/collector/webhook/service/clusterIP'"),
    ("collector.logTail.path", "audit.log", "at '/collector/logTail/path'"),
    ("collector.logTail.runAsUser", "root", "at '/collector/logTail/runAsUser': got string"),
    ("operator.watchNamespaces", [], "at '/operator': additional properties 'watchNamespaces'"),
    ("operator.policyNamespaces", "team-a", "at '/operator/policyNamespaces': got string"),
    ("operator.rbac.create", "no", "at '/operator/rbac/create': got string, want boolean"),
    ("crds.install", True, "at '/crds': additional properties 'install' not allowed"),
    ("metrics.renderMode", "always", "at '/metrics/renderMode': value must be one of 'skipIf"),
    ("metrics.serviceMonitor.interval", "often", "at '/metrics/serviceMonitor/interval'"),
    ("networkPolicy.extraIngress", {}, "at '/networkPolicy/extraIngress': got object, want array"),
    ("extraObjects", {}, "at '/extraObjects': got object, want array"),
    ("tests", False, "at '/tests': got boolean, want object"),
    ("global", "x", "at '/global': got string, want object"),
    ("imagePullSecrets", ["registry"], "at '/imagePullSecrets/0': got string, want object"),
]  # fmt: skip


def test_the_table_is_long() -> None:
    assert len(WRONG) >= 60


def test_each_wrong_value_is_refused_by_its_key(helm: Helm) -> None:
    """All at once in groups that do not hide one another: each render costs its time."""
    for group in _groups():
        values: Values = {}
        for path, value, _ in group:
            _merge(values, at(path, value))
        said = helm.refusal(values)
        assert not [(path, words) for path, _, words in group if words not in said], said


def _groups() -> list[list[tuple[str, Any, str]]]:
    """Split the table so that no two of a group touch the same key, or one within the other's."""
    groups: list[list[tuple[str, Any, str]]] = []
    for row in WRONG:
        for group in groups:
            if not any(_overlap(row[0], other[0]) for other in group):
                group.append(row)
                break
        else:
            groups.append([row])
    return groups


def _overlap(one: str, other: str) -> bool:
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _merge(into: Values, new: Values) -> None:
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


OIDC = {"issuer": "https://id.example.com", "clientId": "a"}
BOTH = {"url": "postgres://a", "existingSecret": "b"}
# Values that do not fit together, and the words that helm must say.
UNFIT: list[tuple[Values, str]] = [
    (at("hub.replicaCount", 2), "hub.replicaCount must be 1 with SQLite"),
    (at("hub.database.type", "postgresql"), "hub.database.postgresql needs existingSecret"),
    (at("hub.podDisruptionBudget.enabled", True), "needs hub.replicaCount of 2 or more"),
    (at("operator.podDisruptionBudget.enabled", True), "needs operator.replicaCount of 2 or more"),
    (at("hub.ingress.enabled", True), "hub.ingress.host is empty"),
    (at("hub.httpRoute.enabled", True), "hub.httpRoute needs parentRefs"),
    (
        at("hub.httpRoute", {"enabled": True, "parentRefs": [{}], "hostnames": ["*.a.example"]}),
        "hub.publicUrl is empty, and the first host has a *",
    ),
    (
        at("hub.ingress", {"enabled": True, "host": "*.a.example", "tlsSecret": "tls"}),
        "hub.publicUrl is empty, and the first host has a *",
    ),
    ({"commonLabels": {"app.kubernetes.io/name": "a"}}, "commonLabels has app.kubernetes.io/name"),
    (
        at("collector.webhook.podLabels", {"app.kubernetes.io/component": "a"}),
        "collector.webhook.podLabels has app.kubernetes.io/component",
    ),
    (at("hub.auth.oidc.issuer", "https://id.example.com"), "hub.auth.oidc.clientId is empty"),
    (at("hub.smtp", {"host": "a", "username": "b"}), "hub.smtp.username and"),
    (at("hub.smtp", {"host": "a", "password": "b"}), "hub.smtp.username and"),
    (at("hub.enabled", False), "hub.url is empty and hub.enabled is false"),
    (
        at("hub", {"enabled": False, "url": "https://a.example"}),
        "collector.token.existingSecret is empty",
    ),
    (at("hub.auth.kubernetesLogin.enabled", False), "collector.token.existingSecret is empty"),
    (at("collector.webhook.enabled", True), "collector.webhook.tls needs existingSecret or cert"),
    (at("collector.webhook.enabled", True), "collector.webhook needs token.existingSecret or"),
    (
        at(
            "collector.webhook",
            {
                "enabled": True,
                "token": {"value": "a", "existingSecret": "b"},
                "tls": {"existingSecret": "c", "certManager": {"issuerRef": {"name": "d"}}},
            },
        ),
        "collector.webhook.tls.existingSecret and collector.webhook.tls.certManager are both set",
    ),
    (
        at("hub.database", {"type": "postgresql", "postgresql": BOTH}),
        "hub.database.postgresql.url and existingSecret beside it are both set",
    ),
    (
        at("hub.secretsKey", {"value": "a", "existingSecret": "b"}),
        "hub.secretsKey.value and existingSecret beside it are both set",
    ),
    (
        at("hub.auth.oidc", {**OIDC, "clientSecret": "b", "existingSecret": "c"}),
        "hub.auth.oidc.clientSecret and existingSecret beside it are both set",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("values", "words"), UNFIT, ids=[words for _, words in UNFIT])
def test_values_that_do_not_fit_together_are_refused(
    helm: Helm, values: Values, words: str
) -> None:
    assert words in helm.refusal(values)


def test_all_that_does_not_fit_is_told_at_once(helm: Helm) -> None:
    said = helm.refusal({**at("hub.replicaCount", 2), **at("collector.webhook.enabled", True)})
    assert said.count("\n- ") == 3


def test_a_refusal_never_shows_a_secret(helm: Helm) -> None:
    values = values_of("inline-secrets")
    values["hub"]["database"]["postgresql"]["existingSecret"] = "both"
    said = helm.refusal(values)
    assert "hunter" not in said


def test_the_admission_policy_needs_a_kubernetes_that_has_it(helm: Helm) -> None:
    said = helm.refusal(
        at("collector.injection.mode", "admissionPolicy"), "--kube-version", "1.35.9"
    )
    assert "needs Kubernetes 1.36, this is v1.35.9; use values" in said


def test_a_kubernetes_without_native_sidecars_is_refused(helm: Helm) -> None:
    assert "chart requires kubeVersion: >=1.29.0-0" in helm.refusal({}, "--kube-version", "1.28.9")
    assert helm.render({}, "--kube-version", "1.29.0").objects
