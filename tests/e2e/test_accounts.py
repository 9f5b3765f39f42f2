"""On a real API server: whose token it vouches for, and what `doctor` sees with few rights."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.machine import MachineCluster

pytestmark = pytest.mark.timeout(300)
_ROOT = Path(__file__).parents[2]
_BIN = Path(sys.executable).parent
_SPACE = "accounts"
_AUDIENCE = "radar-audit-hub"


@pytest.fixture(scope="module")
def accounts(radar_cluster: MachineCluster) -> Iterator[MachineCluster]:
    """The cluster with a few ServiceAccounts; `hub` may have tokens checked."""
    kubectl = radar_cluster.kubectl
    kubectl("create", "namespace", _SPACE)
    for name in ("hub", "collector", "stranger", "gone"):
        kubectl("-n", _SPACE, "create", "serviceaccount", name)
    role = ("--clusterrole=system:auth-delegator", f"--serviceaccount={_SPACE}:hub")
    kubectl("create", "clusterrolebinding", "accounts-hub", *role)
    yield radar_cluster
    kubectl("delete", "clusterrolebinding", "accounts-hub")
    kubectl("delete", "namespace", _SPACE, "--wait=false")


def token_of(cluster: MachineCluster, account: str, *audience: str) -> str:
    told = cluster.kubectl(
        "-n", _SPACE, "create", "token", account, *(f"--audience={each}" for each in audience)
    )
    return told.strip()


def api_server(cluster: MachineCluster) -> tuple[str, bytes]:
    """Return the API server's address and the certificates that vouch for it."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    (found,) = [each["cluster"] for each in config["clusters"]]
    if "certificate-authority-data" in found:
        return found["server"], base64.b64decode(found["certificate-authority-data"])
    return found["server"], Path(found["certificate-authority"]).read_bytes()


def verdicts(
    cluster: MachineCluster, folder: Path, own_token: str, tokens: dict[str, str]
) -> dict[str, str]:
    url, certificates = api_server(cluster)
    (folder / "ca.crt").write_bytes(certificates)
    (folder / "token").write_text(own_token)
    asked = {
        "api_url": url,
        "ca_file": str(folder / "ca.crt"),
        "token_file": str(folder / "token"),
        "collectors": [f"{_SPACE}/collector", f"{_SPACE}/gone"],
        "tokens": tokens,
    }
    command = cluster.in_network([sys.executable, "-m", "tests.e2e.account_login"])
    done = subprocess.run(
        command, cwd=_ROOT, input=json.dumps(asked), capture_output=True, text=True, check=True
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_the_api_server_vouches_for_tokens_of_our_audience_alone(
    accounts: MachineCluster, tmp_path: Path
) -> None:
    gone = token_of(accounts, "gone", _AUDIENCE)
    accounts.kubectl("-n", _SPACE, "delete", "serviceaccount", "gone")
    good = token_of(accounts, "collector", _AUDIENCE)
    head, claims, _ = good.split(".")
    tokens = {
        "good": good,
        "for the API server": token_of(accounts, "collector"),
        "for another": token_of(accounts, "collector", "other"),
        "for both": token_of(accounts, "collector", "other", _AUDIENCE),
        "of a stranger": token_of(accounts, "stranger", _AUDIENCE),
        "of one who is gone": gone,
        "forged": f"{head}.{claims}.{'A' * 342}",
    }
    own = token_of(accounts, "hub")
    assert verdicts(accounts, tmp_path, own, tokens) == {
        "good": f"{_SPACE}/collector",
        "for the API server": "wrong_audience",
        "for another": "wrong_audience",
        "for both": f"{_SPACE}/collector",
        "of a stranger": "not_allowed",
        "of one who is gone": "unknown",
        "forged": "unknown",
    }
    without_the_right = token_of(accounts, "stranger")
    asked = {"good": good}
    assert verdicts(accounts, tmp_path, without_the_right, asked) == {"good": "unavailable"}


def doctor(cluster: MachineCluster, *arguments: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """Run `kubectl radar-audit doctor` with the real kubectl."""
    kubectl = Path(cluster.kubectl_program)
    environ = {key: value for key, value in os.environ.items() if "RADAR_AUDIT" not in key}
    environ["PATH"] = f"{kubectl.parent}:{_BIN}:{os.environ['PATH']}"
    environ["KUBECONFIG"] = str(cluster.kubeconfig)
    command = [str(kubectl), "radar-audit", "doctor", "-o", "json", *arguments]
    done = subprocess.run(
        cluster.in_network(command), env=environ, capture_output=True, text=True, check=False
    )
    assert done.stdout, done.stderr
    rows = json.loads(done.stdout)["checks"]
    return done.returncode, {row["check"]: (row["state"], row["message"]) for row in rows}


def test_doctor_as_a_plugin_of_kubectl_says_what_a_cluster_without_us_lacks(
    accounts: MachineCluster,
) -> None:
    code, found = doctor(accounts, "--radar-namespace", _SPACE)
    assert code == 1
    assert found["cluster"][0] == "ok", found["cluster"]
    assert found["gateway-present"][0] == "fail"
    assert found["crds"][0] == "fail"
    assert "is not installed" in found["crds"][1]
    assert found["hub"][0] == "warn"
    assert found["audithubs"][0] == "unknown"


def test_doctor_with_few_rights_names_those_that_are_lacking(
    accounts: MachineCluster, tmp_path: Path
) -> None:
    config: Any = yaml.safe_load(accounts.kubeconfig.read_text())
    (user,) = config["users"]
    user["user"] = {"token": token_of(accounts, "stranger")}
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    code, found = doctor(accounts, "--kubeconfig", str(file))
    assert code == 0
    assert found["cluster"][0] == "ok"
    assert found["gateway-present"] == (
        "unknown",
        "you may not list pods in the namespace radar; ask for that right to see more",
    )
    states = {state for check, (state, _) in found.items() if check not in ("cluster", "versions")}
    assert states == {"unknown"}
