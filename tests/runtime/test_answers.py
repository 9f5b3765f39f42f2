"""Guards that no answer of a server takes more memory or patience than its reader allows."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from radar_audit_runtime.answers import AnswerTooLargeError, read_bounded, retry_after_seconds

LIMIT_BYTES = 100_000


async def answer(request: web.Request) -> web.StreamResponse:
    """Answer as the query says: `size` bytes, or without an end; `wait` is Retry-After."""
    headers = {"Retry-After": request.query["wait"]} if "wait" in request.query else {}
    if "size" in request.query:
        return web.Response(body=b"x" * int(request.query["size"]), headers=headers)
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"x" * 65_536)


@pytest.fixture
async def address() -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("/"))


async def test_answer_of_just_the_limit_is_read_whole(address: str) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(address, params={"size": LIMIT_BYTES}) as response,
    ):
        assert len(await read_bounded(response, LIMIT_BYTES)) == LIMIT_BYTES


@pytest.mark.parametrize("query", [{"size": str(LIMIT_BYTES + 1)}, {}])
async def test_answer_above_the_limit_is_refused_and_its_connection_closed(
    address: str, query: dict[str, str]
) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(address, params=query) as response,
    ):
        with pytest.raises(AnswerTooLargeError):
            await read_bounded(response, LIMIT_BYTES)
        assert response.connection is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(None, None), ("0", 0), ("7", 7), ("86400", 300), ("9" * 40, None), ("soon", None),
     ("-5", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None)],
)  # fmt: skip
async def test_wait_that_a_server_asks_for_is_bounded(
    address: str, text: str | None, seconds: float | None
) -> None:
    query = {"size": "0"} | ({} if text is None else {"wait": text})
    async with (
        aiohttp.ClientSession() as session,
        session.get(address, params=query) as response,
    ):
        assert retry_after_seconds(response) == seconds
