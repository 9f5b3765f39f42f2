"""Speaks to the API server as Radar does, from inside Radar's pod; standard library only.

Run by `radar_pod` as a program in the client's container: its source is given to `python3 -c`. It
takes the in-cluster configuration as client-go does, and says what it saw as one line of JSON.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import socket
import ssl
import struct
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
PODS = "/api/v1/namespaces/demo/pods"


class Connection:
    """One TLS connection to the API server, by HTTP/1.1."""

    def __init__(self) -> None:
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
        context = ssl.create_default_context(cafile=f"{ACCOUNT}/ca.crt")
        context.set_alpn_protocols(["http/1.1"])
        raw = socket.create_connection((host, int(port)), 30)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = context.wrap_socket(raw, server_hostname=host)
        self.read = b""
        self.token = ""

    def request(self, method: str, target: str, fields: list[str]) -> int:
        """Send a head and return the status of the answer; what follows it is in `read`."""
        self.token = Path(ACCOUNT, "token").read_text(encoding="ascii").strip()
        lines = [
            f"{method} {target} HTTP/1.1",
            f"Host: {os.environ['KUBERNETES_SERVICE_HOST']}",
            "User-Agent: radar/v1.0.0 (linux/amd64) kubernetes/$Format",
            f"Authorization: Bearer {self.token}",
            *fields,
        ]
        self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        while b"\r\n\r\n" not in self.read:
            self.more()
        head, self.read = self.read.split(b"\r\n\r\n", 1)
        self.head = head.decode()
        return int(head.split(b" ")[1])

    def more(self) -> None:
        part = self.sock.recv(65536)
        if not part:
            raise EOFError
        self.read += part

    def frame(self) -> tuple[int, bytes]:
        """Return the opcode and payload of the next frame of the WebSocket."""
        while True:
            data = self.read
            if len(data) >= 2:
                size, start = data[1] & 0x7F, 2
                if size == 126 and len(data) >= 4:
                    size, start = struct.unpack(">H", data[2:4])[0], 4
                elif size == 127 and len(data) >= 10:
                    size, start = struct.unpack(">Q", data[2:10])[0], 10
                elif size >= 126:
                    size = 1 << 62
                if len(data) >= start + size:
                    self.read = data[start + size :]
                    return data[0] & 0x0F, data[start : start + size]
            self.more()

    def refusal(self) -> dict[str, Any]:
        """Read what follows the head: a Status object."""
        size = int(self.head.lower().split("content-length:")[1].split()[0])
        while len(self.read) < size:
            self.more()
        told: dict[str, Any] = json.loads(self.read[:size])
        return told

    def type_sum(self, number: int) -> None:
        """Type a word that only a shell turns into another, and wait for that one."""
        self.send(2, f"\0echo tea$(({number}+{number}))\n".encode())
        shown = b""
        while f"tea{2 * number}".encode() not in shown:
            shown += self.frame()[1]

    def send(self, opcode: int, payload: bytes) -> None:
        """Send a masked frame of at most 125 bytes."""
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        self.sock.sendall(bytes([0x80 | opcode, 0x80 | len(payload)]) + mask + masked)


def identity(user: str, groups: str) -> list[str]:
    return [f"Impersonate-User: {user}"] + [f"Impersonate-Group: {g}" for g in groups.split(",")]


def open_terminal(
    user: str, groups: str, container: str, *, tty: bool, pod: str = "web"
) -> tuple[Connection, int]:
    query = [("command", "sh"), ("container", container), ("stdin", "true"), ("stdout", "true")]
    query += [("tty", "true")] if tty else [("stderr", "true")]
    fields = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        "Sec-WebSocket-Protocol: v5.channel.k8s.io",
        *identity(user, groups),
    ]
    connection = Connection()
    target = f"{PODS}/{pod}/exec?{urllib.parse.urlencode(query)}"
    return connection, connection.request("GET", target, fields)


def open_spdy(user: str, groups: str, container: str, pod: str = "web") -> tuple[Connection, int]:
    fields = [
        "Connection: Upgrade",
        "Upgrade: SPDY/3.1",
        "X-Stream-Protocol-Version: v4.channel.k8s.io",
        "X-Stream-Protocol-Version: channel.k8s.io",
        "Content-Length: 0",
        *identity(user, groups),
    ]
    connection = Connection()
    query = f"command=sh&container={container}&stdin=true&stdout=true&tty=true"
    return connection, connection.request("POST", f"{PODS}/{pod}/exec?{query}", fields)


def terminal(user: str, groups: str, container: str, seconds: str, kind: str = "tty") -> Any:
    """Open a terminal, see its prompt, keep it for a while and leave it; tell how long it was.

    It is left without a word, by closing the connection: so it is known which end was first.
    `kind` is tty, plain (none), or exit: a terminal that is left by that word.
    """
    connection, status = open_terminal(user, groups, container, tty=kind != "plain")
    opened = time.monotonic()
    if status != 101:
        return {"status": status}
    shown = b""
    try:
        if kind != "plain":
            while b"#" not in shown and b"$" not in shown:
                opcode, payload = connection.frame()
                shown += payload
                if opcode == 8 or payload[:1] == b"\x03":
                    break
            else:
                connection.send(2, b"\x00echo tea$((1+1))\n")
                while b"tea2" not in shown:
                    shown += connection.frame()[1]
        say({"open": True})
        time.sleep(float(seconds))
        if kind == "exit":
            connection.send(2, b"\x00exit\n")
        if kind == "exit" or (b"tea2" not in shown and kind == "tty"):
            while True:
                connection.frame()
    except (EOFError, OSError):
        pass
    closed = time.monotonic()
    connection.sock.close()
    return {"status": status, "seconds": closed - opened, "shell": b"tea2" in shown}


def refused(user: str, groups: str, pod: str, container: str, how: str) -> Any:
    """Ask for a terminal that is not to be had; tell the status and the API server's reason."""
    if how == "spdy":
        connection, status = open_spdy(user, groups, container, pod)
    else:
        connection, status = open_terminal(user, groups, container, tty=True, pod=pod)
    assert status != 101
    told = connection.refusal()
    return {"status": status, "kind": told["kind"], "code": told["code"], "reason": told["reason"]}


