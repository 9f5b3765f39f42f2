"""Guards, at length, that no stream of bytes brings an exec past the gateway unseen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.go_heads import GoHeads, running_go_heads
from tests.support.hostile_heads import check, passing, streams

LONG = settings(
    max_examples=20_000,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def go() -> Iterator[GoHeads]:
    with running_go_heads() as oracle:
        yield oracle


@pytest.mark.timeout(600)
@LONG
@given(stream=streams(), piece_bytes=st.sampled_from([1, 2, 3, 7, 50, 1 << 20]))
def test_whatever_is_sent_no_exec_passes_unseen(
    stream: bytes, piece_bytes: int, go: GoHeads
) -> None:
    check(go, stream, piece_bytes)
    assert passing(stream, piece_bytes)[0] == passing(stream, 1 << 20)[0]
