"""Guards `make run` as a person meets it: rows, a working token, a second start, no leftovers."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import psutil
from replay import steps

ROOT = Path(__file__).parents[2]
RUN = ROOT / "scripts" / "demo" / "run.py"
FIRST_ROW = "9ab2aa80-03ee-4a19-adef-e01fdd0f4183"
Events = list[dict[str, Any]]
_WAIT_SECONDS = 30.0


class Run:
    """One start of the demo, read until the first terminal is shown."""

    def __init__(self, data: Path, *arguments: str) -> None:
        command = [sys.executable, str(RUN), "--data", str(data), *arguments]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1", "COLUMNS": "200"},
        )  # fmt: skip
        assert self.process.stdout is not None
        self.text = ""
        for line in self.process.stdout:
            self.text += line
            if "pod.exec_" in line and "query" not in line:
                break
        self.children = psutil.Process(self.process.pid).children(recursive=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.end()

    def events_once(self, is_there: Callable[[Events], bool]) -> Events:
        """Return the events when they are all there: rows come in batches, one after another."""
        end = time.monotonic() + _WAIT_SECONDS
        while not is_there(events := self.events()):
            assert time.monotonic() < end, events
            time.sleep(0.05)
        return events

    def events(self) -> Events:
        """Ask with the address, the org and the token that were printed."""
        printed = dict(re.findall(r"(RADAR_AUDIT_\w+)=(\S+)", self.text))
        url = f"{printed['RADAR_AUDIT_URL']}/api/orgs/{printed['RADAR_AUDIT_ORG']}/audit?limit=500"
        request = urllib.request.Request(url)
        request.add_header("Authorization", f"Bearer {printed['RADAR_AUDIT_TOKEN']}")
        with urllib.request.urlopen(request) as answer:
            return list(json.load(answer)["events"])

    def end(self) -> None:
        """Type Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        out, _ = self.process.communicate()
        self.text += out
        assert self.process.returncode == 0, self.text


def terminals(events: Events) -> set[str]:
    return {e["metadata"]["session_id"] for e in events if e["action"] == "pod.exec_started"}


def test_it_shows_rows_ends_its_children_and_goes_on_with_the_same_data(tmp_path: Path) -> None:
    with Run(tmp_path / "data") as first:
        before = first.events_once(lambda events: FIRST_ROW in terminals(events))
    assert len(first.children) == 3
    assert not [child for child in first.children if child.is_running()]

    with Run(tmp_path / "data") as second:
        after = second.events_once(lambda events: terminals(before) < terminals(events))
    token = re.compile(r"rhp_\S+")
    assert token.findall(second.text)[0] == token.findall(first.text)[0]
    assert {event["id"] for event in before} < {event["id"] for event in after}


def test_an_own_log_is_followed_and_not_written_to(tmp_path: Path) -> None:
    recorded = (ROOT / "scripts" / "demo" / "audit-log.jsonl").read_text().splitlines()
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    lines = [step.line for step in steps(recorded, an_hour_ago, FIRST_ROW, str)]
    own = tmp_path / "audit.log"
    own.write_text("\n".join(lines) + "\n")
    with Run(tmp_path / "data", "--audit-log", str(own)) as run:
        run.events_once(lambda events: FIRST_ROW in terminals(events))
    assert own.read_text().splitlines() == lines


def test_a_log_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, RUN, "--data", tmp_path, "--audit-log", "/no/log"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "AUDIT_LOG is /no/log" in done.stderr


def test_a_hub_that_does_not_start_is_told_by_what_it_said_this_time(tmp_path: Path) -> None:
    org = {"org": {"id": "org_x"}, "pat": {"token": "rhp_x"}, "cluster": {"token": "rhc_x"}}
    (tmp_path / "org.json").write_text(json.dumps(org))
    (tmp_path / "hub.log").write_text("of the start before\n")
    (tmp_path / "hub.db").mkdir()
    done = subprocess.run(
        [sys.executable, RUN, "--data", tmp_path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "the database cannot be used (SQLITE_CANTOPEN)" in done.stderr
    assert "of the start before" not in done.stderr
