"""The command line, as its own process, against the real hub."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from radar_audit_events.ids import format_ms

from tests.cli.conftest import PROGRAM, Cli
from tests.cli.narrows import Narrows
from tests.cli.real_hub import RealHub, started

_PATIENCE_SECONDS = 120


def _minutes_ago(minutes: float) -> str:
    return format_ms(time.time_ns() // 1_000_000 - int(minutes * 60_000))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHub]:
    hub = RealHub(tmp_path_factory.mktemp("hub"))
    hub.start()
    hub.send(
        [started(f"s{n}", _minutes_ago(60 - n), hub.owner, container=f"c{n}") for n in range(20)]
    )
    yield hub
    hub.kill()


@pytest.fixture
def real(running: RealHub, monkeypatch: pytest.MonkeyPatch) -> RealHub:
    monkeypatch.setenv("RADAR_AUDIT_URL", running.url)
    monkeypatch.setenv("RADAR_AUDIT_TOKEN", running.token)
    return running


def _sessions(out: str) -> list[str]:
    return [
        event["metadata"]["session_id"]
        for event in map(json.loads, out.splitlines())
        if event["action"].startswith("pod.")
    ]


def test_every_filter_is_understood_by_the_hub(real: RealHub, cli: Cli) -> None:
    found = cli(
        *("query", "--action", "pod.*", "--type", "pod", "--actor", "Alice@acme.com"),
        *("--target", "cl_*", "--range", "24h", "--include", "recorded_at", "--limit", "5"),
        *("namespace:pay*", "-container:c19", "api-0", "-o", "ndjson"),
    )
    assert found.code == 0, found.err
    assert _sessions(found.out) == ["s18", "s17", "s16", "s15", "s14"]
    assert json.loads(found.out.splitlines()[0])["recorded_at"]
    assert cli("query", "--exit-code", "namespace:other").code == 5
    everything = cli("query", "--from", "2020-01-01", "--to", "2099-01-01", "--all", "-o", "name")
    assert len(everything.out.split()) >= 20


def test_show_facets_and_whoami_agree_with_the_hub(real: RealHub, cli: Cli) -> None:
    event_id = cli("query", "--limit", "1", "action:pod.*", "-o", "name").out.strip()
    shown = json.loads(cli("show", event_id, "-o", "json").out)
    assert shown["metadata"]["cluster_name"] == "prod"
    assert shown["recorded_at"]
    missing = cli("show", "ae_" + "0" * 26)
    assert missing.code == 1
    assert "there is no such event" in missing.err
    assert "(request " in missing.err
    counts = json.loads(cli("facets", "action:pod.exec_started", "-o", "json").out)
    assert counts["actors"] == [{"value": "alice@acme.com", "count": counts["total"]}]
    who = json.loads(cli("whoami", "-o", "json").out)
    assert (who["org_id"], who["role"]) == (real.org, "owner")


def test_both_forms_of_an_export_hold_what_query_finds(
    real: RealHub, cli: Cli, tmp_path: Path
) -> None:
    found = cli("query", "--all", "action:pod.*", "-o", "ndjson").out
    for form in ("ndjson", "csv"):
        result = cli("export", "action:pod.*", "-O", str(tmp_path / f"log.{form}"))
        assert result.code == 0, result.err
    lines = (tmp_path / "log.ndjson").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [json.loads(line) for line in found.splitlines()]
    ours = cli("query", "--all", "action:pod.*", "-o", "csv").out
    assert (tmp_path / "log.csv").read_bytes().decode() == ours


def test_who_may_not_read_is_told_which_role_may(
    real: RealHub, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADAR_AUDIT_TOKEN", real.token_of("viewer"))
    result = cli("query")
    assert result.code == 1
    assert "owner" in result.err


def test_a_token_that_the_hub_does_not_know_needs_a_login(
    real: RealHub, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADAR_AUDIT_TOKEN", "rhp_" + "x" * 43)
    result = cli("query")
    assert result.code == 4
    assert "hint: make a new token" in result.err


def test_a_foreign_org_is_not_found(real: RealHub, cli: Cli) -> None:
    result = cli("query", "--org", "org_other")
    assert result.code == 1
    assert result.err.startswith("radar-audit: ")


@pytest.mark.timeout(2 * _PATIENCE_SECONDS)
def test_a_tail_goes_over_a_killed_hub_without_double_or_gap(real: RealHub) -> None:
    process = subprocess.Popen(
        [PROGRAM, "tail", "-f", "-n", "3", "-o", "ndjson", "action:pod.*"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    # The hub's first word after it is back may need a moment: the line just comes later.
    watchdog = threading.Timer(_PATIENCE_SECONDS, process.kill)
    watchdog.start()
    try:
        seen = [process.stdout.readline() for _ in range(3)]
        real.send([started("t1", _minutes_ago(0), real.owner)])
        seen.append(process.stdout.readline())
        real.kill()
        told = process.stderr.readline()  # before the hub is back, else it might never notice
        real.start()
        # An old time: it came late, and must be shown all the same.
        real.send([started("t2", _minutes_ago(300), real.owner)])
        real.send([started("t3", _minutes_ago(0), real.owner)])
        seen += [process.stdout.readline() for _ in range(2)]
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
    assert _sessions("".join(seen)) == ["s17", "s18", "s19", "t1", "t2", "t3"]
    assert rest == ""
    assert "trying again" in told
    assert process.returncode == 2


@pytest.mark.timeout(2 * _PATIENCE_SECONDS)
def test_an_export_goes_over_a_killed_hub_by_resume(tmp_path: Path) -> None:
    hub = RealHub(tmp_path)
    hub.start()
    wide = "x" * 2000  # so that the export is larger than the kernel's buffers between the two
    now_ms = time.time_ns() // 1_000_000
    for batch in range(6):
        # A hundred events share each millisecond, so that the cut falls among equals.
        hub.send(
            [
                started(
                    f"b{batch}-{n}",
                    format_ms(now_ms - batch * 60_000 - n // 100),
                    hub.owner,
                    container=wide,
                )
                for n in range(1000)
            ]
        )
    target = tmp_path / "log.ndjson"
    part = tmp_path / "log.ndjson.part"
    with Narrows(int(hub.url.rsplit(":", 1)[1])) as narrows:
        env = os.environ | {"RADAR_AUDIT_URL": narrows.url, "RADAR_AUDIT_TOKEN": hub.token}
        command = [PROGRAM, "export", "action:pod.*", "-O", str(target)]
        process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
        while not (part.exists() and part.stat().st_size) and process.poll() is None:
            time.sleep(0.01)
        hub.kill()  # in the middle of the answer, of which no more comes through
        narrows.widen()
        _, err = process.communicate(timeout=30)
        assert process.returncode == 8, err
        assert not target.exists()
        hub.start()
        again = subprocess.run(
            [PROGRAM, "export", "--resume", "-O", str(target)],
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    hub.kill()
    assert again.returncode == 0, again.stderr
    sessions = _sessions(target.read_text())
    assert len(sessions) == 6000
    assert len(set(sessions)) == 6000
