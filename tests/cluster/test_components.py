"""Guards the configuration that a cluster's components get, and where it keeps its files."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.cluster import kind
from tests.cluster.cgroups import hierarchies
from tests.cluster.components import (
    FIXED_FOLDERS,
    SYSCTLS,
    command,
    component_names,
    preparations,
    write_configs,
)
from tests.cluster.errors import ClusterError
from tests.cluster.places import Layout, cache_folder, layout
from tests.cluster.webhook import AuditWebhook

_SECOND = "35 24 0:30 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
_FIRST = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"


@pytest.fixture
def place(tmp_path: Path) -> Layout:
    return Layout("main", tmp_path / "main", tmp_path / "programs")


def test_configurations_are_filled_in(place: Layout) -> None:
    write_configs(place, "overlayfs")
    kubelet = yaml.safe_load((place.configs / "kubelet.yaml").read_text())
    containerd = tomllib.loads((place.configs / "containerd.toml").read_text())
    network = json.loads((place.configs / "cni" / "10-pods.conflist").read_text())
    assert kubelet["tlsCertFile"] == str(place.certificates / "kubelet.crt")
    assert containerd["root"].startswith(str(place.data))
    assert network["plugins"][0]["ipam"]["dataDir"].startswith(str(place.data))


def test_the_first_audit_rule_is_the_one_that_admins_are_told_to_add(place: Layout) -> None:
    write_configs(place, "overlayfs")
    policy = yaml.safe_load((place.configs / "audit-policy.yaml").read_text())
    assert policy["rules"][0] == {
        "level": "Metadata",
        "users": ["system:serviceaccount:radar:radar"],
        "resources": [
            {"group": "", "resources": ["pods/exec", "pods/attach", "pods/ephemeralcontainers"]}
        ],
        "omitStages": ["RequestReceived"],
    }


def test_settings_of_the_whole_machine_are_covered_before_anything_starts(place: Layout) -> None:
    write_configs(place, "overlayfs")
    commands = preparations(place, hierarchies(_SECOND))
    for name, value in SYSCTLS.items():
        shown = place.sysctls / name
        assert shown.read_text() == f"{value}\n"
        assert ["mount", "--bind", str(shown), f"/proc/sys/{name}"] in commands
    covered = {step[3] for step in commands if step[:2] == ["mount", "--bind"]}
    assert {str(folder) for folder in FIXED_FOLDERS} <= covered


def test_controllers_that_share_a_hierarchy_keep_their_names(place: Layout) -> None:
    commands = preparations(place, hierarchies(_FIRST))
    assert ["ln", "-s", "cpu,cpuacct", "/sys/fs/cgroup/cpuacct"] in commands


def test_every_component_has_a_command_line(place: Layout) -> None:
    lines = [command(name, place) for name in component_names()]
    assert [Path(line[0]).name for line in lines] == list(component_names())


def test_the_api_server_sends_events_only_where_it_is_told_to(place: Layout) -> None:
    silent = command("kube-apiserver", place)
    told = command("kube-apiserver", place, AuditWebhook("https://127.0.0.1:9443/audit"))
    assert not [flag for flag in silent if "webhook" in flag]
    assert f"--audit-webhook-config-file={place.webhook}" in told
    assert "--audit-webhook-batch-max-wait=1.0s" in told


def test_the_webhook_file_holds_what_the_sink_asks_for(tmp_path: Path) -> None:
    webhook = AuditWebhook("https://127.0.0.1:9443/audit", b"PEM", "secret")
    webhook.write(tmp_path / "file")
    written = json.loads((tmp_path / "file").read_text())
    assert written["clusters"][0]["cluster"] == {
        "server": "https://127.0.0.1:9443/audit",
        "certificate-authority-data": "UEVN",
    }
    assert written["users"][0]["user"] == {"token": "secret"}
    assert (tmp_path / "file").stat().st_mode & 0o077 == 0
    assert "secret" not in repr(webhook)


def test_kind_shares_the_audit_log_and_its_policy(tmp_path: Path) -> None:
    made = kind.configuration(tmp_path, AuditWebhook("https://sink.example/audit"))
    node = made["nodes"][0]
    server = json.loads(node["kubeadmConfigPatches"][0])["apiServer"]
    shared = node["extraMounts"][0]["containerPath"]
    assert node["extraMounts"][0]["hostPath"] == str(tmp_path)
    assert server["extraVolumes"][0]["mountPath"] == shared
    files = [
        value for name, value in server["extraArgs"].items() if name.endswith(("path", "file"))
    ]
    assert len(files) == 3
    assert all(file.startswith(f"{shared}/") for file in files)


def test_clusters_have_folders_of_their_own_in_the_cache() -> None:
    environ = {"XDG_CACHE_HOME": "/caches"}
    assert layout("a", Path(), environ).folder == Path("/caches/radar-audit/cluster/running/a")
    assert cache_folder({"HOME": "/home/x"}) == Path("/home/x/.cache/radar-audit/cluster")


@pytest.mark.parametrize("name", ["", "A", "../x", "a/b", "-a", "a-", "a" * 33])
def test_a_name_that_is_no_folder_name_is_refused(name: str) -> None:
    with pytest.raises(ClusterError, match="lower-case letters, digits and dashes"):
        layout(name, Path(), {"HOME": "/home/x"})
