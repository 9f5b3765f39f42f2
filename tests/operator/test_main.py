"""Guards the program: its check, its exit codes, its settings, and a log that stays quiet."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest
from radar_audit_operator.main import main
from radar_audit_operator.settings import OperatorSettings, load_settings
from radar_audit_runtime.settings import SettingsError

from tests.support.crd_checker import BUILD_SECONDS
from tests.support.operator_world import OWN, OperatorWorld, policy, secret

pytestmark = pytest.mark.timeout(BUILD_SECONDS)
NAMESPACE = "RADAR_AUDIT_OPERATOR_NAMESPACE"


async def checked(
    world: OperatorWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    monkeypatch.setenv("KUBECONFIG", world.api.write_kubeconfig(world.folder))
    monkeypatch.setenv(NAMESPACE, OWN)
    code = await asyncio.to_thread(main, ["check"])
    return code, capsys.readouterr().out


async def test_check_finds_nothing_wrong_where_all_is_well(
    world: OperatorWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await world.install()
    code, told = await checked(world, monkeypatch, capsys)
    assert code == 0
    assert "ok     AuditHub main" in told
    assert "wrong" not in told


async def test_check_names_what_is_missing(
    world: OperatorWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await world.install()
    await world.api.apply(secret(OWN, "hub-token", token="rhc_wrong"))
    world.api.faults.forbidden.add("leases")
    code, told = await checked(world, monkeypatch, capsys)
    assert code == 1
    assert "wrong  create leases in radar-audit: not allowed; it is needed to agree" in told
    assert "wrong  AuditHub main: the hub does not know the cluster token (401)" in told
    assert "rhc_wrong" not in told


def test_wrong_settings_are_named_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RADAR_AUDIT_OPERATOR_WORKERS", "0")
    monkeypatch.setenv("RADAR_AUDIT_OPERATOR_NAMESPCE", "x")
    assert main(["run"]) == 2
    told = capsys.readouterr().err
    assert "RADAR_AUDIT_OPERATOR_WORKERS" in told
    assert "the nearest one is RADAR_AUDIT_OPERATOR_NAMESPACE" in told


@pytest.mark.parametrize(
    ("name", "value"),
    [("NAMESPACE", "Not_A_Name"), ("LEASE_NAME", ""), ("PROBES_LISTEN", "9282")],
)
def test_names_and_addresses_are_checked(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load_settings({f"RADAR_AUDIT_OPERATOR_{name}": value})


def test_the_defaults_need_nothing_in_a_pod() -> None:
    assert load_settings({}) == OperatorSettings()


async def test_the_program_runs_quietly_and_ends_at_sigterm(
    world: OperatorWorld, tmp_path: Path
) -> None:
    await world.install()
    environ = {"KUBECONFIG": world.api.write_kubeconfig(world.folder), NAMESPACE: OWN}
    environ |= {
        "RADAR_AUDIT_OPERATOR_PROBES_LISTEN": "127.0.0.1:0",
        "RADAR_AUDIT_OPERATOR_LEASE_SECONDS": "60",  # a pause of this machine is no loss of it
        "PATH": "",
    }
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "radar_audit_operator", "run", env=environ, stderr=out
        )
    try:
        await world.api.apply(policy())
        await world.until_says("True/Synced")
        await world.until_watched(Counter())  # Kopf complains where it is ended in its beginning
        await world.api.apply(policy(retention={"maxAge": "29d"}))
        await world.until(lambda: world.status()["observedGeneration"] == 2)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["component"] for line in lines} == {"operator"}
    assert [line for line in lines if line["logger"].startswith("kopf")] == []
    assert len(lines) < 8
    lease = world.api.get("leases", OWN, "radar-audit-operator")
    assert lease["spec"]["holderIdentity"] == ""  # given up at the end
