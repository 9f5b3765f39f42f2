"""The processes of a cluster of the provider `machine`, and what is prepared before they start.

Owns every command line and every configuration file (the templates in conf/). Pure but for
`write_configs`; the provider runs what it returns.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from string import Template

from tests.cluster.cgroups import Hierarchy
from tests.cluster.images import PAUSE_IMAGE
from tests.cluster.network import (
    API_PORT,
    ETCD_CLIENTS,
    ETCD_PEERS,
    NODE_ADDRESS,
    NODE_NAME,
    NODE_NETWORK,
    POD_NETWORK,
    SERVICE_NETWORK,
)
from tests.cluster.places import Layout
from tests.cluster.webhook import AuditWebhook

TEMPLATES = Path(__file__).parent / "conf"
_CGROUPS = "/sys/fs/cgroup"
_NODE_BRIDGE = "node0"
# Kernel settings without a namespace that a kubelet wants so, and changes for the whole machine
# where they differ. It is shown a file with the wanted value instead.
SYSCTLS = {
    "kernel/keys/root_maxbytes": "25000000",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
}
# Folders with fixed places, which get the cluster's own folder mounted over them.
FIXED_FOLDERS = (Path("/var/lib/cni"), Path("/var/lib/kubelet"), Path("/var/log"))


def write_configs(layout: Layout, snapshotter: str) -> None:
    """Write the configuration files and the stand-ins of kernel settings for this cluster."""
    values = {
        "certificates": str(layout.certificates),
        "conf": str(layout.configs),
        "data": str(layout.data),
        "node_address": NODE_ADDRESS,
        "node_name": NODE_NAME,
        "pause_image": PAUSE_IMAGE,
        "pod_network": POD_NETWORK,
        "snapshotter": snapshotter,
    }
    for source in (path for path in TEMPLATES.rglob("*") if path.is_file()):
        target = layout.configs / source.relative_to(TEMPLATES)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = source.read_text(encoding="utf-8")
        target.write_text(Template(text).substitute(values), encoding="utf-8")
    for name, value in SYSCTLS.items():
        target = layout.sysctls / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(value + "\n", encoding="ascii")
    for folder in (layout.logs, layout.data, *(own_folder(layout, path) for path in FIXED_FOLDERS)):
        folder.mkdir(parents=True, exist_ok=True)


def own_folder(layout: Layout, fixed: Path) -> Path:
    """Return the cluster's folder that is mounted over `fixed`."""
    return layout.data / str(fixed).strip("/").replace("/", "-")


def preparations(layout: Layout, groups: Iterable[Hierarchy]) -> list[list[str]]:
    """Return the commands that the cluster's first process runs in its own namespaces."""
    commands = [["mount", "--make-rshared", "/"], *_mount_cgroups(groups)]
    commands += [["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"]]
    for fixed in FIXED_FOLDERS:
        commands += [["mount", "--bind", str(own_folder(layout, fixed)), str(fixed)]]
    for name in SYSCTLS:
        commands += [["mount", "--bind", str(layout.sysctls / name), f"/proc/sys/{name}"]]
    return [
        *commands,
        ["ip", "link", "set", "lo", "up"],
        # A bridge without ports stands for the node's network card: some kernels have no `dummy`.
        ["ip", "link", "add", _NODE_BRIDGE, "type", "bridge"],
        ["ip", "address", "add", NODE_NETWORK, "dev", _NODE_BRIDGE],
        ["ip", "link", "set", _NODE_BRIDGE, "up"],
        # Nothing answers there: it only lets packets for services reach kube-proxy's rules.
        ["ip", "route", "add", "default", "via", NODE_ADDRESS[:-1] + "254", "dev", _NODE_BRIDGE],
        ["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"],
    ]


def _mount_cgroups(groups: Iterable[Hierarchy]) -> list[list[str]]:
    """Mount the hierarchies anew, so that the cluster's own groups are what it sees as the root."""
    found = tuple(groups)
    if found[0].version == 2:
        return [["umount", "--recursive", _CGROUPS], ["mount", "-t", "cgroup2", "none", _CGROUPS]]
    commands = [["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", _CGROUPS]]
    for group in found:
        folder = f"{_CGROUPS}/{group.mounted.name}"
        commands += [
            ["mkdir", folder],
            ["mount", "-t", "cgroup", "-o", group.options, "cgroup", folder],
        ]
        if "," in group.mounted.name:
            commands += [
                ["ln", "-s", group.mounted.name, f"{_CGROUPS}/{controller}"]
                for controller in group.mounted.name.split(",")
            ]
    return commands


