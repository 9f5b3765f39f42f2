"""Debian's Prometheus in a test cluster's network, with the chart's own alerts.

Owns its process and the questions that tests ask it. Made by the fixtures of the monitoring's e2e
test. Debian builds it without Kubernetes discovery, so targets are given by address. Ended by pid.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.provider import Cluster
from tests.cluster.tools import prometheus_path
from tests.e2e.node_hub import ask, eventually

_ADDRESS = "127.0.0.1:19090"
_ALERTS = Path(__file__).parents[2] / "charts" / "radar-audit" / "files" / "alerts"
_INTERVAL = "1s"  # instead of half a minute; the alerts' own times are as they are


class NodePrometheus:
    """A Prometheus that scrapes `targets`: job to (namespace, address)."""

    def __init__(
        self, cluster: Cluster, folder: Path, targets: Mapping[str, tuple[str, str]]
    ) -> None:
        """Write its configuration; nothing runs yet."""
        self._cluster, self._folder = cluster, folder
        jobs = [
            {
                "job_name": job,
                "static_configs": [{"targets": [address], "labels": {"namespace": namespace}}],
            }
            for job, (namespace, address) in targets.items()
        ]
        config = {
            "global": {"scrape_interval": _INTERVAL, "evaluation_interval": _INTERVAL},
            "rule_files": [f"{_ALERTS}/*.yaml"],
            "scrape_configs": jobs,
        }
        self._config = folder / "prometheus.yaml"
        self._config.write_text(yaml.safe_dump(config))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [str(prometheus_path()), f"--config.file={self._config}"]
        command += [f"--storage.tsdb.path={self._folder / 'data'}"]
        command += [f"--web.listen-address={_ADDRESS}"]
        with (self._folder / "prometheus.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._cluster.in_network(command), stdout=log, stderr=log
            )
        eventually(self._is_ready)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def get(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer of its API."""
        words = urllib.parse.urlencode(parameters)
        told = json.loads(ask(self._cluster, f"http://{_ADDRESS}/api/v1/{path}?{words}"))
        assert told["status"] == "success", told
        return told["data"]

    def query(self, expression: str) -> list[Any]:
        """Return the samples of an instant query."""
        return list(self.get("query", query=expression)["result"])

    def value(self, expression: str) -> float:
        """Return the one sample of an instant query; 0 where there is none."""
        found = self.query(expression)
        return float(found[0]["value"][1]) if found else 0.0

    def jobs_up(self) -> set[str]:
        """Return the jobs whose target answers."""
        targets = self.get("targets")["activeTargets"]
        return {each["labels"]["job"] for each in targets if each["health"] == "up"}

    def alerts(self) -> dict[str, str]:
        """Return each alert's state (inactive, pending, firing), once it was evaluated well."""
        rules = [each for group in self.get("rules")["groups"] for each in group["rules"]]
        return {
            each["name"]: each["state"] if each["health"] == "ok" else str(each.get("lastError"))
            for each in rules
        }

    def _is_ready(self) -> bool:
        assert self._process is not None
        log = self._folder / "prometheus.log"
        assert self._process.poll() is None, log.read_text(encoding="utf-8")[-2000:]
        url = f"http://{_ADDRESS}/-/ready"
        return "Ready" in ask(self._cluster, url, must_succeed=False)


@contextlib.contextmanager
def running_prometheus(
    cluster: Cluster, folder: Path, targets: Mapping[str, tuple[str, str]]
) -> Iterator[NodePrometheus]:
    """Run a Prometheus for the length of the block."""
    made = NodePrometheus(cluster, folder, targets)
    try:
        made.start()
        yield made
    finally:
        made.stop()
