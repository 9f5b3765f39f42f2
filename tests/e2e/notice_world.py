"""What a cluster admin has who wants alerts: an operator that reports to the real hub, receivers.

Owns both processes and what of them the tests look at. Made by the fixture of the notifications'
e2e tests. Everything is set up by `kubectl apply`. Ended by pid.
"""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.provider import Cluster
from tests.e2e.node_hub import ORG, NodeHub, ask, eventually
from tests.e2e.notice_receiver import FRONT_PORT, RECEIVER_PORT
from tests.e2e.operator_process import OWN, ROOT, NodeOperator
from tests.support.crd_cases import API_VERSION

POLICY = "alerts"
SIGNING_SECRET = "whsec_" + base64.b64encode(b"e2e-signing-secret-0123456789ab").decode()
RECEIVER = "https://127.0.0.1:{port}/{name}"


class HubOperator(NodeOperator):
    """An operator whose hub is the real one, behind TLS."""

    def __init__(self, cluster: Cluster, folder: Path, hub: NodeHub) -> None:
        """Take the hub, which runs already."""
        super().__init__(cluster, folder, {})
        self.hub_url = f"https://127.0.0.1:{FRONT_PORT}"
        self._real = hub

    def audit_hub(self, **spec: Any) -> dict[str, Any]:
        """Return the AuditHub of the real hub's org and cluster."""
        bundle = base64.b64encode(self._real.receivers_ca.read_bytes()).decode()
        given = {
            "organization": ORG,
            "clusterId": self._real.cluster_id,
            "caBundle": bundle,
            "resyncInterval": "1m",
        }
        return super().audit_hub(**given, **spec)


@dataclass
class NoticeWorld:
    """The operator, and the log of what came in."""

    operator: HubOperator
    log: Path

    def apply_policy(self) -> None:
        """Apply a policy of two destinations with their Secrets, and wait until it is in force."""
        slack = RECEIVER.format(port=RECEIVER_PORT, name="slack")
        secrets = {"slack-url": slack, "signing": SIGNING_SECRET}
        meta = {"name": "receivers", "namespace": OWN}
        self.operator.apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": secrets},
            {
                "apiVersion": API_VERSION,
                "kind": "AuditPolicy",
                "metadata": {"name": POLICY, "namespace": OWN},
                "spec": {"hubRef": {"name": "main"}, "notifications": _alerts()},
            },
        )
        self.operator.until_says(POLICY, "True/Synced")

    def got(self, name: str, word: str) -> list[dict[str, Any]]:
        """Return the requests that one receiver took in which a word stands."""
        if not self.log.exists():
            return []
        # The last line may be half written.
        lines = self.log.read_text(encoding="utf-8").split("\n")[:-1]
        found = [json.loads(line) for line in lines]
        return [one for one in found if one["path"] == f"/{name}" and word in one["body"]]

    def await_both(self, word: str) -> dict[str, dict[str, Any]]:
        """Wait until both receivers have a request with a word, and return it of each."""
        names = ("slack", "webhook")
        eventually(lambda: all(self.got(name, word) for name in names))
        return {name: self.got(name, word)[0] for name in names}

    def destinations(self) -> dict[str, dict[str, Any]]:
        """Return what the policy's status says of its destinations."""
        listed = self.operator.get(POLICY).get("status", {}).get("destinations", [])
        return {one["name"]: one for one in listed}


def _alerts() -> dict[str, Any]:
    def key(name: str) -> dict[str, str]:
        return {"name": "receivers", "key": name}

    url = RECEIVER.format(port=RECEIVER_PORT, name="webhook")
    return {
        "destinations": [
            {"name": "chat", "slack": {"urlSecretRef": key("slack-url")}},
            {"name": "siem", "webhook": {"url": url, "signingSecretRef": key("signing")}},
        ],
        "rules": [
            {"name": "shells", "actions": ["pod.exec_started"], "destinations": ["chat", "siem"]}
        ],
    }


@contextlib.contextmanager
def running_receiver(cluster: Cluster, hub: NodeHub, folder: Path) -> Iterator[Path]:
    """Run the receivers and the hub's TLS for the length of the block; yield the log of both."""
    pem, log = folder / "receiver.pem", folder / "received.ndjson"
    certificate = hub.receivers_authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(pem))
    words = [sys.executable, "-m", "tests.e2e.notice_receiver"]
    words += [str(pem), hub.url.removeprefix("http://"), str(log)]
    with subprocess.Popen(
        cluster.in_network(words), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as receiver:
        try:
            assert receiver.stdout is not None
            assert receiver.stdout.readline() == b"ready\n"
            yield log
        finally:
            receiver.terminate()


@contextlib.contextmanager
def notice_world(cluster: Cluster, hub: NodeHub, folder: Path) -> Iterator[NoticeWorld]:
    """Run receivers and an operator for the length of the block."""
    operator = HubOperator(cluster, folder, hub)
    with running_receiver(cluster, hub, folder) as log:
        try:
            operator.install()
            token = {"name": "hub-token", "namespace": OWN}
            operator.apply(
                {
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "metadata": token,
                    "stringData": {"token": hub.cluster_token},
                }
            )
            operator.start()
            yield NoticeWorld(operator, log)
            _clean_up(cluster, hub)
        finally:
            operator.stop()


def _clean_up(cluster: Cluster, hub: NodeHub) -> None:
    """Leave neither alerts at the hub nor an AuditHub to the tests that follow on this cluster."""
    cluster.kubectl("-n", OWN, "delete", f"apol/{POLICY}")
    url = f"{hub.url}/api/orgs/{ORG}/destinations"
    eventually(lambda: json.loads(ask(cluster, url, hub.pat))["destinations"] == [])
    cluster.kubectl("delete", "audithub/main")
    cluster.kubectl("-n", OWN, "delete", "secret/hub-token")
