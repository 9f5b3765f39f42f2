"""What a pod sends: its packets, caught on the node's bridge, and put together to streams.

Run as a program by `caught` in the cluster's network; standard library only. Never alters anything.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import struct
import subprocess
import sys
import zlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.machine import MachineCluster

_BRIDGE = "pods0"
_ETHERNET_BYTES = 14
_IPV4 = 0x0800
_TCP = 6
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_LARGEST_BYTES = 1 << 17  # the kernel joins what it sends to itself
_ROOM_BYTES = 64 << 20
_GZIP_MAGIC, _GZIP_WINDOW = b"\x1f\x8b\x08", 31

Destination = tuple[str, int, int]  # address, port, and the pod's own port (0 where there is none)


@contextlib.contextmanager
def caught(cluster: MachineCluster, pod_address: str, file: Path) -> Iterator[None]:
    """Write each IPv4 packet that the pod sends during the block to `file`."""
    words = [sys.executable, "-m", "tests.e2e.wire", pod_address, str(file)]
    with subprocess.Popen(cluster.in_network(words), stdout=subprocess.PIPE, text=True) as catching:
        assert catching.stdout is not None
        assert catching.stdout.readline() == "catching\n"
        try:
            yield
        finally:
            catching.terminate()
            assert catching.stdout.readline() == "dropped 0\n"


def streams(file: Path) -> dict[Destination, bytes]:
    """Return what was sent, each TCP stream in its order and without its repeats."""
    segments: dict[Destination, dict[int, bytes]] = defaultdict(dict)
    data, at = file.read_bytes(), 0
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        packet = data[at + 4 : at + 4 + size]
        at += 4 + size
        destination, sequence, payload = _read(packet)
        known = segments[destination].get(sequence, b"")
        segments[destination][sequence] = max(known, payload, key=len)
    return {destination: _join(segments[destination]) for destination in segments}


def unpacked(stream: bytes) -> bytes:
    """Return the stream, followed by everything in it that was compressed by gzip."""
    parts, at = [stream], stream.find(_GZIP_MAGIC)
    while at >= 0:
        with contextlib.suppress(zlib.error):
            parts.append(zlib.decompressobj(_GZIP_WINDOW).decompress(stream[at:]))
        at = stream.find(_GZIP_MAGIC, at + 1)
    return b"\n".join(parts)


def _read(packet: bytes) -> tuple[Destination, int, bytes]:
    head = (packet[0] & 0x0F) * 4
    total = struct.unpack_from(">H", packet, 2)[0] or len(packet)
    address = socket.inet_ntoa(packet[16:20])
    if packet[9] != _TCP:
        return (address, 0, 0), len(packet), packet[head:total]
    own, port, sequence = struct.unpack_from(">HHI", packet, head)
    start = head + (packet[head + 12] >> 4) * 4
    return (address, port, own), sequence, packet[start:total]


def _join(segments: dict[int, bytes]) -> bytes:
    """Join by sequence numbers, which may begin anew at 0; overlaps are kept, nothing is missed."""
    first = next(iter(segments))
    return b"".join(
        segments[number]
        for number in sorted(segments, key=lambda n: (n - first + (1 << 31)) % (1 << 32))
    )


def _catch(pod_address: str, path: Path) -> None:
    wanted = socket.inet_aton(pod_address)
    catching = True

    def stop(*_: object) -> None:
        nonlocal catching
        catching = False

    signal.signal(signal.SIGTERM, stop)
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_IPV4)) as tap,
        path.open("wb") as file,
    ):
        tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM_BYTES)
        tap.bind((_BRIDGE, _IPV4))
        tap.settimeout(0.2)
        sys.stdout.write("catching\n")
        sys.stdout.flush()
        while True:
            try:
                packet = tap.recv(_LARGEST_BYTES)[_ETHERNET_BYTES:]
            except TimeoutError:
                if catching:
                    continue
                break
            if packet[12:16] == wanted:
                file.write(struct.pack(">I", len(packet)) + packet)
        _, dropped = struct.unpack("II", tap.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
    sys.stdout.write(f"dropped {dropped}\n")


if __name__ == "__main__":
    _catch(sys.argv[1], Path(sys.argv[2]))
