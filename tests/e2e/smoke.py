"""One terminal from Radar to a row at the hub, on a cluster of any provider, by kubectl alone.

`make smoke`: needs a running cluster (`make cluster-up`, or KUBECONFIG), and leaves nothing in it
but what `cluster-up` put there. The hub runs in the cluster, too. `make e2e` tests far more, but
only where it may stop the cluster's parts.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

from tests.cluster import choice, workload
from tests.cluster.errors import ClusterError
from tests.cluster.images import small_archives
from tests.cluster.places import cache_folder
from tests.cluster.progress import Progress
from tests.cluster.provider import Cluster
from tests.cluster.python_image import python_archive

_HERE = Path(__file__).parent
_ORG, _USER = "org_x", "smoke@example.com"
_GROUPS = f"cloud:owner,cloud:org:{_ORG}"
_WAIT_SECONDS = 60.0
_ASK = """
import json, sys, urllib.request
made = json.load(open("/data/made.json"))
url = "http://127.0.0.1:8080/api/orgs/%s/audit?limit=500" % sys.argv[1]
request = urllib.request.Request(url)
request.add_header("Authorization", "Bearer " + made["pat"]["token"])
print(urllib.request.urlopen(request, timeout=10).read().decode())
"""


class SmokeError(Exception):
    """What the smoke test expected did not come."""


def smoke(cluster: Cluster, say: Progress) -> None:
    """Open a terminal through the gateway and see its two events. Raises SmokeError."""
    images = cache_folder() / "images"
    workload.apply(cluster, cluster.load_image(small_archives(images)[0]), say)
    python = cluster.load_image(python_archive(images))
    with _applied(cluster, "smoke-hub", _hub_manifest(python)):
        made = json.loads(_exec(cluster, "smoke-hub", "hub", "cat", "/data/made.json"))
        told = json.loads(cluster.kubectl("-n", "radar", "get", "pod", "smoke-hub", "-o", "json"))
        hub = f"http://{told['status']['podIP']}:8080"
        say("the hub runs")
        with _applied(cluster, "smoke", _radar_manifest(python, hub, made["cluster"]["token"])):
            say("Radar's pod runs, with the gateway in it")
            _check_terminal(cluster)
    say("a terminal gave its start and its end, once each")


def _check_terminal(cluster: Cluster) -> None:
    source = (_HERE / "radar_client.py").read_text(encoding="utf-8")
    words = ["python3", "-c", source, "terminal", _USER, _GROUPS, "app", "1.0"]
    seen = json.loads(_exec(cluster, "smoke", "client", *words).splitlines()[-1])
    if (seen["status"], seen.get("shell")) != (101, True):
        raise SmokeError(f"the terminal did not open: {seen}")
    until = time.monotonic() + _WAIT_SECONDS
    while len(rows := _rows(cluster)) < 2 and time.monotonic() < until:
        time.sleep(0.5)
    if [row["action"] for row in rows] != ["pod.exec_started", "pod.exec_ended"]:
        raise SmokeError(f"the hub has {[row['action'] for row in rows]}, not a start and an end")
    off = abs(rows[1]["metadata"]["duration_ms"] / 1000 - seen["seconds"])
    if rows[1]["metadata"]["pod"] != "web" or off > 0.5:
        raise SmokeError(f"the end is another terminal's, or {off:.1f} s off")


def _rows(cluster: Cluster) -> list[dict[str, Any]]:
    told = json.loads(_exec(cluster, "smoke-hub", "hub", "python3", "-c", _ASK, _ORG))
    found = [row for row in told["events"] if row["actor_email"] == _USER]
    return sorted(found, key=lambda row: int(row["seq"]))


def _exec(cluster: Cluster, pod: str, container: str, *words: str) -> str:
    return cluster.kubectl("-n", "radar", "exec", pod, "-c", container, "--", *words)


@contextlib.contextmanager
def _applied(cluster: Cluster, pod: str, manifest: str) -> Iterator[None]:
    """Have a pod of the namespace `radar` ready for the length of the block."""
    cluster.kubectl("apply", "-f", "-", stdin=manifest)
    try:
        ready = ["-n", "radar", "wait", "--for=condition=Ready", f"pod/{pod}", "--timeout=180s"]
        cluster.kubectl(*ready, timeout_seconds=190)
        yield
    finally:
        words = ["delete", "-f", "-", "--grace-period=1", "--ignore-not-found"]
        cluster.try_kubectl(*words, stdin=manifest, timeout_seconds=60)


def _hub_manifest(python: str) -> str:
    text = (_HERE / "hub-pod.yaml").read_text(encoding="utf-8")
    return Template(text).substitute(python=python, org=_ORG)


def _radar_manifest(python: str, hub: str, token: str) -> str:
    text = (_HERE / "radar-pod.yaml").read_text(encoding="utf-8")
    return Template(text).substitute(
        name="smoke", policy="open", spool="{}", tools="emptyDir: {}",
        python=python, hub=hub, token=token,
    )  # fmt: skip


def main(arguments: list[str]) -> int:
    """Run it on the chosen cluster; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.smoke")
    choice.add_place(parser)
    options = parser.parse_args(arguments)
    try:
        smoke(choice.find(options.provider, options.name), Progress())
    except (ClusterError, SmokeError) as error:
        sys.stderr.write(f"smoke: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
