"""Guards that the gateway is invisible: what comes through it is what comes around it.

Every case is run both ways with Radar's token in Radar's pod, and the hashes are compared.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from tests.cluster.images import small_archives
from tests.cluster.machine import MachineCluster
from tests.cluster.network import SERVER
from tests.cluster.places import cache_folder
from tests.e2e.node_hub import eventually
from tests.e2e.radar_pod import RadarPod

pytestmark = pytest.mark.timeout(900)
_MIB = 1024 * 1024
_COPIED_BYTES = 200 * _MIB
_FORWARDED_BYTES = 50 * _MIB
_LOG_LINES = 100_000  # less than what the kubelet rotates at
_WATCH_EVENTS = 10_000
_PERSON = ("--as=bytes@example.com", "--as-group=cloud:owner", "--as-group=cloud:org:org_x")
_WAYS = (False, True)
_CONFIGMAPS = "/api/v1/namespaces/demo/configmaps"
_FILL = """
import hashlib, random, sys
made, left, digest = random.Random(7), int(sys.argv[2]), hashlib.sha256()
with open(sys.argv[1], "wb") as file:
    while left:
        part = made.randbytes(min(left, 1 << 20))
        file.write(part)
        digest.update(part)
        left -= len(part)
print(digest.hexdigest())
"""
_HASH_URL = """
import hashlib, sys, urllib.request
print(hashlib.sha256(urllib.request.urlopen(sys.argv[1], timeout=60).read()).hexdigest())
"""
_CHURN = """
import http.client, json, ssl, sys, threading
certificate, key, ca, count = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.load_cert_chain(certificate, key)
context.check_hostname = False
def churn(worker, count):
    server = http.client.HTTPSConnection("127.0.0.1", 6443, context=context, timeout=30)
    path = "/api/v1/namespaces/demo/configmaps/churned-%d" % worker
    kind = {"Content-Type": "application/merge-patch+json"}
    for number in range(count):
        server.request("PATCH", path, json.dumps({"data": {"n": str(number)}}), kind)
        answer = server.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
