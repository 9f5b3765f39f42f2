"""The operator and a stand-in hub in a test cluster's network, with the operator's own rights.

Owns both processes, the operator's ServiceAccount with exactly the Roles of its permissions, and
the questions that tests ask. Made by the fixtures of the operator's e2e tests. Ended by pid.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import trustme
import yaml
from radar_audit_operator.permissions import PERMISSIONS, Permission

from tests.cluster.provider import Cluster
from tests.support.agent_api import CLUSTER, ORG, TOKEN
from tests.support.crd_cases import API_VERSION

OWN, TEAM = "radar-audit", "pay"
ROOT = Path(__file__).parents[2]
_PROGRAM = str(Path(sys.executable).with_name("radar-audit-operator"))
_HUB_PORT, _PROBES_PORT = 18443, 19282
PROBES_ADDRESS = f"127.0.0.1:{_PROBES_PORT}"
_WAIT_SECONDS = 60.0
_FETCH = """
import ssl, sys, urllib.request
trust = ssl.create_default_context(cafile=sys.argv[2]) if len(sys.argv) > 2 else None
body = sys.argv[3].encode() if len(sys.argv) > 3 else None
request = urllib.request.Request(sys.argv[1], data=body, method="PUT" if body else "GET")
with urllib.request.urlopen(request, timeout=20, context=trust) as answer:
    sys.stdout.buffer.write(answer.read())
"""


def eventually(
    holds: Callable[[], bool],
    timeout_seconds: float = _WAIT_SECONDS,
    pause_seconds: float = 0.1,
) -> None:
    """Wait until it holds. AssertionError when it does not within the time."""
    deadline = time.monotonic() + timeout_seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(pause_seconds)


class NodeOperator:
    """An operator, its hub, and what an admin does with kubectl."""

    def __init__(self, cluster: Cluster, folder: Path, environ: Mapping[str, str]) -> None:
        """Make certificates and the hub's address; `environ` is for the operator. Nothing runs."""
        self.cluster, self.folder, self._environ = cluster, folder, environ
        authority = trustme.CA()
        self._authority = folder / "hub-ca.pem"
        authority.cert_pem.write_to_path(str(self._authority))
        self._pem = folder / "hub.pem"
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
            str(self._pem)
        )
        self.hub_url = f"https://127.0.0.1:{_HUB_PORT}"
        self._hub: subprocess.Popen[bytes] | None = None
        self._operator: subprocess.Popen[bytes] | None = None

    def install(self) -> None:
        """Apply the schemas, namespaces, the operator's rights, its token and the AuditHub."""
        self.cluster.kubectl("apply", "-f", str(ROOT / "crds"))
        self.cluster.kubectl(
            "wait", "--for=condition=Established", "crd/audithubs.audit.radarhq.io",
            "crd/auditpolicies.audit.radarhq.io", "--timeout=30s",
        )  # fmt: skip
        self.apply(*self._rights())
        token = self.cluster.kubectl(
            "-n", OWN, "create", "token", "radar-audit-operator", "--duration=6h"
        ).strip()
        config = yaml.safe_load(self.cluster.kubeconfig.read_text())
        user = {"name": "operator", "user": {"token": token}}
        name = config["contexts"][0]["context"]["cluster"]
        context = {"name": "o", "context": {"cluster": name, "user": "operator"}}
        config |= {"users": [user], "contexts": [context], "current-context": "o"}
        (self.folder / "operator.kubeconfig").write_text(yaml.safe_dump(config))
        self.apply(self.audit_hub())

    def audit_hub(self, **spec: Any) -> dict[str, Any]:
        """Return the AuditHub `main`."""
        bundle = base64.b64encode(self._authority.read_bytes()).decode()
        given = {
            "url": self.hub_url,
            "organization": ORG,
            "clusterId": CLUSTER,
            "caBundle": bundle,
            "tokenSecretRef": {"name": "hub-token", "key": "token"},
            "resyncInterval": "1m",
        }
        meta = {"name": "main"}
        whole = {**given, **spec}
        return {"apiVersion": API_VERSION, "kind": "AuditHub", "metadata": meta, "spec": whole}

    def apply(self, *objects: dict[str, Any]) -> None:
        """Run `kubectl apply` with objects."""
        text = "\n---\n".join(json.dumps(each) for each in objects)
        self.cluster.kubectl("apply", "-f", "-", stdin=text, timeout_seconds=120)

    def start_hub(self) -> None:
        """Start the stand-in; it begins without any document."""
        command = [sys.executable, "-m", "tests.support.agent_api", "--host", "127.0.0.1"]
        command += ["--port", str(_HUB_PORT), "--pem", str(self._pem)]
        with (self.folder / "hub.log").open("ab") as log:
            self._hub = subprocess.Popen(
                self.cluster.in_network(command), cwd=ROOT, stdout=log, stderr=log
            )
        eventually(self._hub_answers)

    def stop_hub(self) -> None:
        """End it, and with it all that it knew."""
        _end(self._hub, signal.SIGKILL)

    def start(self) -> None:
        """Start an operator and wait until it is ready."""
        self.launch()
        eventually(self._is_ready)

    def launch(self) -> None:
        """Start an operator and wait for nothing."""
        environ = {k: v for k, v in os.environ.items() if not k.startswith("RADAR_AUDIT_")}
        environ |= {
            "KUBECONFIG": str(self.folder / "operator.kubeconfig"),
            "RADAR_AUDIT_OPERATOR_NAMESPACE": OWN,
            "RADAR_AUDIT_OPERATOR_PROBES_LISTEN": PROBES_ADDRESS,
            "RADAR_AUDIT_OPERATOR_LEASE_SECONDS": "2",
            "RADAR_AUDIT_OPERATOR_HUB_TIMEOUT_SECONDS": "2",
            "RADAR_AUDIT_OPERATOR_RETRY_MAX_SECONDS": "2",
            "RADAR_AUDIT_OPERATOR_UNREADY_AFTER_SECONDS": "3",
        }
        environ |= self._environ
        with (self.folder / "operator.log").open("ab") as log:
            self._operator = subprocess.Popen(
                self.cluster.in_network([_PROGRAM, "run"]), env=environ, stdout=log, stderr=log
            )

    def kill(self) -> None:
        """Kill the operator where it is."""
        _end(self._operator, signal.SIGKILL)

    def stop(self) -> None:
        """End the operator gently."""
        _end(self._operator, signal.SIGTERM)

    def launch_active(self) -> None:
        """Start an operator and wait until it begins to work."""
        said = "the Lease is held"
        before = self.log().count(said)
        self.launch()
        eventually(lambda: self.log().count(said) > before, pause_seconds=0.02)

    def is_running(self) -> bool:
        """Return whether the operator's process lives."""
        return self._operator is not None and self._operator.poll() is None

    def rss_mib(self) -> float:
        """Return the operator's resident memory."""
        assert self._operator is not None
        text = Path(f"/proc/{self._operator.pid}/status").read_text()
        line = next(each for each in text.splitlines() if each.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    def log(self) -> str:
        """Return the operator's log."""
        return (self.folder / "operator.log").read_text()

    def metric(self, name: str) -> float:
        """Return the sum of a metric's series; 0 when it has none."""
        text = self._fetch(f"http://127.0.0.1:{_PROBES_PORT}/metrics")
        lines = [line.rsplit(" ", 1) for line in text.splitlines() if line.startswith(name)]
        return sum(float(value) for series, value in lines if series.split("{")[0] == name)

    def hub(self) -> Any:
        """Return what the stand-in knows."""
        return json.loads(self._fetch(f"{self.hub_url}/_stand_in/state", str(self._authority)))

    def break_hub(self, **faults: Any) -> None:
        """Have the stand-in answer wrongly from now on; without faults rightly."""
        url = f"{self.hub_url}/_stand_in/faults"
        self._fetch(url, str(self._authority), json.dumps(faults))

    def get(self, name: str, namespace: str = OWN) -> Any:
        """Return an AuditPolicy."""
        told = self.cluster.kubectl("-n", namespace, "get", "auditpolicy", name, "-o", "json")
        return json.loads(told)

    def says(self, name: str, kind: str = "Ready", namespace: str = OWN) -> str:
        """Return a policy's condition as "True/Synced"; empty when there is none."""
        conditions = self.get(name, namespace).get("status", {}).get("conditions", [])
        found = [f"{c['status']}/{c['reason']}" for c in conditions if c["type"] == kind]
        return found[0] if found else ""

    def until_says(self, name: str, expected: str, kind: str = "Ready") -> None:
        """Wait until a policy's condition says so."""
        eventually(lambda: self.says(name, kind) == expected)

    def _hub_answers(self) -> bool:
        with contextlib.suppress(AssertionError):
            return bool(self.hub())
        return False

    def _is_ready(self) -> bool:
        assert self.is_running(), self.log()[-2000:]
        with contextlib.suppress(AssertionError):
            return self._fetch(f"http://127.0.0.1:{_PROBES_PORT}/readyz") == "ok\n"
        return False

    def _fetch(self, *words: str) -> str:
        command = self.cluster.in_network([sys.executable, "-c", _FETCH, *words])
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-500:]
        return done.stdout

    def _rights(self) -> Iterator[dict[str, Any]]:
        for name in (OWN, TEAM, "radar"):
            labels = {"team": name}
            meta = {"name": name, "labels": labels}
            yield {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}
        meta = {"name": "radar-audit-operator", "namespace": OWN}
        yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}
        secret = {"name": "hub-token", "namespace": OWN}
        yield {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": secret,
            "stringData": {"token": TOKEN},
        }
        places = {"own namespace": OWN, "policy namespaces": TEAM, "radar namespaces": "radar"}
        yield from _role("", [each for each in PERMISSIONS if each.where == "cluster"])
        for where, namespace in places.items():
            yield from _role(namespace, [each for each in PERMISSIONS if each.where == where])


