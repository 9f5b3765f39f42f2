"""Guards that no answer of a server takes more memory than its reader allows."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from radar_audit_runtime.answers import AnswerTooLargeError, read_bounded

LIMIT_BYTES = 100_000


async def answer(request: web.Request) -> web.StreamResponse:
    """Answer with the query's `size` in bytes, or without an end."""
    if "size" in request.query:
        return web.Response(body=b"x" * int(request.query["size"]))
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
