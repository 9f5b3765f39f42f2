"""The programs of `make run`: hub, collector and tail as children, and where they keep things.

Owns their environment, their logs and their end. `run.py` calls it. Never leaves a child behind
and never prints a cluster token.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_LOG_TAIL_CHARACTERS = 2000


class PartsError(Exception):
    """A part does not start or does not stay; the message is the sentence to show."""


@dataclass(frozen=True)
class Org:
    """What `radar-audit-hub init` made: the org and its two tokens (kept out of the repr)."""

    org_id: str
    pat: str = field(repr=False)
    cluster_token: str = field(repr=False)


@dataclass(frozen=True)
class Place:
    """The data folder (an absolute path) and what lies in it."""

    folder: Path

    @property
    def database(self) -> Path:
        """The hub's SQLite database."""
        return self.folder / "hub.db"

    @property
    def database_url(self) -> str:
        """The same, as the hub's programs are told."""
        return f"sqlite:///{self.database}"

    @property
    def replayed_log(self) -> Path:
        """The growing copy of the recorded log, which the collector follows."""
        return self.folder / "audit-log.jsonl"

    @property
    def org_note(self) -> Path:
        """What `init` answered, tokens too: the database keeps only their hashes."""
        return self.folder / "org.json"

    @property
    def namespace(self) -> uuid.UUID:
        """Made once for this folder, so that its later replays have audit ids of their own."""
        return uuid.UUID(self._note("namespace", str(uuid.uuid4())))

    def next_replay(self) -> int:
        """Return 1 for the first replay into this folder, and one more each time."""
        number = int(self._note("replays", "0")) + 1
        (self.folder / "replays").write_text(str(number), encoding="utf-8")
        return number

    def _note(self, name: str, first: str) -> str:
        path = self.folder / name
        if not path.exists():
            path.write_text(first, encoding="utf-8")
        return path.read_text(encoding="utf-8")


