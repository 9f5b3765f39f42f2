"""Guards that no exec passes unseen: what passes the gateway is parsed by Go's own server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from radar_audit_collector.capture.gateway.heads import MAX_HEAD_BYTES, find_end, parse

from tests.support.gateway_world import exec_head
from tests.support.go_heads import GoHeads, running_go_heads
from tests.support.hostile_heads import EXEC_2, HOSTILE, VERSION, check, passing, streams


@pytest.fixture(scope="module")
def go() -> Iterator[GoHeads]:
    with running_go_heads() as oracle:
        yield oracle


@pytest.mark.parametrize("piece_bytes", [1, 7, 1 << 20])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_streams_pass_seen_or_not_at_all(name: str, piece_bytes: int, go: GoHeads) -> None:
    check(go, HOSTILE[name], piece_bytes)


def test_the_oracle_sees_what_the_gateway_must_stop(go: GoHeads) -> None:
    """Without the gateway the second request is read: the checks above can fail."""
    assert [request.is_exec for request in go.requests(VERSION + EXEC_2)] == [False, True]
    assert len(go.requests(exec_head() + EXEC_2)) == 2
    assert check(go, exec_head())[0].is_exec


@pytest.mark.parametrize("length", [MAX_HEAD_BYTES - 1, MAX_HEAD_BYTES, MAX_HEAD_BYTES + 1, 99_999])
@pytest.mark.parametrize("piece_bytes", [4096, 65_535, 65_536, 1 << 20])
def test_long_heads_do_not_open_a_way_round(length: int, piece_bytes: int, go: GoHeads) -> None:
    def padded(head: bytes) -> bytes:
        return head[:-2] + b"X: " + b"a" * (length - len(head) - 5) + b"\r\n\r\n"

    def stretched(head: bytes) -> bytes:
        return head.replace(b" HTTP/", b"?x=" + b"a" * (length - len(head) - 3) + b" HTTP/", 1)

    for first in (padded(VERSION), stretched(VERSION), padded(exec_head()), stretched(exec_head())):
        assert len(first) == length
        check(go, first + EXEC_2, piece_bytes)
    (request,) = check(go, padded(VERSION) + EXEC_2, piece_bytes)
    assert request.close
    assert len(check(go, stretched(VERSION) + EXEC_2, piece_bytes)) == 1


FUZZ = settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@FUZZ
@given(stream=streams(), piece_bytes=st.sampled_from([1, 3, 50, 1 << 20]))
@example(stream=VERSION + EXEC_2, piece_bytes=1)
def test_whatever_is_sent_no_exec_passes_unseen(
    stream: bytes, piece_bytes: int, go: GoHeads
) -> None:
    check(go, stream, piece_bytes)


@FUZZ
@given(stream=streams())
def test_what_go_accepts_is_read_here_too(stream: bytes, go: GoHeads) -> None:
    end = find_end(stream)
    if end < 0:
        assert not go.requests(stream)
        return
    if go.requests(stream[:end]):
        head = parse(stream[:end])
        assert head is not None


@FUZZ
@given(stream=streams(), piece_bytes=st.integers(1, 60))
def test_what_passes_does_not_depend_on_how_it_arrives(stream: bytes, piece_bytes: int) -> None:
    in_pieces, whole = passing(stream, piece_bytes), passing(stream, 1 << 20)
    assert in_pieces[0] == whole[0]
