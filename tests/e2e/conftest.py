"""Fixtures of the gateway's e2e tests: one cluster, one hub and Radar's pod for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import machine, workload
from tests.cluster.images import small_archives
from tests.cluster.machine import MachineCluster
from tests.cluster.places import cache_folder
from tests.cluster.progress import Progress
from tests.cluster.python_image import python_archive
from tests.cluster.versions import chosen_minor, release
from tests.cluster.webhook import AuditWebhook
from tests.e2e.node_hub import NodeHub, running_hub
from tests.e2e.radar_pod import RadarPod, running_pod

WEBHOOK_URL = "http://127.0.0.1:9443/audit"


@pytest.fixture(scope="session")
def radar_cluster() -> Iterator[MachineCluster]:
    webhook = AuditWebhook(WEBHOOK_URL, max_wait_seconds=0.2)
    up = machine.up("e2e-gateway", release(chosen_minor()), webhook, Progress())
    try:
        busybox = small_archives(cache_folder() / "images")[0]
        workload.apply(up, up.load_image(busybox), Progress())
        yield up
    finally:
        up.down()


@pytest.fixture(scope="session")
def hub(
    radar_cluster: MachineCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NodeHub]:
    folder: Path = tmp_path_factory.mktemp("hub")
    with running_hub(radar_cluster, folder) as running:
        yield running


@pytest.fixture(scope="session")
def pod(radar_cluster: MachineCluster, hub: NodeHub) -> Iterator[RadarPod]:
    with running_pod(radar_cluster, hub, python_archive(cache_folder() / "images")) as running:
        yield running
