"""Request bodies: compressed or not, never more than the limit, never waited for for ever."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import sys
import zlib
from collections.abc import AsyncIterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from radar_audit_events.wire import MAX_BATCH_BYTES
from radar_audit_hub.bodies import STEP_BYTES, decode_body, inflater
from radar_audit_hub.errors import InvalidBodyError
from radar_audit_hub.policy.own import OwnPolicy

from tests.support.collector_posts import (
    INGEST_PATH,
    Poster,
    a_batch,
    a_start,
    fates,
    posting,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


@pytest.fixture
async def small(sqlite_url: str) -> AsyncIterator[Poster]:
    async with posting(sqlite_url) as poster:
        yield poster


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
async def test_compressed_batch_is_taken(small: Poster, encoding: str) -> None:
    raw = msgspec.json.encode(a_batch(*[a_start(f"s-{n}") for n in range(1000)]))
    packed = gzip.compress(raw) if encoding == "gzip" else zstd.compress(raw)
    status, answer = await small.post(INGEST_PATH, packed, headers={"Content-Encoding": encoding})
    assert status == 200
    assert fates(answer["results"]) == ["accepted"] * 1000


def _bomb(encoding: str, size: int) -> bytes:
    if encoding == "gzip":
        packer = zlib.compressobj(9, wbits=31)
        parts = [packer.compress(bytes(1 << 20)) for _ in range(size >> 20)]
        return b"".join([*parts, packer.flush()])
    frame = zstd.ZstdCompressor(level=1)
    parts = [frame.compress(bytes(1 << 20)) for _ in range(size >> 20)]
    return b"".join([*parts, frame.flush()])


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
async def test_bomb_is_refused_while_it_is_inflated(small: Poster, encoding: str) -> None:
    bomb = _bomb(encoding, 64 << 20)
    assert len(bomb) < MAX_BATCH_BYTES
    peak_bytes, done = 0, asyncio.Event()

    async def watch() -> None:
        nonlocal peak_bytes
        while not done.is_set():
            peak_bytes = max(peak_bytes, small.ingest.admission.held_bytes)
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    status, answer = await small.post(INGEST_PATH, bomb, headers={"Content-Encoding": encoding})
    assert (status, answer["code"]) == (413, "body_too_large")
    done.set()
    await watching
    assert MAX_BATCH_BYTES // 2 < peak_bytes <= MAX_BATCH_BYTES + 32 * 1024
    assert small.ingest.admission.held_bytes == 0


async def test_body_over_the_limit_is_refused_plain_too(small: Poster) -> None:
    status, answer = await small.post(INGEST_PATH, b" " * (MAX_BATCH_BYTES + 1))
    assert (status, answer["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    "headers, body, status, words",
    [
        ({"Content-Encoding": "br"}, b"{}", 415, "gzip or zstd"),
        ({"Content-Encoding": "gzip, gzip"}, b"{}", 415, "gzip or zstd"),
        ({"Content-Type": "text/plain"}, b"{}", 415, "application/json"),
        ({"Content-Encoding": "gzip"}, b"{}", 400, "not gzip"),
        ({"Content-Encoding": "zstd"}, b"{}", 400, "not zstd"),
        ({"Content-Encoding": "gzip"}, gzip.compress(b"{}", mtime=0)[:-4], 400, "cut short"),
        ({"Content-Encoding": "zstd"}, zstd.compress(b"{}" * 99)[:-4], 400, "cut short"),
        ({"Content-Encoding": "gzip"}, gzip.compress(b"{}", mtime=0) * 2, 400, "one gzip member"),
        ({"Content-Encoding": "zstd"}, zstd.compress(b"{}") * 2, 400, "one zstd frame"),
    ],
    ids=str,
)
async def test_body_of_a_wrong_form_is_refused(
    small: Poster, headers: dict[str, str], body: bytes, status: int, words: str
) -> None:
    got, answer = await small.post(INGEST_PATH, body, headers=headers)
    assert got == status
    assert words in answer["detail"]


async def test_body_that_does_not_arrive_is_given_up(sqlite_url: str) -> None:
    async with posting(sqlite_url, body_timeout_seconds=1.0) as poster:
        reader, writer = await asyncio.open_connection("127.0.0.1", poster.under_test.port)
        writer.write(
            f"POST {INGEST_PATH} HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {poster.token}\r\nContent-Length: 99\r\n\r\n{{".encode()
        )
        assert b" 400 " in await reader.readline()
        await reader.readuntil(b"within 1 seconds")
        writer.close()
        await writer.wait_closed()
        assert poster.ingest.admission.held_bytes == 0


@given(
    encoding=st.sampled_from(["gzip", "zstd"]),
    repeats=st.integers(0, 60_000),
    cuts=st.lists(st.integers(0, 3000), max_size=6),
)
def test_inflating_in_pieces_gives_back_what_was_packed(
    encoding: str, repeats: int, cuts: list[int]
) -> None:
    raw = b"0123456789abcdef" * repeats
    packed = gzip.compress(raw) if encoding == "gzip" else zstd.compress(raw)
    places = [0, *sorted(min(cut, len(packed)) for cut in cuts), len(packed)]
    engine = inflater([encoding])
    assert engine is not None
    parts = [
        part
        for first, last in itertools.pairwise(places)
        for part in engine.feed(packed[first:last])
    ]
    assert b"".join(parts) == raw
    assert engine.ended
    assert max(map(len, parts), default=0) <= STEP_BYTES


def test_only_a_misspelling_is_told_which_field_was_meant() -> None:
    decoder = msgspec.json.Decoder(OwnPolicy)
    for body, told in (
        (b'{"retension": null}', "is not a known field; the nearest one is retention"),
        (b'{"retention": {"maxAge": "30d"}}', "is not a known field"),
    ):
        with pytest.raises(InvalidBodyError) as refused:
            decode_body(body, decoder, OwnPolicy.__struct_fields__)
        assert refused.value.errors[0].message == told
