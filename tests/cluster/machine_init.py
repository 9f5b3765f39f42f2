"""The first process of a cluster: prepares its namespaces, then starts and stops what it is told.

Run by the provider `machine` in two steps: `enter` joins the cluster's control groups and becomes
`unshare`, which runs `serve` as process 1 of new namespaces. When that process ends, the kernel
ends every process, mount and network interface of the cluster. Never starts anything by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.cluster.cgroups import enter
from tests.cluster.control import encoded, short_name
from tests.cluster.mountpoints import hold

_NAMESPACES = ("--cgroup", "--ipc", "--mount", "--net", "--pid", "--uts")
_IDLE_SECONDS = 0.2


class Children:
    """The started processes by name, and how those that ended did."""

    def __init__(self) -> None:
        """No process yet."""
        self._changed = threading.Condition()
        self._pids: dict[str, int] = {}
        self._ended: dict[int, str] = {}

    def start(self, name: str, argv: list[str], log: str) -> None:
        """Start `argv` under `name`, in a session of its own; ValueError when that name runs."""
        with self._changed:
            if name in self._pids and self._pids[name] not in self._ended:
                raise ValueError(f"{name} runs already")
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            actions = [
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, flags, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ]
            # Under the lock, so that `reap` cannot meet a pid before its name is known.
            self._pids[name] = os.posix_spawnp(
                argv[0], argv, os.environ, file_actions=actions, setsid=True,
                setsigmask=(), setsigdef=(signal.SIGPIPE,),
            )  # fmt: skip

    def stop(self, name: str, signal_name: str, wait_seconds: float) -> bool:
        """Send the signal; return whether the process has ended when the time is over."""
        with self._changed:
            if name not in self._pids:
                raise ValueError(f"{name} was never started")
            pid = self._pids[name]
            if pid not in self._ended:
                os.kill(pid, signal.Signals[f"SIG{signal_name}"])
            return self._changed.wait_for(lambda: pid in self._ended, wait_seconds)

    def states(self) -> dict[str, str | None]:
        """Return how each process ended, None for those that run."""
        with self._changed:
            return {name: self._ended.get(pid) for name, pid in self._pids.items()}

    def reap(self) -> None:
        """Collect ended processes for ever, also those that lost their own parents."""
        while True:
            try:
                pid, status = os.waitpid(-1, 0)
            except ChildProcessError:
                time.sleep(_IDLE_SECONDS)
                continue
            with self._changed:
                if pid in self._pids.values():
                    code = os.waitstatus_to_exitcode(status)
                    self._ended[pid] = f"signal {-code}" if code < 0 else f"exit {code}"
                    self._changed.notify_all()


def answer(children: Children, request: dict[str, Any]) -> dict[str, Any]:
    """Do what `request` says and return the answer; a mistake is an answer too."""
    try:
        match request["do"]:
            case "start":
                children.start(request["name"], request["argv"], request["log"])
                return {}
            case "stop":
                name, signal_name = request["name"], request["signal"]
                return {"ended": children.stop(name, signal_name, request["wait_seconds"])}
            case "list":
                return {"processes": children.states()}
            case other:
                return {"error": f"the cluster knows no command {other!r}"}
    except (KeyError, OSError, ValueError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


def _attend(children: Children, peer: socket.socket) -> None:
    # A client that hangs up or writes nonsense costs this thread only.
    with peer, contextlib.suppress(OSError, ValueError):
        peer.sendall(encoded(answer(children, json.loads(peer.makefile("rb").readline()))))


def _accept(children: Children, listener: socket.socket) -> None:
    while True:
        peer, _ = listener.accept()
        threading.Thread(target=_attend, args=(children, peer), daemon=True).start()


def take_commands(control: Path) -> None:
    """Answer on the socket `control`, and collect ended processes, for ever."""
    # Later clients meet a socket that answers, or none: it gets its name when it listens.
    listener = socket.socket(socket.AF_UNIX)
    fresh = control.with_name(control.name + "~")
    with short_name(fresh) as name:
        listener.bind(name)
    listener.listen()
    fresh.rename(control)
    children = Children()
    threading.Thread(target=_accept, args=(children, listener), daemon=True).start()
    children.reap()


def main() -> None:
    """Do the step that the first argument names, with the plan of the second."""
    step, path = sys.argv[1:]
    plan = json.loads(Path(path).read_text(encoding="utf-8"))
    if step == "enter":
        enter(plan["group"])
        own = [sys.executable, "-m", "tests.cluster.machine_init", "serve", path]
        how = ["--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
        os.execvp("unshare", ["unshare", *_NAMESPACES, *how, *own])
    for folder in plan["held"]:
        hold(Path(folder))  # until this process ends, and with it the mounts
    socket.sethostname(plan["hostname"])
    for command in plan["commands"]:
        subprocess.run(command, check=True)
    take_commands(Path(plan["control"]))


if __name__ == "__main__":
    main()
