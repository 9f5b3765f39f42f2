"""Guards objects of kinds that are others': of fields and types that their published schemas have.

The cluster of the end-to-end tests serves none of these kinds, so no API server judges them there.
The table is what was found in the schemas of prometheus-operator (monitoring.coreos.com/v1), the
Gateway API (v1, standard channel) and cert-manager (v1). A field that is new in the chart has to be
looked up there, and written down here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.chart.rendering import Helm
from tests.cluster.tools import BUILD_SECONDS

pytestmark = pytest.mark.timeout(BUILD_SECONDS)
_SELECTOR: dict[str, type] = {
    "selector.matchLabels.*": str,
    "selector.matchExpressions[].key": str,
    "selector.matchExpressions[].operator": str,
    "selector.matchExpressions[].values[]": str,
    "namespaceSelector.matchNames[]": str,
}
PUBLISHED: dict[str, tuple[str, dict[str, type]]] = {
    "ServiceMonitor": (
        "monitoring.coreos.com/v1",
        _SELECTOR
        | {"endpoints[].targetPort": str, "endpoints[].path": str, "endpoints[].interval": str},
    ),
    "PodMonitor": (
        "monitoring.coreos.com/v1",
        _SELECTOR
        | {
            "podMetricsEndpoints[].port": str,
            "podMetricsEndpoints[].path": str,
            "podMetricsEndpoints[].interval": str,
        },
    ),
    "PrometheusRule": (
        "monitoring.coreos.com/v1",
        {
            "groups[].name": str,
            "groups[].rules[].alert": str,
            "groups[].rules[].expr": str,
            "groups[].rules[].for": str,
            "groups[].rules[].labels.*": str,
            "groups[].rules[].annotations.*": str,
        },
    ),
    "HTTPRoute": (
        "gateway.networking.k8s.io/v1",
        {
            "parentRefs[].name": str,
            "parentRefs[].namespace": str,
            "hostnames[]": str,
            "rules[].backendRefs[].name": str,
            "rules[].backendRefs[].port": int,
        },
    ),
    "Certificate": (
        "cert-manager.io/v1",
        {
            "secretName": str,
            "issuerRef.name": str,
            "issuerRef.kind": str,
            "dnsNames[]": str,
            "ipAddresses[]": str,
        },
    ),
}
_MAPS = ("matchLabels", "labels", "annotations")


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, type]]:
    """Yield the path and type of each value below; the keys of a map of texts are a star."""
    if isinstance(value, dict):
        for key, each in value.items():
            name = "*" if path.rpartition(".")[2] in _MAPS else key
            yield from leaves(each, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for each in value:
            yield from leaves(each, f"{path}[]")
    else:
        yield path, type(value)


@pytest.mark.parametrize("kind", PUBLISHED)
def test_objects_have_fields_that_their_published_schema_has(helm: Helm, kind: str) -> None:
    version, fields = PUBLISHED[kind]
    objects = helm.render("all").of(kind)
    assert objects
    for each in objects:
        assert each["apiVersion"] == version
        assert set(each) <= {"apiVersion", "kind", "metadata", "spec"}
        assert set(leaves(each["spec"])) <= set(fields.items())
