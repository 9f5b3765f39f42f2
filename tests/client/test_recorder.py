"""The client for other control planes: against a real hub, and against servers that fail."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from radar_audit_client import ClientError, Event, GaveUpError, Recorder, RefusedError, Result
from radar_audit_client.recorder import MAX_EVENTS
from radar_audit_events.ids import format_ms

from tests.support.hub_builder import ORG, HubUnderTest, sqlite_hub
from tests.support.log_rows import NOW_MS

pytest_plugins = ("tests.support.migrated",)
README = Path(__file__).parents[2] / "client" / "README.md"
NOW = datetime.fromtimestamp(NOW_MS / 1000, UTC)
TOKEN = "rhp_" + "t" * 43
Answer = tuple[int, Any, dict[str, str]]


def an_event(key: str = "k-1", **changes: Any) -> Event:
    facts: dict[str, Any] = {
        "key": key,
        "action": "cluster.deleted",
        "target_id": "cl_old",
        "created_at": NOW,
        "actor": "p1@acme.com",
        "metadata": {"name": "old"},
    }
    return Event(**(facts | changes))


@pytest.fixture
async def hub(template: Path, tmp_path: Path) -> AsyncIterator[HubUnderTest]:
    async with sqlite_hub(template, tmp_path) as under_test:
        yield under_test


@pytest.fixture
def pauses() -> list[float]:
    return []


class Scripted:
    """A server that gives the answers of `script` in turn, then accepts everything."""

    def __init__(self, *script: Answer | None) -> None:
        self.script = list(script)
        self.bodies: list[Any] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        if self.script:
            answer = self.script.pop(0)
            if answer is None:
                assert request.transport is not None
                request.transport.abort()
                raise ConnectionResetError
            status, told, headers = answer
            return web.json_response(told, status=status, headers=headers)
        results = [{"result": "accepted", "id": f"ae_{e['key']}"} for e in body["events"]]
        return web.json_response({"results": results})


@asynccontextmanager
async def serving(*script: Answer | None) -> AsyncIterator[Scripted]:
    scripted = Scripted(*script)
    app = web.Application(client_max_size=2**26)
    app.router.add_post("/below/api/orgs/org_x/audit/events", scripted.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    scripted.url = f"http://127.0.0.1:{runner.addresses[0][1]}/below/"
    try:
        yield scripted
    finally:
        await runner.cleanup()


def recorder(url: str, pauses: list[float], **more: Any) -> Recorder:
    clock: Callable[[], float] = lambda: sum(pauses)  # noqa: E731 - time passes by pauses only
    means: dict[str, Any] = {"sleep": pauses.append, "clock": clock, "token": TOKEN} | more
    return Recorder(url, org_id=ORG, **means)


async def record(one: Recorder, *events: Event) -> list[Result]:
    return await asyncio.to_thread(partial(one.record, events))


async def test_events_arrive_in_a_real_log_once(hub: HubUnderTest, pauses: list[float]) -> None:
    one = recorder(hub.url, pauses, token=hub.owner)
    zone = timezone(timedelta(hours=5, minutes=30))
    results = await record(
        one, an_event(created_at=NOW.astimezone(zone)), an_event("k-2", actor=None)
    )
    again = await record(one, an_event(), an_event("k-3", target_id="old", metadata={}))
    assert [r.outcome for r in [*results, *again]] == ["accepted"] * 2 + ["duplicate", "rejected"]
    assert again[0].id == results[0].id
    assert (again[1].code, again[1].id) == ("invalid_event", None)
    assert [problem.field for problem in again[1].errors] == ["target_id", "metadata.name"]
    page = (await hub.get("")).json["events"]
    assert {event["id"] for event in page} == {result.id for result in results}
    assert {event["created_at"] for event in page} == {format_ms(NOW_MS)}
    assert pauses == []


async def test_refusal_names_code_and_reason_and_is_not_repeated(
    hub: HubUnderTest, pauses: list[float]
) -> None:
    viewer = await hub.add_person(role="viewer")
    with pytest.raises(RefusedError, match="this needs the role owner") as refused:
        await record(recorder(hub.url, pauses, token=viewer), an_event())
    assert (refused.value.status, refused.value.code, pauses) == (403, "forbidden", [])
    with pytest.raises(RefusedError) as unknown:
        await record(recorder(hub.url, pauses), an_event())
    assert unknown.value.status == 401
    assert TOKEN not in repr(unknown.value) + str(unknown.value)


async def test_failed_tries_are_repeated_with_the_same_keys(pauses: list[float]) -> None:
    busy: Answer = (429, {"code": "too_many_requests"}, {"Retry-After": "7"})
    async with serving(None, busy, (503, None, {}), (500, "x", {})) as server:
        results = await record(recorder(server.url, pauses), an_event("a"), an_event("b"))
    assert [result.id for result in results] == ["ae_a", "ae_b"]
    assert len(server.bodies) == 5
    assert all(body == server.bodies[0] for body in server.bodies)
    assert len(pauses) == 4
    assert pauses[1] == 7
    assert 0.25 <= pauses[0] <= 0.5


async def test_it_gives_up_in_time(pauses: list[float]) -> None:
    away: Answer = (503, None, {"Retry-After": "4000000000"})
    async with serving(*[away] * 9) as server:
        one = recorder(server.url, pauses, give_up_after_seconds=150)
        with pytest.raises(GaveUpError, match="status 503"):
            await record(one, an_event())
    assert pauses == [60, 60]
    with pytest.raises(GaveUpError, match="ConnectionRefusedError"):
        await record(recorder(server.url, pauses, give_up_after_seconds=0.1), an_event())


async def test_many_events_go_in_several_calls(pauses: list[float]) -> None:
    events = [an_event(f"k-{number}") for number in range(MAX_EVENTS + 1)]
    async with serving() as server:
        results = await record(recorder(server.url, pauses), *events)
        assert await record(recorder(server.url, pauses)) == []
    assert [len(body["events"]) for body in server.bodies] == [MAX_EVENTS, 1]
    assert [result.id for result in results] == [f"ae_{event.key}" for event in events]


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        {"results": []},
        {"results": [{"result": "stored"}]},
        {"results": [{"id": "x"}]},
        {"results": ["accepted"]},
    ],
)
async def test_answer_of_another_api_is_no_success(told: Any, pauses: list[float]) -> None:
    async with serving((200, told, {})) as server:
        with pytest.raises(ClientError, match="the server's answer"):
            await record(recorder(server.url, pauses), an_event())


async def test_redirect_is_not_followed(pauses: list[float]) -> None:
    async with serving() as other, serving((307, {}, {"Location": other.url})) as server:
        with pytest.raises(RefusedError, match="307"):
            await record(recorder(server.url, pauses), an_event())
    assert other.bodies == []


@pytest.mark.parametrize("url", ["audit.example", "ftp://audit.example", "https://", ""])
def test_url_must_be_one(url: str) -> None:
    with pytest.raises(ValueError, match="url must be one such as"):
        Recorder(url, org_id=ORG, token=TOKEN)


@pytest.mark.parametrize("token", ["", "rhc_" + "t" * 43, f"{TOKEN}\n", "rhp_ü"])
def test_token_of_another_form_is_refused_without_being_shown(token: str) -> None:
    with pytest.raises(ValueError, match="must be a personal access token") as refused:
        Recorder("https://audit.example", org_id=ORG, token=token)
    assert len(token) < 9 or token.strip() not in str(refused.value)


def test_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        an_event(created_at=NOW.replace(tzinfo=None))


async def test_example_of_the_readme_runs(hub: HubUnderTest) -> None:
    hub.clock.now_ms = int(datetime.now(UTC).timestamp() * 1000)
    (program,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    program = program.replace("alice@acme.com", "p1@acme.com")
    environment = {
        **os.environ,
        "RADAR_AUDIT_URL": hub.url,
        "RADAR_AUDIT_ORG": ORG,
        "RADAR_AUDIT_TOKEN": hub.owner,
    }
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-W", "error", "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (event,) = (await hub.get("")).json["events"]
    assert (event["action"], event["actor_email"]) == ("cluster.deleted", "p1@acme.com")
