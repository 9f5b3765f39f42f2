"""Asks Go's HTTP/1 server which requests it parses from given bytes.

Owns the process of `go_heads/main.go` and the form of its answers. Called by the
differential tests of the gateway's heads.
"""

from __future__ import annotations

import base64
import contextlib
import json
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.go_programs import build


@dataclass(frozen=True)
class Seen:
    """One request as Go's server has read it; `names` are the parts of its path."""

    method: bytes
    path: bytes
    names: tuple[bytes, ...]
    audit_id: bytes
    user: bytes
    groups: tuple[bytes, ...]
    authorization: bytes
    protocols: tuple[bytes, ...]
    agent: bytes
    container: bytes
    tty: bool
    stdin: bool
    close: bool

    @property
    def is_exec(self) -> bool:
        """Whether the API server would take it for an exec or attach."""
        return (
            len(self.names) == 7
            and self.names[:3] == (b"api", b"v1", b"namespaces")
            and self.names[4] == b"pods"
            and self.names[6] in (b"exec", b"attach")
        )


class GoHeads:
    """A running oracle; one question at a time."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def requests(self, sent: bytes, piece_bytes: int = 1 << 20) -> list[Seen]:
        """Return what the server reads if a client sends this (in such pieces) and closes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(struct.pack(">II", len(sent), piece_bytes) + sent)
        self._process.stdin.flush()
        return [_seen(each) for each in json.loads(self._process.stdout.readline())]


@contextlib.contextmanager
def running_go_heads() -> Iterator[GoHeads]:
    program = build(Path(__file__).with_name("go_heads"))
    with subprocess.Popen(
        [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        yield GoHeads(process)
        process.kill()


def _seen(each: dict[str, Any]) -> Seen:
    def raw(name: str) -> bytes:
        return base64.b64decode(each[name] or "")

    def raws(name: str) -> tuple[bytes, ...]:
        return tuple(base64.b64decode(value or "") for value in each[name] or ())

    return Seen(
        method=raw("Method"),
        path=raw("Path"),
        names=raws("Names"),
        audit_id=raw("AuditID"),
        user=raw("User"),
        groups=raws("Groups"),
        authorization=raw("Authorization"),
        protocols=raws("Protocols"),
        agent=raw("Agent"),
        container=raw("Container"),
        tty=each["TTY"],
        stdin=each["Stdin"],
        close=each["Close"],
    )
