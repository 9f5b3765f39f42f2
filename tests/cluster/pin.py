"""Writes the go.mod and go.sum of one Kubernetes version, from what the Go module proxy publishes.

Owns the text of our go.mod. `python -m tests.cluster pin` calls it, when a version is added or
raised; the result is committed. Never builds anything.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.cluster.errors import ClusterError

_KUBERNETES = "k8s.io/kubernetes"
_ETCD = "go.etcd.io/etcd/server/v3"
_TOOLS = (
    _ETCD,
    *(
        f"{_KUBERNETES}/cmd/{name}"
        for name in (
            "kube-apiserver",
            "kube-controller-manager",
            "kube-proxy",
            "kube-scheduler",
            "kubectl",
            "kubelet",
        )
    ),
)


def go_mod(version: str, published: str) -> str:
    """Return the go.mod that builds Kubernetes `version` ("1.34.4").

    `published` is the go.mod of k8s.io/kubernetes at that version. It replaces its staging modules
    by relative paths, which a module that requires it does not inherit, so each gets its line here.
    ClusterError when it names no etcd or no staging module.
    """
    go = _line(r"^go (\S+)$", published)
    debug = _line(r"^godebug default=(\S+)$", published)
    etcd = _line(rf"^\s*{re.escape('go.etcd.io/etcd/client/v3')} (v\S+)", published)
    staging = re.findall(r"^\s*(k8s\.io/[a-z-]+) => \./staging/", published, re.MULTILINE)
    if not staging:
        raise ClusterError(f"the go.mod of Kubernetes {version} names no staging module")
    library = "v0." + version.split(".", 1)[1]
    blocks = [
        f"module radar-audit.test/cluster/v{version.replace('.', '-')}",
        f"go {go}",
        f"godebug default={debug}",
        _block("tool", _TOOLS),
        _block("require", [f"{_ETCD} {etcd}", f"{_KUBERNETES} v{version}"]),
        _block("replace", [f"{name} => {name} {library}" for name in sorted(set(staging))]),
    ]
    return "\n\n".join(blocks) + "\n"


def pin(version: str, folder: Path) -> None:
    """Write go.mod and go.sum of Kubernetes `version` into `folder` (asks the module proxy)."""
    folder.mkdir(parents=True, exist_ok=True)
    answer = _go("mod", "download", "-json", f"{_KUBERNETES}@v{version}", folder=folder.parent)
    published = Path(json.loads(answer)["GoMod"]).read_text(encoding="utf-8")
    (folder / "go.mod").write_text(go_mod(version, published), encoding="utf-8")
    _go("mod", "tidy", folder=folder)


def _go(*arguments: str, folder: Path) -> str:
    done = subprocess.run(
        ["go", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ClusterError(f"`go {' '.join(arguments)}` failed: {done.stderr.strip()[-1000:]}")
    return done.stdout


def _line(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        raise ClusterError(f"the go.mod of Kubernetes has no line like {pattern}")
    return found[1]


def _block(word: str, lines: Iterable[str]) -> str:
    return f"{word} (\n" + "".join(f"\t{line}\n" for line in lines) + ")"
