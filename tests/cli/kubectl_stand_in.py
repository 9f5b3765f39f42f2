"""A program `kubectl` that answers from files, as a real one would for the same arguments.

Owns `KubectlStandIn`. Called by the tests of `doctor`. What it prints for a Radar that is well is
made of the collector's own values and metrics, so that the two cannot come apart unseen.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import generate_latest
from radar_audit_collector.capture.gateway.metrics import GatewayMetrics
from radar_audit_collector.metrics import Metrics
from radar_audit_collector.radar_values.block import Wishes, radar_values

_PROGRAM = """\
#!/bin/sh
rest=
for argument; do
  case "$argument" in
    --request-timeout=*) ;;
    --raw) rest="$rest $argument" ;;
    --*) printf '%s\\n' "$argument" >> "{folder}/options" ;;
    *) rest="$rest $argument" ;;
  esac
done
printf '%s\\n' "$rest" >> "{folder}/asked"
key=$(printf '%s' "$rest" | tr -c 'A-Za-z0-9' '_')
if [ -f "{folder}/$key.out" ]; then
  cat "{folder}/$key.out"
  if [ -f "{folder}/$key.later" ]; then mv "{folder}/$key.later" "{folder}/$key.out"; fi
  exit 0
fi
if [ -f "{folder}/$key.err" ]; then cat "{folder}/$key.err" >&2; exit 1; fi
echo "Error from server (NotFound): nothing stands in for:$rest" >&2
exit 1
"""
RADAR = ("-n", "radar", "-l", "app.kubernetes.io/name=radar")
OURS = ("-n", "radar-audit", "-l", "app.kubernetes.io/part-of=radar-audit")
PODS = ("get", "pods", "-o", "json", *RADAR)
DEPLOYMENTS = ("get", "deployments", "-o", "json", *RADAR)
OUR_DEPLOYMENTS = ("get", "deployments", "-o", "json", *OURS)
SOURCES = ("get", "deployments,daemonsets", "-o", "json", "-A", *OURS[2:])
SOURCES_HERE = ("get", "deployments,daemonsets", "-o", "json", *OURS)
POLICIES = (
    "get", "mutatingadmissionpolicies.admissionregistration.k8s.io", "-o", "json", *OURS[2:],
)  # fmt: skip
NAMESPACE = ("get", "namespace", "radar", "-o", "json")
ROLES = (
    "get", "clusterroles.rbac.authorization.k8s.io", "-o", "json",
    "-l", "app.kubernetes.io/name=radar",
)  # fmt: skip
CRDS = ("get", "customresourcedefinitions.apiextensions.k8s.io", "-o", "json")
AUDITHUBS = ("get", "audithubs.audit.radarhq.io", "-o", "json")
VERSION = ("version", "-o", "json")
FORBIDDEN = (
    'Error from server (Forbidden): {what} is forbidden: User "bob" cannot {verb} resource '
    '"{what}" in API group "" in the namespace "radar"\n'
)
METRICS = ("get", "--raw", "/api/v1/namespaces/radar/pods/radar-0:9281/proxy/metrics")


@dataclass
class KubectlStandIn:
    """Its folder, which is to be first on the PATH; `world` is a Radar that is well."""

    folder: Path
    world: dict[tuple[str, ...], Any] = field(default_factory=dict)

    def install(self) -> None:
        """Write the program and the answers of `world`."""
        program = self.folder / "kubectl"
        program.write_text(_PROGRAM.format(folder=self.folder))
        program.chmod(0o755)
        for arguments, answer in self.world.items():
            text = answer if isinstance(answer, str) else json.dumps(answer)
            self._file(arguments, "out").write_text(text)

    def refuse(self, arguments: tuple[str, ...], text: str) -> None:
        """Answer with an error, as kubectl writes it."""
        self._file(arguments, "out").unlink(missing_ok=True)
        self._file(arguments, "err").write_text(text)

    def answer_later(self, arguments: tuple[str, ...], text: str) -> None:
        """Answer another way from the second time on."""
        self._file(arguments, "later").write_text(text)

    def times_asked(self, arguments: tuple[str, ...]) -> int:
        """How often it was called so."""
        asked = (self.folder / "asked").read_text().splitlines()
        return asked.count("".join(f" {a}" for a in arguments))

    def options(self) -> list[str]:
        """The options with two dashes that it was called with."""
        return (self.folder / "options").read_text().splitlines()

    def _file(self, arguments: tuple[str, ...], kind: str) -> Path:
        key = re.sub(r"[^A-Za-z0-9]", "_", "".join(f" {a}" for a in arguments))
        return self.folder / f"{key}.{kind}"


def metrics(
    *, connections: int = 3, reachable: bool = True, heartbeats: int = 5, refused: bool = False
) -> str:
    """What a gateway tells of itself."""
    of = Metrics()
    gateway = GatewayMetrics(of.registry, lambda: 0.0)
    gateway._connections.labels("h2").inc(connections)
    gateway._reachable.set(reachable)
    of.heartbeats.labels("ok").inc(heartbeats)
    of.token_refused.set(refused)
    return generate_latest(of.registry).decode()


def well() -> dict[tuple[str, ...], Any]:
    """The answers about a Radar whose terminals are recorded."""
    block = radar_values(Wishes(image="r.example.com/collector:0.1.0", hub_url="http://hub:8080"))
    spec = {
        "securityContext": {"runAsUser": 65532, "fsGroup": 65532},
        "containers": [
            {
                "name": "radar",
                "image": "ghcr.io/skyhook-io/radar:1.7.6",
                "env": block["env"],
                "volumeMounts": block["extraVolumeMounts"],
            }
        ],
        "initContainers": block["initContainers"],
        "volumes": block["extraVolumes"],
    }
    running = {"state": {"running": {"startedAt": "2026-11-01T10:00:00Z"}}, "started": True}
    pod = {
        "metadata": {"name": "radar-0", "namespace": "radar"},
        "spec": copy.deepcopy(spec),
        "status": {
            "phase": "Running",
            "initContainerStatuses": [{"name": "radar-audit", "restartCount": 0, **running}],
        },
    }
    enforced = {"pod-security.kubernetes.io/enforce": "restricted"}
    rule = {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create", "get"]}
    return {
        VERSION: {"clientVersion": {}, "serverVersion": _server("32")},
        PODS: _list(pod),
        DEPLOYMENTS: _list({"metadata": {"name": "radar"}, "spec": {"template": {"spec": spec}}}),
        OUR_DEPLOYMENTS: _list(_deployment("hub"), _deployment("operator")),
        NAMESPACE: {"metadata": {"name": "radar", "labels": enforced}},
        ROLES: _list({"metadata": {"name": "radar"}, "rules": [rule]}),
        CRDS: _list(_crd("audithubs.audit.radarhq.io"), _crd("auditpolicies.audit.radarhq.io")),
        AUDITHUBS: _list(audithub("True", "Ready", "all is well")),
        METRICS: metrics(),
    }


def _server(minor: str) -> dict[str, str]:
    return {"major": "1", "minor": minor, "gitVersion": f"v1.{minor}.3"}


def _list(*items: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "List", "items": list(items)}


def _deployment(component: str) -> dict[str, Any]:
    labels = {
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/version": "0.1.0",
    }
    return {
        "metadata": {"name": f"radar-audit-{component}", "labels": labels},
        "spec": {"replicas": 1},
        "status": {"readyReplicas": 1},
    }


def _crd(name: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "status": {"conditions": [{"type": "Established", "status": "True"}]},
    }


def log_reader(ready: int) -> dict[str, Any]:
    """The DaemonSet that reads the API server's log, in a namespace of its own; as a list."""
    labels = {"app.kubernetes.io/component": "collector-log"}
    meta = {"name": "radar-audit-collector-log", "namespace": "audit-log", "labels": labels}
    return _list(_deployment("hub"), {"metadata": meta, "status": {"numberReady": ready}})


def injecting(label: str) -> dict[str, Any]:
    """The policy by which the API server puts the gateway into pods with a label; as a list."""
    chosen = {"objectSelector": {"matchLabels": {label: "true"}}}
    meta = {"name": "radar-audit-gateway-radar-audit"}
    return _list({"metadata": meta, "spec": {"matchConstraints": chosen}})


def audithub(status: str, reason: str, message: str) -> dict[str, Any]:
    """An AuditHub with its condition Ready."""
    condition = {"type": "Ready", "status": status, "reason": reason, "message": message}
    return {"metadata": {"name": "main"}, "status": {"conditions": [condition]}}


def told(cli: Callable[..., Any], *arguments: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """Run `doctor` once; return its exit code, and the state and sentence of each check."""
    result = cli("doctor", "-o", "json", "--wait", "0", *arguments)
    found = json.loads(result.out)
    assert found["ok"] is (result.code == 0)
    return result.code, {row["check"]: (row["state"], row["message"]) for row in found["checks"]}
