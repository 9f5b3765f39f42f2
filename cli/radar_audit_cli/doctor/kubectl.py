"""Reading a cluster through the program `kubectl`, as the person who runs it.

Owns the calls: no shell, a bound on time and on what is read, and what its errors mean. Called
by the checks. Only ever reads; credentials and their plugins stay kubectl's own affair.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import threading
from dataclasses import dataclass
from typing import Any, Literal

MAX_ANSWER_BYTES = 64 * 1024 * 1024
_MAX_ERROR_CHARS = 300
_MARGIN_SECONDS = 5.0  # kubectl gives up by itself first, and says why
_FORBIDDEN = re.compile(
    r'cannot (?P<verb>\w+) resource "(?P<what>[^"]+)"'
    r'(?: in API group "[^"]*")?(?: in the namespace "(?P<where>[^"]+)")?'
)
Cause = Literal["forbidden", "not_found", "no_kind", "away", "other"]


class KubectlError(Exception):
    """kubectl gave no answer; the message is a sentence, `cause` says what kind of error it is."""

    def __init__(self, cause: Cause, message: str) -> None:
        """Keep both."""
        super().__init__(message)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Kubectl:
    """How to call it; the context and kubeconfig are passed on, null: kubectl's own choice."""

    context: str | None = None
    kubeconfig: str | None = None
    timeout_seconds: float = 10.0
    program: str = "kubectl"

    def items(
        self,
        kind: str,
        *,
        namespace: str | None = None,
        everywhere: bool = False,
        selector: str = "",
    ) -> list[Any]:
        """Return the objects of a kind that has no namespaces, or of one of them, or everywhere.

        Raises KubectlError.
        """
        arguments = ["get", kind, "-o", "json"]
        arguments += ["-n", namespace] if namespace else []
        arguments += ["-A"] if everywhere else []
        arguments += ["-l", selector] if selector else []
        found = self._json(arguments).get("items")
        return found if isinstance(found, list) else []

    def one(self, kind: str, name: str) -> dict[str, Any]:
        """Return one cluster-wide object. Raises KubectlError."""
        return self._json(["get", kind, name, "-o", "json"])

    def raw(self, path: str) -> str:
        """Return what the API server answers at a path. Raises KubectlError."""
        return self._run(["get", "--raw", path])

    def version(self) -> dict[str, Any]:
        """Return what `kubectl version` knows of both sides. Raises KubectlError."""
        return self._json(["version", "-o", "json"])

    def _json(self, arguments: list[str]) -> dict[str, Any]:
        try:
            found = json.loads(self._run(arguments))
        except (ValueError, RecursionError):
            raise KubectlError("other", f"kubectl {arguments[0]} printed no JSON") from None
        if not isinstance(found, dict):
            raise KubectlError("other", f"kubectl {arguments[0]} printed no object")
        return found

    def _run(self, arguments: list[str]) -> str:
        program = shutil.which(self.program)
        if program is None:
            raise KubectlError("away", "kubectl is not installed, or not on the PATH")
        command = [program, f"--request-timeout={self.timeout_seconds:g}s"]
        command += [f"--context={self.context}"] if self.context else []
        command += [f"--kubeconfig={self.kubeconfig}"] if self.kubeconfig else []
        code, out, err = _bounded([*command, *arguments], self.timeout_seconds + _MARGIN_SECONDS)
        if code != 0:
            raise _judge(err)
        return out


def _bounded(command: list[str], timeout_seconds: float) -> tuple[int, str, str]:
    """Run a program that reads nothing, and keep no more of its output than is allowed."""
    try:
        process = subprocess.Popen(  # noqa: S603 - kubectl, with arguments as a list
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that its credential plugins end with it
        )
    except OSError as error:
        raise KubectlError("away", f"kubectl cannot be started: {error.strerror}") from None
    timer = threading.Timer(timeout_seconds, _end, [process])
    timer.start()
    errors: list[bytes] = []
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        reader = threading.Thread(target=_drain, args=(process.stderr, errors))
        reader.start()
        out = process.stdout.read(MAX_ANSWER_BYTES + 1)
        is_long = len(out) > MAX_ANSWER_BYTES
        if is_long:
            _end(process)
        process.wait()
        reader.join()
    is_late = not timer.is_alive()
    timer.cancel()
    if is_long:
        raise KubectlError("other", f"kubectl printed more than {MAX_ANSWER_BYTES} bytes")
    if is_late:
        raise KubectlError("away", f"kubectl gave no answer within {timeout_seconds:g} seconds")
    text = errors[0].decode("utf-8", "replace") if errors else ""
    return process.returncode, out.decode("utf-8", "replace"), text


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)


def _drain(stream: Any, into: list[bytes]) -> None:
    into.append(stream.read(64 * 1024))
    while stream.read(64 * 1024):
        pass


def _judge(text: str) -> KubectlError:
    """Return the error for what kubectl wrote to standard error."""
    last = next((line for line in reversed(text.splitlines()) if line.strip()), "no reason given")
    shown = " ".join(last.split())[:_MAX_ERROR_CHARS]
    forbidden = _FORBIDDEN.search(text)
    if forbidden is not None:
        where = f" in the namespace {forbidden['where']}" if forbidden["where"] else ""
        right = f"{forbidden['verb']} {forbidden['what']}{where}"
        return KubectlError("forbidden", f"you may not {right}; ask for that right to see more")
    if "(Forbidden)" in text or "is forbidden" in text:
        return KubectlError("forbidden", shown)
    if "doesn't have a resource type" in text or "could not find the requested resource" in text:
        return KubectlError("no_kind", shown)
    if "(NotFound)" in text:
        return KubectlError("not_found", shown)
    if re.search(r"refused|timeout|timed out|no such host|Unable to connect|was refused", text):
        return KubectlError("away", f"the API server cannot be reached: {shown}")
    return KubectlError("other", f"kubectl: {shown}")