workers = [threading.Thread(target=churn, args=(n, int(count) // 8)) for n in range(8)]
for worker in workers: worker.start()
for worker in workers: worker.join()
"""


def run(command: list[str], **more: Any) -> bytes:
    done = subprocess.run(command, capture_output=True, check=False, **more)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return bytes(done.stdout)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def in_app(cluster: MachineCluster, container: str, *words: str) -> str:
    return cluster.kubectl(
        "-n", "demo", "exec", "web", "-c", container, "--", *words, timeout_seconds=120
    )


@pytest.fixture(scope="module")
def list_target(radar_cluster: MachineCluster) -> str:
    """A list of 800 KiB at a fixed revision, so that it is the same each time."""
    items = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"large-{number}", "namespace": "demo"},
            "data": {"text": f"{number} " * 6000},
        }
        for number in range(40)
    ]
    made = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    radar_cluster.kubectl("create", "-f", "-", stdin=made)
    newest = json.loads(radar_cluster.kubectl("get", "--raw", _CONFIGMAPS))
    revision = newest["metadata"]["resourceVersion"]
    return f"{_CONFIGMAPS}?resourceVersion={revision}&resourceVersionMatch=Exact"


@pytest.mark.parametrize("accept", ["application/json", "application/vnd.kubernetes.protobuf"])
def test_large_lists_by_http1_with_gzip(pod: RadarPod, list_target: str, accept: str) -> None:
    fields = (f"Accept: {accept}", "Accept-Encoding: gzip")
    through, around = (pod.client("fetch", list_target, *fields, around=way) for way in _WAYS)
    assert through == around
    assert through["status"] == 200
    assert through["gzip"]
    assert through["bytes"] > 500_000


def test_large_lists_by_http2(pod: RadarPod, list_target: str) -> None:
    before = pod.counted('connections_total{protocol="h2"}')
    through, around = (run(pod.kubectl("get", "--raw", list_target, around=way)) for way in _WAYS)
    assert len(through) > 500_000
    assert sha256(through) == sha256(around)
    eventually(lambda: pod.counted('connections_total{protocol="h2"}') > before)


def test_copies_of_200_mb_both_ways(pod: RadarPod, radar_cluster: MachineCluster) -> None:
    source, copy = "/tmp/source", "/tmp/copy"
    words = ["python3", "-c", _FILL, source, str(_COPIED_BYTES)]
    made = run(pod.enter(words)).decode().strip()
    try:
        for around in _WAYS:
            target = f"demo/web:/tmp/copied-{around}"
            run(pod.kubectl(*_PERSON, "cp", "-c", "app", source, target, around=around))
            there = in_app(radar_cluster, "app", "sha256sum", f"/tmp/copied-{around}")
            assert there.split()[0] == made
            run(pod.kubectl(*_PERSON, "cp", "-c", "app", target, copy, around=around))
            assert run(pod.enter(["sha256sum", copy])).decode().split()[0] == made
            in_app(radar_cluster, "app", "rm", f"/tmp/copied-{around}")
    finally:
        run(pod.enter(["rm", "-f", source, copy]))


@pytest.mark.parametrize("websockets", [True, False])
def test_input_that_ends_before_the_output(pod: RadarPod, websockets: bool) -> None:
    data = bytes(range(256)) * 4096 * 5
    words = [*_PERSON, "-n", "demo", "exec", "-i", "web", "-c", "app", "--", "sha256sum"]
    for around in _WAYS:
        command = pod.kubectl(*words, around=around, websockets=websockets)
        assert run(command, input=data).decode().split()[0] == sha256(data)


def test_followed_logs(pod: RadarPod, radar_cluster: MachineCluster) -> None:
    image = small_archives(cache_folder() / "images")[0].name
    talk = f"sleep 4; seq 1 {_LOG_LINES}; sleep 3600"
    radar_cluster.kubectl(
        "-n", "demo", "run", "talker", f"--image={image}", "--restart=Never", "--command", "--",
        "sh", "-c", talk,
    )  # fmt: skip
    ready = ["wait", "--for=condition=Ready", "pod/talker", "--timeout=60s"]
    radar_cluster.kubectl("-n", "demo", *ready, timeout_seconds=70)
    # It talks on to nobody: a kubelet may cut the log of a container that ends.
    expected = "".join(f"{number}\n" for number in range(1, _LOG_LINES + 1)).encode()
    words = [*_PERSON, "-n", "demo", "logs", "-f", "talker"]
    following = [
        subprocess.Popen(pod.kubectl(*words, around=way), stdout=subprocess.PIPE) for way in _WAYS
    ]
    seen = []
    for program in following:
        assert program.stdout is not None
        seen.append(sha256(program.stdout.read(len(expected))))
        program.kill()
        program.wait()
        program.stdout.close()
    assert seen == [sha256(expected)] * len(_WAYS)


def test_followed_logs_end_with_their_container(
    pod: RadarPod, radar_cluster: MachineCluster
) -> None:
    image = small_archives(cache_folder() / "images")[0].name
    radar_cluster.kubectl(
        "-n", "demo", "run", "brief-talker", f"--image={image}", "--restart=Never", "--command",
        "--", "sh", "-c", "sleep 4; seq 1 1000; sleep 2; exit 3",
    )  # fmt: skip
    ready = ["wait", "--for=condition=Ready", "pod/brief-talker", "--timeout=60s"]
    radar_cluster.kubectl("-n", "demo", *ready, timeout_seconds=70)
    words = [*_PERSON, "-n", "demo", "logs", "-f", "brief-talker"]
    following = [
        subprocess.Popen(pod.kubectl(*words, around=way), stdout=subprocess.PIPE) for way in _WAYS
    ]
    said = [program.communicate(timeout=60)[0] for program in following]
    assert [program.returncode for program in following] == [0] * len(_WAYS)
    assert said == ["".join(f"{number}\n" for number in range(1, 1001)).encode()] * len(_WAYS)


def test_port_forward(pod: RadarPod, radar_cluster: MachineCluster) -> None:
    fill = f"dd if=/dev/urandom of=/www/large bs=1M count={_FORWARDED_BYTES // _MIB} 2>/dev/null"
    in_app(radar_cluster, "http", "sh", "-c", fill)
    made = in_app(radar_cluster, "http", "sha256sum", "/www/large").split()[0]
    for port, around in ((18080, False), (18081, True)):
        words = [*_PERSON, "-n", "demo", "port-forward", "pod/web", f"{port}:8080"]
        with subprocess.Popen(
            pod.kubectl(*words, around=around), stdout=subprocess.PIPE
        ) as forwarding:
            assert forwarding.stdout is not None
            assert b"Forwarding from" in forwarding.stdout.readline()
            url = f"http://127.0.0.1:{port}/large"
            hashed = run(pod.enter(["python3", "-c", _HASH_URL, url])).decode().strip()
            forwarding.kill()
        assert hashed == made


@contextlib.contextmanager
def watching(pod: RadarPod, target: str, *, around: bool) -> Iterator[IO[bytes]]:
    command = pod.kubectl("get", "--raw", target, around=around)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        yield program.stdout
        program.kill()


def test_watch_of_10000_events(
    pod: RadarPod, radar_cluster: MachineCluster, tmp_path: Path
) -> None:
    for number in range(8):
        radar_cluster.kubectl("-n", "demo", "create", "configmap", f"churned-{number}")
    newest = json.loads(radar_cluster.kubectl("get", "--raw", f"{_CONFIGMAPS}?limit=1"))
    revision = newest["metadata"]["resourceVersion"]
    target = f"{_CONFIGMAPS}?watch=1&resourceVersion={revision}"
    with (
        watching(pod, target, around=False) as through,
        watching(pod, target, around=True) as around,
        tempfile.TemporaryFile() as unread,
    ):
        churning = subprocess.Popen(
            radar_cluster.in_network(
                [sys.executable, "-c", _CHURN, *admin_files(radar_cluster, tmp_path),
                 str(_WATCH_EVENTS)]
            ),
            stderr=unread,
        )  # fmt: skip
        seen = [hashlib.sha256(), hashlib.sha256()]
        for _ in range(_WATCH_EVENTS):
            for stream, digest in zip((through, around), seen, strict=True):
                digest.update(stream.readline())
        assert churning.wait() == 0
        assert seen[0].hexdigest() == seen[1].hexdigest()


def admin_files(cluster: MachineCluster, folder: Path) -> list[str]:
    """Write the admin's certificate and key, and return them with the authority's file."""
    view = json.loads(cluster.kubectl("config", "view", "--raw", "--minify", "-o", "json"))
    user, server = view["users"][0]["user"], view["clusters"][0]["cluster"]
    assert server["server"] == SERVER
    texts = {
        "crt": user["client-certificate-data"],
        "key": user["client-key-data"],
        "ca": server["certificate-authority-data"],
    }
    for name, text in texts.items():
        (folder / name).write_bytes(base64.b64decode(text))
    return [str(folder / name) for name in texts]
