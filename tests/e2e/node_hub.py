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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cluster.network import NODE_ADDRESS
from tests.cluster.provider import Cluster

ORG = "org_x"
_PORT, _PROBES_PORT = 8080, 9280
_PROGRAM = str(Path(sys.executable).with_name("radar-audit-hub"))
_ASK = """
import sys, urllib.request
request = urllib.request.Request(sys.argv[1])
if len(sys.argv) > 2:
    request.add_header("Authorization", "Bearer " + sys.argv[2])
with urllib.request.urlopen(request, timeout=10) as answer:
    sys.stdout.buffer.write(answer.read())
"""
_WAIT_SECONDS = 20.0
_SETTLE_SECONDS = 1.5  # longer than a double would need to arrive

Row = dict[str, Any]


def ask(cluster: Cluster, url: str, token: str = "") -> str:
    """GET a URL from within the cluster's network."""
    words = [sys.executable, "-c", _ASK, url, *([token] if token else [])]
    done = subprocess.run(cluster.in_network(words), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-800:]
    return done.stdout


@dataclass(frozen=True)
class NodeHub:
    """A running hub: where it and its files are, and its two tokens."""

    cluster: Cluster
    folder: Path
    cluster_token: str = field(repr=False)
    pat: str = field(repr=False)
    url: str = f"http://{NODE_ADDRESS}:{_PORT}"

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
    environ = {k: v for k, v in os.environ.items() if not k.startswith("RADAR_AUDIT_")} | {
        "RADAR_AUDIT_HUB_DATABASE_URL": f"sqlite:///{folder / 'hub.db'}",
        "RADAR_AUDIT_HUB_LISTEN": f"{NODE_ADDRESS}:{_PORT}",
        "RADAR_AUDIT_HUB_PROBES_LISTEN": f"{NODE_ADDRESS}:{_PROBES_PORT}",
    }
    init = [_PROGRAM, "init", "--org-id", ORG, "--cluster-name", "e2e", "-o", "json"]
    made = json.loads(
        subprocess.run(init, env=environ, capture_output=True, text=True, check=True).stdout
    )
    with (folder / "hub.log").open("wb") as log:
        serving = subprocess.Popen(
            cluster.in_network([_PROGRAM, "serve"]), env=environ, stdout=log, stderr=log
        )
    try:
        hub = NodeHub(cluster, folder, made["cluster"]["token"], made["pat"]["token"])
        eventually(lambda: _is_ready(cluster))
        yield hub
    finally:
        serving.terminate()
        serving.wait()


def _is_ready(cluster: Cluster) -> bool:
    words = [sys.executable, "-c", _ASK, f"http://{NODE_ADDRESS}:{_PROBES_PORT}/readyz"]
    return (
        subprocess.run(cluster.in_network(words), capture_output=True, check=False).returncode == 0
    )
