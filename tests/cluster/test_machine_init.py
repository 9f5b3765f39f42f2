"""Guards how a cluster's first process starts, stops and collects the others."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster import control
from tests.cluster.errors import ClusterError
from tests.cluster.processes import KnownProcess, known

ROOT = Path(__file__).parents[2]
_SERVE = """
import pathlib, sys
from tests.cluster.machine_init import take_commands
take_commands(pathlib.Path(sys.argv[1]))
"""


def eventually(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def listens(place: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return control.first_process(place) > 0
    return False


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """The control socket of a first process, in no namespaces of its own."""
    # Deeper than a socket's address holds, as a cache folder may be.
    path = tmp_path / ("deep" * 30) / "control"
    path.parent.mkdir()
    child = subprocess.Popen([sys.executable, "-c", _SERVE, str(path)], cwd=ROOT)
    try:
        eventually(lambda: listens(path))
        yield path
    finally:
        if listens(path):
            for process in control.processes(path).values():
                control.stop(path, process.name, "KILL", 10)
        child.kill()
        child.wait()


def test_its_pid_is_learnt_from_the_socket(place: Path) -> None:
    command_line = Path(f"/proc/{control.first_process(place)}/cmdline").read_bytes()
    assert str(place).encode() in command_line.split(b"\0")


def test_a_started_process_writes_into_its_log_until_it_is_killed(
    place: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    control.start(place, "one", ["sh", "-c", "echo out; echo err >&2; exec sleep 600"], log)
    eventually(lambda: log.exists() and log.read_text() == "out\nerr\n")
    assert control.processes(place)["one"].ended is None
    assert control.stop(place, "one", "KILL", 10)
    assert control.processes(place)["one"].ended == "signal 9"


def test_a_stopped_process_can_be_started_again_under_its_name(place: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    control.start(place, "one", ["sleep", "600"], log)
    with pytest.raises(ClusterError, match="one runs already"):
        control.start(place, "one", ["sleep", "600"], log)
    assert control.stop(place, "one", "TERM", 10)
    control.start(place, "one", ["sleep", "600"], log)
    assert control.processes(place)["one"].ended is None


def test_a_process_that_ignores_the_signal_is_reported_as_running(
    place: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    control.start(place, "one", ["sh", "-c", "trap '' TERM; echo set; exec sleep 600"], log)
    eventually(lambda: log.exists() and log.read_text() == "set\n")
    assert not control.stop(place, "one", "TERM", 0.2)
    assert control.processes(place)["one"].ended is None


def test_a_process_that_ends_by_itself_is_known_with_its_exit_code(
    place: Path, tmp_path: Path
) -> None:
    control.start(place, "one", ["sh", "-c", "exit 7"], tmp_path / "log")
    eventually(lambda: control.processes(place)["one"].ended == "exit 7")
    assert control.stop(place, "one", "TERM", 1)


def test_a_program_that_is_not_there_is_an_error_and_no_end(place: Path, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="no-such-program"):
        control.start(place, "one", ["no-such-program"], tmp_path / "log")
    assert control.processes(place) == {}


def test_a_name_that_was_never_started_cannot_be_stopped(place: Path) -> None:
    with pytest.raises(ClusterError, match="two was never started"):
        control.stop(place, "two", "KILL", 1)


@pytest.mark.parametrize("line", [b"", b"\n", b"nonsense\n", b'{"do": "sing"}\n', b"[]\n"])
def test_nonsense_on_the_socket_ends_nothing(place: Path, line: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as peer:
        with control.short_name(place) as name:
            peer.connect(name)
        peer.sendall(line)
    assert control.processes(place) == {}


def test_nobody_on_the_socket_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="does not answer"):
        control.processes(tmp_path / "control")


def test_a_process_is_known_by_its_start_too() -> None:
    child = subprocess.Popen(["sleep", "600"])
    try:
        right = known(child.pid)
        wrong = KnownProcess(right.pid, right.started_ticks - 1, right.boot)
        assert right.is_alive()
        assert not wrong.is_alive()
        assert wrong.kill(1)
        assert right.is_alive()
    finally:
        child.kill()
        child.wait()


def test_a_process_is_gone_after_it_was_killed() -> None:
    pid = os.posix_spawnp("sleep", ["sleep", "600"], os.environ)
    right = known(pid)
    assert right.kill(20)
    assert not right.is_alive()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
