"""The block of values that puts the gateway into the pod of Radar's own chart.

Owns every name, path, port and limit of the sidecar as Radar's pod sees it. Called
by `command`; our own chart renders the same block, and a test compares the two.
Pure: the same wishes give the same block. Holds no secret: the token to the hub is
a projected ServiceAccount token or a Secret that is named here, never its content.

Radar's chart passes these four lists on as they are (no templates), so all is literal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import defaults

SIDECAR = "radar-audit"
ACCOUNT, KEYS, SPOOL = "radar-audit-sa", "radar-audit-keys", "radar-audit-spool"
RADAR_TOKEN, UPSTREAM, HUB = "radar-audit-token", "radar-audit-upstream", "radar-audit-hub"
VOLUMES = (ACCOUNT, KEYS, SPOOL, RADAR_TOKEN, UPSTREAM, HUB)
ACCOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
HOST_VARIABLE, PORT_VARIABLE = "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"
GATEWAY_HOST, GATEWAY_PORT = "127.0.0.1", "16443"
METRICS_PORT = 9281
# The four lists of Radar's chart, in the order in which they are written.
LISTS = ("env", "extraVolumes", "extraVolumeMounts", "initContainers")

_PREFIX = "RADAR_AUDIT_COLLECTOR_"
_USER = 65532
_TOKEN_SECONDS = 3600
# Radar's chart leaves the pod's 30 s of grace, which Radar itself uses first.
_RELAY_DRAIN_SECONDS = "5"
# More than the spool may use (256 MiB): the kubelet evicts a pod that passes it.
_SPOOL_LIMIT = "512Mi"


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What differs from one cluster to the next.

    `image` has a tag or digest; `hub_url` has a scheme; `service_account` is Radar's,
    as namespace/name; `audience` is that of the token to the hub. `token_secret` is a
    Secret of Radar's namespace that holds a cluster token under `token_secret_key`,
    null: the pod's own projected token is used. `identity` and `log_level` are the
    collector's settings. `requests` and `limits` are of the container, resource to
    quantity; an empty one is left out.
    """

    image: str
    hub_url: str
    service_account: str = defaults.SERVICE_ACCOUNT
    audience: str = defaults.AUDIENCE
    token_secret: str | None = None
    token_secret_key: str = defaults.TOKEN_SECRET_KEY
    failure_policy: str = defaults.FAILURE_POLICY
    identity: str = defaults.IDENTITY
    log_level: str = defaults.LOG_LEVEL
    requests: Mapping[str, str] = field(default_factory=lambda: dict(defaults.REQUESTS))
    limits: Mapping[str, str] = field(default_factory=lambda: dict(defaults.LIMITS))


def radar_values(wishes: Wishes) -> dict[str, Any]:
    """Return the block: the four lists of Radar's chart, each with our entries alone."""
    return {
        "env": [
            {"name": HOST_VARIABLE, "value": GATEWAY_HOST},
            {"name": PORT_VARIABLE, "value": GATEWAY_PORT},
        ],
        "extraVolumes": _volumes(wishes),
        "extraVolumeMounts": [
            {"name": ACCOUNT, "mountPath": ACCOUNT_PATH, "readOnly": True},
            {"name": RADAR_TOKEN, "mountPath": "/var/run/secrets/radar-audit", "readOnly": True},
        ],
        "initContainers": [_sidecar(wishes)],
    }


def _volumes(wishes: Wishes) -> list[dict[str, Any]]:
    own_token = {"serviceAccountToken": {"path": "token", "expirationSeconds": _TOKEN_SECONDS}}
    namespace = {"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}
    root_ca = {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    return [
        {"name": ACCOUNT, "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {"name": KEYS, "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {"name": SPOOL, "emptyDir": {"sizeLimit": _SPOOL_LIMIT}},
        {
            "name": RADAR_TOKEN,
            "projected": {"sources": [own_token, {"downwardAPI": {"items": [namespace]}}]},
        },
        {"name": UPSTREAM, "projected": {"sources": [{"configMap": root_ca}]}},
        {"name": HUB, "projected": {"sources": [_hub_token(wishes)]}},
    ]


def _hub_token(wishes: Wishes) -> dict[str, Any]:
    if wishes.token_secret is not None:
        items = [{"key": wishes.token_secret_key, "path": "token"}]
        return {"secret": {"name": wishes.token_secret, "items": items}}
    return {
        "serviceAccountToken": {
            "path": "token",
            "audience": wishes.audience,
            "expirationSeconds": _TOKEN_SECONDS,
        }
    }


def _sidecar(wishes: Wishes) -> dict[str, Any]:
    variables = {
        "HUB_URL": wishes.hub_url,
        "TOKEN_FILE": "/run/radar-audit/hub/token",
        "RADAR_SERVICE_ACCOUNT": wishes.service_account,
        "DATA_DIR": "/var/lib/radar-audit",
        "PROBES_LISTEN": f"0.0.0.0:{METRICS_PORT}",
        "GATEWAY_FAILURE_POLICY": wishes.failure_policy,
        "GATEWAY_DRAIN_SECONDS": _RELAY_DRAIN_SECONDS,
    }
    if wishes.identity != defaults.IDENTITY:
        variables["IDENTITY"] = wishes.identity
    if wishes.log_level != defaults.LOG_LEVEL:
        variables["LOG_LEVEL"] = wishes.log_level
    resources = {"requests": dict(wishes.requests), "limits": dict(wishes.limits)}
    alive = {"httpGet": {"path": "/livez", "port": METRICS_PORT}}
    return {
        "name": SIDECAR,
        "image": wishes.image,
        "restartPolicy": "Always",  # a native sidecar: it starts before Radar, and ends after it
        "args": ["gateway"],
        "env": [{"name": _PREFIX + name, "value": value} for name, value in variables.items()],
        "ports": [{"name": "audit-metrics", "containerPort": METRICS_PORT}],
        # Radar waits for it. No readiness probe: it would take Radar out of service with the hub.
        "startupProbe": {**alive, "periodSeconds": 1, "failureThreshold": 60},
        "livenessProbe": {**alive, "periodSeconds": 10, "timeoutSeconds": 5},
        "resources": {name: amounts for name, amounts in resources.items() if amounts},
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [
            {"name": ACCOUNT, "mountPath": "/run/radar-audit/sa"},
            {"name": KEYS, "mountPath": "/run/radar-audit/keys"},
            {"name": SPOOL, "mountPath": "/var/lib/radar-audit"},
            # In the place of the account's token, so that the sidecar has none of its own.
            {"name": UPSTREAM, "mountPath": ACCOUNT_PATH, "readOnly": True},
            {"name": HUB, "mountPath": "/run/radar-audit/hub", "readOnly": True},
        ],
    }
