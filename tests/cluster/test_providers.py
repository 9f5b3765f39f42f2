"""Guards what every provider's cluster does with kubectl, and what is said when one is no use."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cluster import kubeconfig
from tests.cluster.errors import ClusterError
from tests.cluster.images import BUSYBOX_IMAGE, Archive
from tests.cluster.needs import install_command, missing_packages
from tests.cluster.provider import Component

ROOT = Path(__file__).parents[2]
_NODE = '{"items": [{"status": {"conditions": [{"type": "Ready", "status": "READY"}]}}]}'


class ScriptedCluster(kubeconfig.ForeignCluster):
    """A cluster whose kubectl is a shell script."""

    def __init__(self, folder: Path, script: str) -> None:
        super().__init__(folder / "admin", None)
        program = folder / "kubectl"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        self.kubectl_program = str(program)

    def in_network(self, argv: Sequence[str]) -> list[str]:
        return ["env", "WHERE=inside", *argv]

    def complaint(self) -> str:
        return "; the part has ended"


def test_kubectl_runs_in_the_clusters_network_as_its_admin(tmp_path: Path) -> None:
    cluster = ScriptedCluster(tmp_path, 'echo "$WHERE $*"; cat')
    told = cluster.kubectl("apply", "-f", "-", stdin="text")
    assert told == f"inside --kubeconfig={tmp_path}/admin apply -f -\ntext"


def test_what_kubectl_complains_about_is_the_error(tmp_path: Path) -> None:
    cluster = ScriptedCluster(tmp_path, "echo 'no such pod' >&2; exit 1")
    with pytest.raises(ClusterError, match="kubectl get pods: no such pod"):
        cluster.kubectl("get", "pods")


def test_a_kubectl_that_hangs_is_killed(tmp_path: Path) -> None:
    cluster = ScriptedCluster(tmp_path, "exec sleep 600")
    done = cluster.try_kubectl("get", "pods", timeout_seconds=0.2)
    assert done.returncode == 124


@pytest.mark.parametrize(("answer", "ready"), [("True", True), ("False", False)])
def test_a_node_counts_as_ready_when_it_says_so(tmp_path: Path, answer: str, ready: bool) -> None:
    cluster = ScriptedCluster(tmp_path, f"echo '{_NODE.replace('READY', answer)}'")
    assert cluster._nodes_are_ready() is ready


def test_a_cluster_without_nodes_is_not_ready(tmp_path: Path) -> None:
    assert not ScriptedCluster(tmp_path, "echo '{\"items\": []}'")._nodes_are_ready()


def test_a_wait_that_ends_says_what_the_provider_knows(tmp_path: Path) -> None:
    cluster = ScriptedCluster(tmp_path, "exit 1")
    with pytest.raises(ClusterError, match="is not ready after 0 s; the part has ended"):
        cluster.await_ready(timeout_seconds=0.1)


def test_a_foreign_cluster_is_taken_only_with_one_kubeconfig_that_exists(tmp_path: Path) -> None:
    for given in ({}, {"KUBECONFIG": str(tmp_path / "none")}, {"KUBECONFIG": str(tmp_path)}):
        with pytest.raises(ClusterError, match="set KUBECONFIG to one file"):
            kubeconfig.take(given)


def test_a_foreign_cluster_without_a_registry_gets_only_the_public_busybox(tmp_path: Path) -> None:
    cluster = kubeconfig.ForeignCluster(tmp_path, None)
    assert "busybox" in cluster.load_image(Archive(BUSYBOX_IMAGE, tmp_path))
    with pytest.raises(ClusterError, match=kubeconfig.REGISTRY_VARIABLE):
        cluster.load_image(Archive("localhost/radar-audit/python:1", tmp_path))


def test_a_foreign_cluster_whose_nodes_have_the_images_gets_nothing_copied(tmp_path: Path) -> None:
    cluster = kubeconfig.ForeignCluster(tmp_path, kubeconfig.PRELOADED)
    name = "localhost/radar-audit/python:1"
    assert cluster.load_image(Archive(name, tmp_path / "not-there")) == name


def test_a_foreign_cluster_is_never_stopped(tmp_path: Path) -> None:
    cluster = kubeconfig.ForeignCluster(tmp_path, None)
    assert not cluster.can_control
    with pytest.raises(ClusterError, match="cannot stop the kube-apiserver"):
        cluster.stop(Component.APISERVER)
    with pytest.raises(ClusterError, match="audit log"):
        cluster.audit_log()


def test_only_packages_of_which_something_is_missing_are_installed() -> None:
    assert missing_packages(bool) == ()
    assert missing_packages(lambda need: need != "/usr/lib/cni/bridge") == (
        "containernetworking-plugins",
    )
    assert install_command(["runc"])[-1] == "runc"


def run(*arguments: str, cache: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    given = {k: v for k, v in os.environ.items() if k != "KUBECONFIG"}
    return subprocess.run(
        [sys.executable, "-m", "tests.cluster", *arguments],
        cwd=ROOT, env=given | {"XDG_CACHE_HOME": str(cache)} | environ,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_status_says_what_is_not_built_and_changes_nothing(tmp_path: Path) -> None:
    done = run("status", cache=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Kubernetes 1.34." in done.stdout
    assert "not built" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_error_is_one_sentence_and_exit_code_1(tmp_path: Path) -> None:
    done = run("up", "--provider", "kubeconfig", cache=tmp_path)
    assert done.returncode == 1
    assert (
        done.stderr == "cluster: set KUBECONFIG to one file, the kubeconfig of a cluster's admin\n"
    )


def test_a_cluster_that_never_ran_is_ended_without_complaint(tmp_path: Path) -> None:
    assert run("down", cache=tmp_path).returncode == 0
    gone = run("run", "--", "true", cache=tmp_path)
    assert gone.returncode == 1
    assert "no cluster main of the provider machine runs" in gone.stderr


def test_the_provider_is_chosen_by_the_environment(tmp_path: Path) -> None:
    done = run("run", "--", "true", cache=tmp_path, RADAR_AUDIT_CLUSTER_PROVIDER="kind")
    assert "no cluster main of the provider kind runs" in done.stderr
