"""A name service for a test cluster, in the place of CoreDNS: the addresses of its services.

Runs in the cluster's network, on the address that the kubelet gives to pods:
`python -m tests.e2e.name_service KUBECTL KUBECONFIG`. Answers A queries for
NAME.NAMESPACE.svc.cluster.local, asked of kubectl; every other name there is not.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import subprocess
import sys
import time

from tests.cluster.network import NODE_ADDRESS

PORT = 53
READY = "answers"
_DOMAIN = "svc.cluster.local"
_HEAD = struct.Struct(">HHHHHH")
_ANSWERED, _NO_SUCH_NAME = 0x8580, 0x8583  # authoritative, recursion said to be there
_A, _IN = 1, 1
_TTL_SECONDS = 5
_FRESH_SECONDS = 1.0


class Names:
    """The services of a cluster, asked for again when a name is not known."""

    def __init__(self, kubectl: str, kubeconfig: str) -> None:
        """Take what to ask with; nothing is asked yet."""
        self._command = [kubectl, f"--kubeconfig={kubeconfig}", "get", "services", "-A", "-o=json"]
        self._known: dict[str, str] = {}
        self._asked_seconds = float("-inf")

    def address(self, name: str) -> str | None:
        """Return the address of `name`, in lower case and without the last dot."""
        if not name.endswith(_DOMAIN):
            return None
        if name not in self._known and time.monotonic() - self._asked_seconds > _FRESH_SECONDS:
            self._ask()
        return self._known.get(name)

    def _ask(self) -> None:
        done = subprocess.run(self._command, capture_output=True, text=True, check=False)
        self._asked_seconds = time.monotonic()
        if done.returncode == 0:
            self._known = {
                f"{each['metadata']['name']}.{each['metadata']['namespace']}.{_DOMAIN}": address
                for each in json.loads(done.stdout)["items"]
                if (address := each["spec"].get("clusterIP", "None")) != "None"
            }


def answer(query: bytes, names: Names) -> bytes:
    """Return the answer to a query of one question. ValueError when it is none."""
    number, _, questions, *_ = _HEAD.unpack_from(query)
    labels, at = [], _HEAD.size
    while questions == 1 and query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode("ascii").lower())
        at += 1 + query[at]
    kind, family = struct.unpack_from(">HH", query, at + 1)
    question = query[_HEAD.size : at + 5]
    address = names.address(".".join(labels))
    if address is None:
        return _HEAD.pack(number, _NO_SUCH_NAME, 1, 0, 0, 0) + question
    if (kind, family) != (_A, _IN):  # the name is there, but has no address of that family
        return _HEAD.pack(number, _ANSWERED, 1, 0, 0, 0) + question
    record = struct.pack(">HHHLH", 0xC000 | _HEAD.size, _A, _IN, _TTL_SECONDS, 4)
    head = _HEAD.pack(number, _ANSWERED, 1, 1, 0, 0)
    return head + question + record + socket.inet_aton(address)


def main() -> None:
    """Answer until standard input is closed, which whoever started us does by ending."""
    names = Names(*sys.argv[1:])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as service:
        service.bind((NODE_ADDRESS, PORT))
        sys.stdout.write(READY + "\n")
        sys.stdout.flush()
        while sys.stdin not in select.select([service, sys.stdin], [], [])[0]:
            query, peer = service.recvfrom(4096)
            try:
                service.sendto(answer(query, names), peer)
            except (ValueError, IndexError, struct.error):
                continue  # not a query


if __name__ == "__main__":
    main()
