"""Guards the answers of the name service that the chart's e2e tests start."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import pytest

from tests.e2e.name_service import Names, answer

_SERVICES = """\
#!/bin/sh
echo '{"items": [
 {"metadata": {"name": "hub", "namespace": "audit"}, "spec": {"clusterIP": "10.202.0.7"}},
 {"metadata": {"name": "headless", "namespace": "audit"}, "spec": {"clusterIP": "None"}}]}'
"""
A, AAAA = 1, 28
NO_ERROR, NO_SUCH_NAME = 0, 3


@pytest.fixture
def names(tmp_path: Path) -> Names:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(_SERVICES)
    kubectl.chmod(0o755)
    return Names(str(kubectl), "unused")


def query(name: str, kind: int = A) -> bytes:
    labels = b"".join(bytes([len(each)]) + each.encode() for each in name.split("."))
    head = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0)
    return head + labels + b"\0" + struct.pack(">HH", kind, 1)


def told(names: Names, name: str, kind: int = A) -> tuple[int, list[str]]:
    """Return the code and the addresses of an answer."""
    said = answer(query(name, kind), names)
    number, flags, _, count, _, _ = struct.unpack_from(">HHHHHH", said)
    assert number == 7
    assert said[12:].startswith(query(name, kind)[12:])
    return flags & 0xF, [socket.inet_ntoa(said[-4:])] if count else []


def test_a_service_is_found_by_its_name_in_any_case(names: Names) -> None:
    assert told(names, "hub.audit.svc.cluster.local") == (NO_ERROR, ["10.202.0.7"])
    assert told(names, "HUB.audit.SVC.cluster.local") == (NO_ERROR, ["10.202.0.7"])


def test_a_name_without_an_address_of_that_family_is_there_all_the_same(names: Names) -> None:
    assert told(names, "hub.audit.svc.cluster.local", AAAA) == (NO_ERROR, [])


@pytest.mark.parametrize(
    "name",
    ["hub.audit.svc", "none.audit.svc.cluster.local", "headless.audit.svc.cluster.local", "a.com"],
)
def test_other_names_there_are_not(names: Names, name: str) -> None:
    assert told(names, name) == (NO_SUCH_NAME, [])


@pytest.mark.parametrize("said", [b"", b"\0" * 11, query("a.b")[:-5]])
def test_what_is_no_query_is_refused(names: Names, said: bytes) -> None:
    with pytest.raises((ValueError, IndexError, struct.error)):
        answer(said, names)
