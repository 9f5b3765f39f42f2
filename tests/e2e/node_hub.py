"""A real hub on the node's address, where pods and tests both reach it.

Owns its process, its org and the questions that tests ask it. Made by the fixtures of the
gateway's e2e tests. Ended by its pid.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import trustme

from tests.cluster.network import NODE_ADDRESS
from tests.cluster.provider import Cluster

ORG = "org_x"
HUB_PORT, _PROBES_PORT = 8080, 9280
_PROGRAM = str(Path(sys.executable).with_name("radar-audit-hub"))
_ASK = """
import sys, urllib.error, urllib.request
request = urllib.request.Request(sys.argv[1])
if len(sys.argv) > 2:
    request.add_header("Authorization", "Bearer " + sys.argv[2])
if len(sys.argv) > 3:
    request.method, request.data = "PUT", sys.argv[3].encode()
    request.add_header("Content-Type", "application/json")
try:
    answer, code = urllib.request.urlopen(request, timeout=10), 0
except urllib.error.HTTPError as error:
    answer, code = error, 1
with answer:
    sys.stdout.buffer.write(answer.read())
sys.exit(code)
"""
_WAIT_SECONDS = 60.0
_SETTLE_SECONDS = 1.5  # longer than a double would need to arrive

Row = dict[str, Any]


def ask(cluster: Cluster, url: str, token: str = "", *, must_succeed: bool = True) -> str:
    """GET a URL from within the cluster's network; return the body."""
    return _send(cluster, [url, *([token] if token else [])], must_succeed=must_succeed)


def _send(cluster: Cluster, arguments: list[str], *, must_succeed: bool = True) -> str:
    words = [sys.executable, "-c", _ASK, *arguments]
    done = subprocess.run(cluster.in_network(words), capture_output=True, text=True, check=False)
    assert not must_succeed or done.returncode == 0, done.stdout + done.stderr[-800:]
    return done.stdout


class NodeHub:
    """A hub: where it and its files are, and its two tokens."""

    url = f"http://{NODE_ADDRESS}:{HUB_PORT}"
    probes_address = f"{NODE_ADDRESS}:{_PROBES_PORT}"

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        """Make a hub with an org of its own, whose files lie in `folder`; see `running_hub`."""
        self.cluster = cluster
        self.folder = folder
        self._environ = {k: v for k, v in os.environ.items() if not k.startswith("RADAR_AUDIT_")}
        self.receivers_authority = trustme.CA()
        self.receivers_ca = folder / "receivers-ca.pem"
        self.receivers_authority.cert_pem.write_to_path(str(self.receivers_ca))
        self._environ |= {
            # Receivers of notifications are on the node's own loopback.
            "RADAR_AUDIT_HUB_NOTIFY_ALLOWED_NETWORKS": "127.0.0.0/8",
            "RADAR_AUDIT_HUB_NOTIFY_CA_FILE": str(self.receivers_ca),
            "RADAR_AUDIT_HUB_DATABASE_URL": f"sqlite:///{folder / 'hub.db'}",
            "RADAR_AUDIT_HUB_LISTEN": f"{NODE_ADDRESS}:{HUB_PORT}",
            "RADAR_AUDIT_HUB_PROBES_LISTEN": f"{NODE_ADDRESS}:{_PROBES_PORT}",
        }
        init = [_PROGRAM, "init", "--org-id", ORG, "--cluster-name", "e2e", "-o", "json"]
        done = subprocess.run(init, env=self._environ, capture_output=True, text=True, check=True)
        made = json.loads(done.stdout)
        self.cluster_id = str(made["cluster"]["id"])
        self.cluster_token = str(made["cluster"]["token"])
        self.pat = str(made["pat"]["token"])
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it if it does not run, and wait until it serves."""
        if self._process is not None:
            return
        with (self.folder / "hub.log").open("ab") as log:
            self._process = subprocess.Popen(
                self.cluster.in_network([_PROGRAM, "serve"]),
                env=self._environ, stdout=log, stderr=log,
            )  # fmt: skip
        eventually(self._is_ready_unless_ended)

    def _is_ready_unless_ended(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "hub.log").read_text()[-2000:]
        return _is_ready(self.cluster)

    def stop(self) -> None:
        """End it; its files stay. Nothing answers on its port meanwhile."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def put_policy(self, document: dict[str, Any]) -> None:
        """Store the organization's own document of retention and alerts, as its owner."""
        url = f"{self.url}/api/orgs/{ORG}/audit/policy"
        _send(self.cluster, [url, self.pat, json.dumps(document)])

    def rows(self) -> list[Row]:
        """Return every event of terminals, oldest first."""
        url = f"{self.url}/api/orgs/{ORG}/audit?limit=500&action=pod.*&action=cluster.action_denied"
        events: list[Row] = json.loads(ask(self.cluster, url, self.pat))["events"]
        return sorted(events, key=lambda row: int(row["seq"]))

    def rows_of(self, actor: str) -> list[Row]:
        """Return the events of one person, who is another one for each test."""
        return [row for row in self.rows() if actor in (row["actor_email"], row["actor_user_id"])]

    def await_rows(self, actor: str, *actions: str) -> list[Row]:
        """Wait until a person has these events, and see that no other one comes."""
        eventually(lambda: len(self.rows_of(actor)) >= len(actions))
        time.sleep(_SETTLE_SECONDS)
        rows = self.rows_of(actor)
        assert [row["action"] for row in rows] == list(actions)
        return rows


def eventually(holds: Callable[[], bool], timeout_seconds: float = _WAIT_SECONDS) -> None:
    """Wait until something holds."""
    until = time.monotonic() + timeout_seconds
    while not holds():
        assert time.monotonic() < until, "it did not come to hold in time"
        time.sleep(0.1)


@contextlib.contextmanager
def running_hub(cluster: Cluster, folder: Path) -> Iterator[NodeHub]:
    """Run a hub with an org of its own for the length of the block."""
    hub = NodeHub(cluster, folder)
    try:
        hub.start()
        yield hub
    finally:
        hub.stop()


def _is_ready(cluster: Cluster) -> bool:
    words = [sys.executable, "-c", _ASK, f"http://{NODE_ADDRESS}:{_PROBES_PORT}/readyz"]
    return (
        subprocess.run(cluster.in_network(words), capture_output=True, check=False).returncode == 0
    )