def spdy(user: str, groups: str, container: str, seconds: str) -> Any:
    """Open a terminal by SPDY, say nothing in it and leave it; tell how long it was."""
    connection, status = open_spdy(user, groups, container)
    opened = time.monotonic()
    time.sleep(float(seconds))
    closed = time.monotonic()
    connection.sock.close()
    return {"status": status, "seconds": closed - opened}


def hold(user: str, groups: str, container: str, how: str) -> Any:
    """Open a terminal and stay in it until the other side ends it."""
    if how == "spdy":
        connection, status = open_spdy(user, groups, container)
    else:
        connection, status = open_terminal(user, groups, container, tty=True)
    say({"status": status})
    connection.sock.settimeout(300)
    try:
        while how == "spdy":
            connection.more()
        while connection.frame()[0] != 8:
            pass
        return {"ended": "by a close frame"}
    except (EOFError, OSError) as exc:
        return {"ended": type(exc).__name__}


def converse(user: str, groups: str, container: str) -> Any:
    """Open a terminal, type in it for each line of the input, and leave it at the input's end."""
    connection, status = open_terminal(user, groups, container, tty=True)
    assert status == 101, connection.head
    opened = time.monotonic()
    connection.type_sum(1)
    say({"token": hashlib.sha256(connection.token.encode()).hexdigest()})
    for number, _ in enumerate(sys.stdin, 2):
        connection.type_sum(number)
        say({"answered": number})
    closed = time.monotonic()
    connection.sock.close()
    return {"seconds": closed - opened}


def latency(groups: str, count: str, url: str, pat: str) -> Any:
    """Open terminals one by one; measure from each 101 until the hub's API has its start.

    Tell these times and, by the client's clock, how long each terminal was, all in seconds.
    """
    taken: list[float] = []
    lasted: dict[str, float] = {}
    for number in range(int(count)):
        user = f"latency-{os.getpid()}-{number}@example.com"
        connection, status = open_terminal(user, groups, "app", tty=True)
        began = time.monotonic()
        assert status == 101, connection.head
        request = urllib.request.Request(f"{url}?{urllib.parse.urlencode({'actor': user})}")
        request.add_header("Authorization", f"Bearer {pat}")
        while True:
            with urllib.request.urlopen(request, timeout=10) as answer:
                if json.load(answer)["events"]:
                    break
            time.sleep(0.005)
        closed = time.monotonic()
        connection.sock.close()
        taken.append(closed - began)
        lasted[user] = closed - began
    return {"queryable_seconds": taken, "terminal_seconds": lasted}


def fetch(target: str, *fields: str) -> Any:
    """GET something by HTTP/1.1 and tell what the bytes of its body hash to."""
    connection = Connection()
    status = connection.request("GET", target, [*fields, "Connection: close"])
    body = bytearray(connection.read)
    while part := connection.sock.recv(65536):
        body += part
    encoded = "content-encoding: gzip" in connection.head.lower()
    chunked = "transfer-encoding: chunked" in connection.head.lower()
    plain = unchunked(bytes(body)) if chunked else bytes(body)
    if encoded:
        plain = gzip.decompress(plain)
    return {
        "status": status,
        "gzip": encoded,
        "wire_bytes": len(body),
        "bytes": len(plain),
        "sha256": hashlib.sha256(plain).hexdigest(),
    }


def unchunked(body: bytes) -> bytes:
    parts: list[bytes] = []
    at = 0
    while True:
        line = body.index(b"\r\n", at)
        size = int(body[at:line], 16)
        if not size:
            return b"".join(parts)
        parts.append(body[line + 2 : line + 2 + size])
        at = line + 2 + size + 2


def say(what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> None:
    name, *words = sys.argv[1:]
    calls: dict[str, Callable[..., Any]] = {
        "terminal": terminal,
        "refused": refused,
        "spdy": spdy,
        "hold": hold,
        "converse": converse,
        "latency": latency,
        "fetch": fetch,
    }
    say(calls[name](*words))


if __name__ == "__main__":
    main()