@dataclass(frozen=True)
class Hub:
    """The running hub: its org, and its address as host:port."""

    org: Org
    address: str

    @property
    def url(self) -> str:
        """Where clients ask."""
        return f"http://{self.address}"

    def has_row_since(self, begin: datetime) -> bool:
        """Return whether a query from `begin` on finds an event."""
        query = urllib.parse.urlencode({"from": begin.isoformat(), "limit": 1})
        request = urllib.request.Request(f"{self.url}/api/orgs/{self.org.org_id}/audit?{query}")
        request.add_header("Authorization", f"Bearer {self.org.pat}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bool(json.load(answer)["events"])


class Parts:
    """The children, in the order of their start."""

    def __init__(self) -> None:
        """Nothing runs yet."""
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._logs: dict[str, tuple[Path, int]] = {}  # and where this start's lines begin

    def start_hub(self, place: Place, hub: Hub) -> None:
        """Start the hub and wait until it is ready. PartsError when it is not."""
        probes = free_address(9280)
        environ = _hub_environ(place) | {
            "RADAR_AUDIT_HUB_LISTEN": hub.address,
            "RADAR_AUDIT_HUB_PUBLIC_URL": hub.url,
            "RADAR_AUDIT_HUB_PROBES_LISTEN": probes,
        }
        self._start("hub", [_program("radar-audit-hub"), "serve"], environ, place.folder)
        self._await_ready(probes)

    def start_collector(self, place: Place, hub: Hub, followed: Path) -> None:
        """Start a collector that follows the audit log `followed`."""
        environ = {
            # What an own log may need otherwise can be set in the environment.
            "RADAR_AUDIT_COLLECTOR_RADAR_SERVICE_ACCOUNT": "radar/radar",
            **os.environ,
            "RADAR_AUDIT_COLLECTOR_HUB_URL": hub.url,
            "RADAR_AUDIT_COLLECTOR_TOKEN": hub.org.cluster_token,
            "RADAR_AUDIT_COLLECTOR_COLLECTOR_ID": "demo",
            "RADAR_AUDIT_COLLECTOR_DATA_DIR": str(place.folder / "collector"),
            "RADAR_AUDIT_COLLECTOR_LOGFILE_PATH": str(followed),
            "RADAR_AUDIT_COLLECTOR_PROBES_LISTEN": free_address(9281),
        }
        command = [_program("radar-audit-collector"), "run"]
        self._start("collector", command, environ, place.folder)

    def start_tail(self, hub: Hub) -> None:
        """Let `radar-audit tail -f` write rows to our standard output."""
        environ = os.environ | {
            "RADAR_AUDIT_URL": hub.url,
            "RADAR_AUDIT_TOKEN": hub.org.pat,
            "RADAR_AUDIT_ORG": hub.org.org_id,
        }
        self._running["tail"] = subprocess.Popen(
            [_program("radar-audit"), "tail", "-f"],
            env=environ, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def check(self) -> None:
        """Raise PartsError when a part has ended, with the end of its log."""
        for name, process in self._running.items():
            if process.poll() is not None:
                raise PartsError(
                    f"the {name} ended with code {process.returncode}{self._log_tail(name)}"
                )

    def stop(self) -> None:
        """End the children by their pids, the last started first."""
        while self._running:
            _, process = self._running.popitem()
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, name: str, command: list[str], environ: dict[str, str], folder: Path) -> None:
        path = folder / f"{name}.log"
        with path.open("ab") as log:
            self._logs[name] = (path, log.tell())
            # A session of its own: Ctrl-C reaches us alone, and we stop them in order.
            self._running[name] = subprocess.Popen(
                command, env=environ, cwd=folder, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def _await_ready(self, probes: str) -> None:
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until:
            self.check()
            try:
                with urllib.request.urlopen(f"http://{probes}/readyz", timeout=5):
                    return
            except OSError:
                time.sleep(0.05)
        raise PartsError(f"the hub is not ready{self._log_tail('hub')}")

    def _log_tail(self, name: str) -> str:
        if name not in self._logs:
            return ""
        path, begin = self._logs[name]
        text = path.read_bytes()[begin:].decode(errors="replace")
        return f"; {path} ends:\n{text[-_LOG_TAIL_CHARACTERS:]}"


def create_org(place: Place) -> Org:
    """Return the org of the data folder; the first start makes it. PartsError when it cannot."""
    if not place.org_note.exists():
        command = [_program("radar-audit-hub"), "init", "--org-id", "org_x", "--org-name", "Demo"]
        command += ["--email", "you@example.com", "--cluster-name", "demo", "-o", "json"]
        done = subprocess.run(
            command, env=_hub_environ(place), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise PartsError(
                f"`radar-audit-hub init` failed: {done.stderr.strip()[-_LOG_TAIL_CHARACTERS:]}\n"
                f"To begin anew, remove {place.folder}."
            )
        partial = place.org_note.with_suffix(".partial")
        partial.touch(mode=0o600)
        partial.write_text(done.stdout, encoding="utf-8")
        partial.replace(place.org_note)
    try:
        made = json.loads(place.org_note.read_text(encoding="utf-8"))
        return Org(made["org"]["id"], made["pat"]["token"], made["cluster"]["token"])
    except (ValueError, KeyError) as error:
        raise PartsError(
            f"{place.org_note} does not hold what `radar-audit-hub init` answers ({error!r})"
        ) from None


def free_address(port: int) -> str:
    """Return 127.0.0.1 with `port`, or with any free port where that one is taken."""
    for candidate in (port, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            return f"127.0.0.1:{probe.getsockname()[1]}"
    raise PartsError("no port of 127.0.0.1 is free")


def _hub_environ(place: Place) -> dict[str, str]:
    return os.environ | {"RADAR_AUDIT_HUB_DATABASE_URL": place.database_url}


def _program(name: str) -> str:
    return str(Path(sys.executable).parent / name)
