"""Requests that leave the hub are bounded, go nowhere else, and fail without telling secrets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from radar_audit_hub.outbound import Outbound, OutboundError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
SECRET = {"Authorization": "Bearer sk_test_secret"}


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    made = Outbound()
    yield made
    await made.close()


async def test_answer_of_any_status_comes_back_whole(outbound: Outbound) -> None:
    async def handler(request: web.Request) -> web.Response:
        text = f"{request.method} {await request.text()} {request.headers['Accept-Encoding']}"
        return web.Response(status=418, text=text, headers={"X-Some": "value"})

    async with serving(handler) as url:
        answer = await outbound.send("POST", url, headers=SECRET, body=b"a=b")
    assert (answer.status, answer.body) == (418, b"POST a=b identity")
    assert answer.headers["x-some"] == "value"


async def test_redirect_is_not_followed(outbound: Outbound) -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    async with serving(handler) as url:
        answer = await outbound.send("GET", f"{url}/first", headers=SECRET)
    assert (answer.status, asked) == (302, ["/first"])


async def test_proxy_of_the_environment_is_not_asked(
    outbound: Outbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    async def handler(_: web.Request) -> web.Response:
        return web.Response(text="direct")

    async with serving(handler) as url:
        assert (await outbound.send("GET", url, headers={})).body == b"direct"


@pytest.mark.parametrize(("size", "fits"), [(1000, True), (1001, False), (300_000, False)])
async def test_answer_over_the_limit_is_an_error(
    outbound: Outbound, size: int, *, fits: bool
) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        for start in range(0, size, 700):
            await answer.write(b"x" * min(700, size - start))
            await asyncio.sleep(0)
        return answer

    async with serving(handler) as url:
        sending = outbound.send("GET", url, headers={}, limit_bytes=1000)
        if fits:
            assert len((await sending).body) == size
        else:
            with pytest.raises(OutboundError, match="longer than 1000 bytes"):
                await sending


async def test_silence_and_a_closed_port_are_errors_without_secrets(outbound: Outbound) -> None:
    async def handler(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(handler) as url:
        with pytest.raises(OutboundError, match=r"within 0\.1 seconds"):
            await outbound.send("GET", url, headers=SECRET, timeout_seconds=0.1)
    with pytest.raises(OutboundError, match="no answer: ") as caught:
        await outbound.send("GET", url, headers=SECRET)
    assert "secret" not in repr(caught.value)
    assert url not in str(caught.value)


async def test_answer_cut_in_the_middle_is_an_error(outbound: Outbound) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "1000"})
        await answer.prepare(request)
        await answer.write(b"only this")
        assert request.transport is not None
        request.transport.close()
        return answer

    async with serving(handler) as url:
        with pytest.raises(OutboundError):
            await outbound.send("GET", url, headers={})
