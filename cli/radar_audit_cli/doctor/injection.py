"""The gateway that the API server puts into pods, while Radar's Deployment knows nothing of it.

Owns how that is told from a gateway that was lost. Called by `examine.py` with what kubectl
returned. Pure: asks nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .findings import Finding, fail, named, ok
from .objects import Object, at, name_of, sidecar_of, without_gateway

POLICIES = "mutatingadmissionpolicies.admissionregistration.k8s.io"
# Our chart's default of collector.injection.podLabel.
_DEFAULT = {"audit.radarhq.io/inject": "true"}


def labels_of(policies: list[Any]) -> list[Mapping[str, Any]]:
    """Return what labels of a pod our policies act on, one mapping for each way."""
    chosen = (
        at(each, "spec", "matchConstraints", "objectSelector", "matchLabels") for each in policies
    )
    return [labels for labels in chosen if isinstance(labels, Mapping) and labels] or [_DEFAULT]


def bare(deployments: list[Any]) -> list[Object]:
    """Return the Deployments whose template does not have the gateway."""
    return [d for d in deployments if sidecar_of(at(d, "spec", "template", "spec")) is None]


def are_labelled(deployments: list[Object], ways: list[Any]) -> bool:
    """Tell whether the pods of all these Deployments bear the labels of one of the ways."""
    bearing = [at(d, "spec", "template", "metadata", "labels") or {} for d in deployments]
    return all(any(way.items() <= dict(labels).items() for way in ways) for labels in bearing)


def put_in(check: str, deployments: list[Object], pods: list[Any]) -> Finding:
    """Check that the pods of labelled Deployments were given the gateway."""
    names = named(name_of(each) for each in deployments)
    without = without_gateway(pods)
    if without:
        return fail(
            check,
            f"Radar's Deployment {names} has the label for the gateway, but the API server put "
            f"none into {named(without)}; install the chart with collector.injection.mode: "
            f"admissionPolicy, then `kubectl rollout restart` it",
        )
    return ok(check, f"the API server puts the gateway into the pods of {names} by their label")
