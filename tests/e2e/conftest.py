"""Fixtures of the gateway's e2e tests: one cluster, one hub and Radar's pod for all of them.

Also keeps a second run out meanwhile, ends what a dead one left, and shows what was measured.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.cluster import choice, machine, workload
from tests.cluster.errors import ClusterError
from tests.cluster.images import small_archives
from tests.cluster.machine import MachineCluster
from tests.cluster.places import cache_folder
from tests.cluster.progress import Progress
from tests.cluster.python_image import python_archive
from tests.cluster.versions import chosen_minor, release
from tests.cluster.webhook import AuditWebhook
from tests.e2e.figures import Figures
from tests.e2e.node_hub import NodeHub, running_hub
from tests.e2e.radar_pod import MakePod, RadarPod, Variant, running_pod

WEBHOOK_URL = "http://127.0.0.1:9443/audit"
_OTHER_PROVIDER = (
    f"{choice.VARIABLE} is set: make e2e stops parts of its clusters, and so starts its own ones;"
    " unset it, or test any other cluster by `make smoke`"
)
_FIGURES = pytest.StashKey[Figures]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin with no figures."""
    config.stash[_FIGURES] = Figures()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Show what was measured."""
    if lines := config.stash[_FIGURES].lines():
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> Figures:
    return pytestconfig.stash[_FIGURES]


@pytest.fixture(scope="session", autouse=True)
def only_run() -> Iterator[None]:
    """Let no other run use our clusters' names meanwhile, and end what a dead run left."""
    if os.environ.get(choice.VARIABLE, machine.PROVIDER) != machine.PROVIDER:
        pytest.exit(_OTHER_PROVIDER, returncode=1)
    try:
        with machine.sole_user("e2e"):
            yield
    except ClusterError as error:
        pytest.exit(str(error), returncode=1)


@pytest.fixture(scope="session")
def radar_cluster(only_run: None, figures: Figures) -> Iterator[MachineCluster]:
    webhook = AuditWebhook(WEBHOOK_URL, max_wait_seconds=0.2)
    up = machine.up("e2e-gateway", release(chosen_minor()), webhook, Progress())
    try:
        busybox = small_archives(cache_folder() / "images")[0]
        workload.apply(up, up.load_image(busybox), Progress())
        figures.note(f"Kubernetes {up.server_version()}")
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
def make_pod(radar_cluster: MachineCluster, hub: NodeHub) -> MakePod:
    """Return what runs a pod of Radar's for the length of a block."""
    return partial(running_pod, radar_cluster, hub, python_archive(cache_folder() / "images"))


@pytest.fixture(scope="session")
def pod(make_pod: MakePod) -> Iterator[RadarPod]:
    with make_pod(Variant()) as running:
        yield running
