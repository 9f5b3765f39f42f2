"""The real hub as its own process, for tests of the command line against it.

Owns its start, its sudden end and its start again at the same place, and the
sending of events as a collector does. The database is SQLite in a folder.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

PROGRAM = str(Path(sys.executable).with_name("radar-audit-hub"))


class RealHub:
    """One org with an owner, and one cluster; `token` is the owner's."""

    def __init__(self, folder: Path) -> None:
        self._env = {
            "PATH": os.environ["PATH"],
            "RADAR_AUDIT_HUB_DATA_DIR": str(folder),
            "RADAR_AUDIT_HUB_LISTEN": "127.0.0.1:0",
            "RADAR_AUDIT_HUB_PROBES_LISTEN": "127.0.0.1:0",
            "RADAR_AUDIT_HUB_DRAIN_SECONDS": "0",
        }
        made = self._run("init", "--email", "alice@acme.com", "--cluster-name", "prod")
        self.org: str = made["org"]["id"]
        self.owner: str = made["owner"]["user_id"]
        self.token: str = made["pat"]["token"]
        self._cluster_token: str = made["cluster"]["token"]
        self._process: subprocess.Popen[str] | None = None
        self._batches = 0
        self.url = ""

    def _run(self, *arguments: str) -> Any:
        done = subprocess.run(
            [PROGRAM, *arguments, "-o", "json"],
            env=self._env,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=60,
        )
        return json.loads(done.stdout)

    def token_of(self, role: str) -> str:
        """Return the token of a new member with this role."""
        member = self._run(
            *("member", "add", "--org-id", self.org, "--email", f"{role}@acme.com"),
            *("--role", role, "--pat", "test"),
        )
        token: str = member["pat"]["token"]
        return token

    def start(self) -> None:
        """Start serving; a second start takes the same address."""
        self._process = subprocess.Popen(
            [PROGRAM, "serve"], env=self._env, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr is not None
        for line in self._process.stderr:
            entry = json.loads(line)
            if "port" in entry:
                self.url = f"http://127.0.0.1:{entry['port']}"
                self._env["RADAR_AUDIT_HUB_LISTEN"] = f"127.0.0.1:{entry['port']}"
                return
        raise AssertionError("the hub ended before it served")

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self._process is not None
        assert self._process.stderr is not None
        self._process.kill()
        self._process.wait(timeout=20)
        self._process.stderr.close()

    def send(self, events: list[dict[str, Any]]) -> None:
        """Store a batch of at most 1,000 events; each has to be accepted."""
        self._batches += 1
        batch = {"collector_id": "c1", "batch_id": f"b{self._batches}", "events": events}
        request = urllib.request.Request(
            f"{self.url}/api/ingest/events",
            json.dumps(batch).encode(),
            {
                "Authorization": f"Bearer {self._cluster_token}",
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            results = json.load(answer)["results"]
        assert {result["result"] for result in results} == {"accepted"}, results[0]


def started(session: str, created_at: str, owner: str, **metadata: Any) -> dict[str, Any]:
    """Return the opening of a terminal as a collector sends it."""
    place = {"namespace": "payments", "pod": "api-0"}
    return {
        "action": "pod.exec_started",
        "session_id": session,
        "created_at": created_at,
        "actor_user_id": owner,
        "metadata": place | metadata,
    }