def _role(namespace: str, permissions: list[Permission]) -> Iterator[dict[str, Any]]:
    kind, api = ("Role" if namespace else "ClusterRole"), "rbac.authorization.k8s.io"
    meta = {"name": "radar-audit-test-operator"} | ({"namespace": namespace} if namespace else {})
    rules = [
        {"apiGroups": [each.group], "resources": [each.resource], "verbs": list(each.verbs)}
        for each in permissions
    ]
    yield {"apiVersion": f"{api}/v1", "kind": kind, "metadata": meta, "rules": rules}
    subject = {"kind": "ServiceAccount", "name": "radar-audit-operator", "namespace": OWN}
    ref = {"apiGroup": api, "kind": kind, "name": meta["name"]}
    binding = {"apiVersion": f"{api}/v1", "kind": f"{kind}Binding", "metadata": meta}
    yield binding | {"subjects": [subject], "roleRef": ref}


def _end(process: subprocess.Popen[bytes] | None, how: signal.Signals) -> None:
    if process is not None and process.poll() is None:
        process.send_signal(how)
        process.wait(30)


@contextlib.contextmanager
def running_operator(
    cluster: Cluster, folder: Path, environ: Mapping[str, str] = MappingProxyType({})
) -> Iterator[NodeOperator]:
    """Install everything in a cluster and run hub and operator; end both."""
    made = NodeOperator(cluster, folder, environ)
    try:
        made.install()
        made.start_hub()
        made.start()
        yield made
    finally:
        made.kill()
        made.stop_hub()