def component_names() -> tuple[str, ...]:
    """Return the names of the cluster's processes in the order of their start."""
    return (
        "etcd",
        "kube-apiserver",
        "containerd",
        "kubelet",
        "kube-proxy",
        "kube-controller-manager",
        "kube-scheduler",
    )


def command(name: str, layout: Layout, webhook: AuditWebhook | None = None) -> list[str]:
    """Return the command line of the component `name`; the API server's depends on `webhook`."""
    commands = {
        "etcd": _etcd(layout),
        "kube-apiserver": _apiserver(layout, webhook),
        "containerd": ["containerd", "--config", str(layout.configs / "containerd.toml")],
        "kube-controller-manager": _controller_manager(layout),
        "kube-scheduler": [
            layout.program("kube-scheduler"),
            f"--kubeconfig={layout.kubeconfig('kube-scheduler')}",
            "--leader-elect=false",
        ],
        "kubelet": [
            layout.program("kubelet"),
            f"--config={layout.configs / 'kubelet.yaml'}",
            f"--kubeconfig={layout.kubeconfig('kubelet')}",
            f"--hostname-override={NODE_NAME}",
            f"--node-ip={NODE_ADDRESS}",
        ],
        "kube-proxy": [
            layout.program("kube-proxy"),
            f"--config={layout.configs / 'kube-proxy.yaml'}",
        ],
    }
    return commands[name]


def _etcd(layout: Layout) -> list[str]:
    return [
        layout.program("etcd"),
        "--name=etcd",
        f"--data-dir={layout.data / 'etcd'}",
        f"--listen-client-urls={ETCD_CLIENTS}",
        f"--advertise-client-urls={ETCD_CLIENTS}",
        f"--listen-peer-urls={ETCD_PEERS}",
        f"--initial-advertise-peer-urls={ETCD_PEERS}",
        f"--initial-cluster=etcd={ETCD_PEERS}",
        "--unsafe-no-fsync",  # a test cluster that loses power is thrown away
        "--log-level=warn",
    ]


def _apiserver(layout: Layout, webhook: AuditWebhook | None) -> list[str]:
    keys = layout.certificates
    flags = {
        "etcd-servers": ETCD_CLIENTS,
        "secure-port": API_PORT,
        "bind-address": "0.0.0.0",
        "advertise-address": NODE_ADDRESS,
        "service-cluster-ip-range": SERVICE_NETWORK,
        "tls-cert-file": keys / "apiserver.crt",
        "tls-private-key-file": keys / "apiserver.key",
        "client-ca-file": keys / "ca.crt",
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "allow-privileged": "true",
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-key-file": keys / "service-accounts.pub",
        "service-account-signing-key-file": keys / "service-accounts.key",
        "kubelet-client-certificate": keys / "kubelet-client.crt",
        "kubelet-client-key": keys / "kubelet-client.key",
        "kubelet-certificate-authority": keys / "ca.crt",
        "kubelet-preferred-address-types": "InternalIP",
        "proxy-client-cert-file": keys / "front-proxy.crt",
        "proxy-client-key-file": keys / "front-proxy.key",
        "requestheader-client-ca-file": keys / "ca.crt",
        "requestheader-allowed-names": "front-proxy",
        "requestheader-username-headers": "X-Remote-User",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "audit-policy-file": layout.configs / "audit-policy.yaml",
        "audit-log-path": layout.audit_log,
    }
    if webhook is not None:
        flags |= webhook.flags(layout.webhook)
    return [layout.program("kube-apiserver"), *(f"--{name}={flags[name]}" for name in flags)]


def _controller_manager(layout: Layout) -> list[str]:
    keys = layout.certificates
    flags = {
        "kubeconfig": layout.kubeconfig("kube-controller-manager"),
        "service-account-private-key-file": keys / "service-accounts.key",
        "root-ca-file": keys / "ca.crt",
        "cluster-signing-cert-file": keys / "ca.crt",
        "cluster-signing-key-file": keys / "ca.key",
        "use-service-account-credentials": "true",
        "allocate-node-cidrs": "false",
        "leader-elect": "false",
    }
    program = layout.program("kube-controller-manager")
    return [program, *(f"--{name}={flags[name]}" for name in flags)]
