"""A small hub that answers in the contract's shapes and can be told to misbehave.

Owns a real HTTP server on loopback, in a thread of its own, over a list of
events. Used by the tests of the command line for what a well-behaved hub
never does: cutting answers, refusing, hanging up.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from radar_audit_events.ids import event_id, format_ms, parse_ms

TOKEN = "rhp_" + "t" * 40
ORG = "org_test"
START_MS = parse_ms("2026-11-24T10:00:00Z")


def make_event(seq: int, *, time_ms: int | None = None, **changes: Any) -> dict[str, Any]:
    """Return the event of commit order `seq`, one second after the one before unless told."""
    stamp_ms = START_MS + seq * 1000 if time_ms is None else time_ms
    event: dict[str, Any] = {
        "id": event_id(stamp_ms, seq.to_bytes(10, "big")),
        "org_id": ORG,
        "actor_user_id": "user_alice",
        "actor_email": "alice@acme.com",
        "action": "pod.exec_started",
        "target_type": "pod",
        "target_id": "cl_prod/payments/api-0",
        "metadata": {
            "cluster_id": "cl_prod",
            "cluster_name": "prod",
            "namespace": "payments",
            "pod": "api-0",
            "session_id": f"s{seq}",
        },
        "created_at": format_ms(stamp_ms),
        "seq": seq,
    }
    return event | changes


@dataclass
class Fault:
    """One answer that is given instead of the right one."""

    status: int
    document: Mapping[str, Any] | str
    headers: dict[str, str] = field(default_factory=dict)


def problem(status: int, code: str, detail: str, **more: Any) -> Fault:
    """Return a fault that answers with a problem document."""
    headers = {"Retry-After": str(more.pop("retry_after"))} if "retry_after" in more else {}
    document = {"title": code, "status": status, "detail": detail, "code": code} | more
    return Fault(status, {"request_id": "req-1", **document}, headers)


class ContractHub:
    """The server; `events` may be changed while it runs.

    `faults` are answered first, one a request. `cut_after` ends the next streams
    without their end after that many events, one number a stream; with `stands_still`
    they stop there instead and send nothing more. `answers` are the control plane: a
    document by `METHOD path`, a list for what is read in pages, which `sent` has the
    bodies for. `hangs_up` ends that many connections without an answer.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.events: list[dict[str, Any]] = []
        self.faults: list[Fault] = []
        self.cut_after: list[int] = []
        self.page_events = 500
        self.estimate: int | None = None
        self.close_delimited = False
        self.stands_still = False
        self.requests: list[web.Request] = []
        self.answers: dict[str, Any] = {}
        self.sent: list[tuple[str, Any]] = []
        self.hangs_up = 0
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="contract-hub")
        self._runner: web.AppRunner | None = None

    def paths(self) -> list[str]:
        """The paths with their queries, in the order in which they were asked for."""
        return [request.path_qs for request in self.requests]

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._runner is not None
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application(middlewares=[self._gate])
        audit = f"/api/orgs/{ORG}/audit"
        app.router.add_get("/api/me", self._me)
        app.router.add_get(audit, self._audit)
        app.router.add_get(f"{audit}/facets", self._facets)
        app.router.add_get(f"{audit}/follow", self._follow)
        app.router.add_get(f"{audit}/{{event_id}}", self._event)
        app.router.add_route("*", "/api/{rest:.*}", self._control)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        scheme = "http" if self._tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._runner.addresses[0][1]}"

    @web.middleware
    async def _gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append(request)
        if self.hangs_up:
            self.hangs_up -= 1
            assert request.transport is not None
            request.transport.close()
        if self.faults:
            return _answer(self.faults.pop(0))
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return _answer(problem(401, "unauthorized", "a valid token is needed"))
        response: web.StreamResponse = await handler(request)
        return response

    async def _me(self, _: web.Request) -> web.Response:
        pat = {"id": "pat_1", "name": "laptop", "expires_at": None}
        return web.json_response(
            {
                "user_id": "user_alice",
                "email": "alice@acme.com",
                "org_id": ORG,
                "org_name": "Acme",
                "role": "owner",
                "scopes": None,
                "pat": pat,
            }
        )

    def _matching(self, request: web.Request) -> list[dict[str, Any]]:
        actions = request.query.getall("action", [])
        since = parse_ms(request.query.get("from", "1970-01-01T00:00:00Z"))
        until = parse_ms(request.query.get("to", "9999-01-01T00:00:00Z"))
        found = [
            event
            for event in list(self.events)
            if (not actions or event["action"] in actions)
            and since <= parse_ms(event["created_at"]) < until
        ]
        return sorted(found, key=lambda event: (event["created_at"], event["id"]), reverse=True)

    async def _audit(self, request: web.Request) -> web.StreamResponse:
        found = self._matching(request)
        if request.query.get("format", "json") != "json":
            return await self._export(request, found)
        start = int(request.query.get("cursor", "0"))
        end = start + min(int(request.query["limit"]), self.page_events)
        following = str(end) if end < len(found) else None
        return web.json_response({"events": found[start:end], "next_cursor": following})

    async def _export(
        self, request: web.Request, found: list[dict[str, Any]]
    ) -> web.StreamResponse:
        response = web.StreamResponse()
        if self.estimate is not None:
            response.headers["Radar-Audit-Estimated-Rows"] = str(self.estimate)
        if request.query["format"] == "csv":
            rows = [f"{e['id']},{e['created_at']},{e['actor_email']}\r\n" for e in found]
            lines = ["id,created_at,actor_email\r\n", *rows]
        else:
            lines = [json.dumps(event) + "\n" for event in found]
        return await self._stream(request, response, lines)

    async def _stream(
        self, request: web.Request, response: web.StreamResponse, lines: list[str]
    ) -> web.StreamResponse:
        cut = self.cut_after.pop(0) if self.cut_after else None
        if self.close_delimited:
            response.force_close()
            request._version = (1, 0)  # type: ignore[assignment]
        else:
            response.enable_chunked_encoding()
        await response.prepare(request)
        for line in lines if cut is None else lines[:cut]:
            await response.write(line.encode())
        if cut is not None:
            if cut < len(lines):
                await response.write(lines[cut][:20].encode())  # the cut falls within a line
            if self.stands_still:
                await asyncio.sleep(3600)
            assert request.transport is not None
            request.transport.close()
        return response

    async def _facets(self, request: web.Request) -> web.Response:
        count = len(self._matching(request))
        return web.json_response(
            {
                "actions": [{"value": "pod.exec_started", "count": count}],
                "actors": [{"value": "alice@acme.com", "count": count}],
                "target_types": [{"value": "pod", "count": count}],
                "total": count,
                "total_capped": False,
                "complete": True,
            }
        )

    async def _follow(self, request: web.Request) -> web.StreamResponse:
        after = int(request.query["after_seq"])
        deadline = asyncio.get_running_loop().time() + int(request.query["wait"])
        while True:
            found = [event for event in self._matching(request) if event["seq"] > after]
            if found or asyncio.get_running_loop().time() >= deadline:
                break
            await asyncio.sleep(0.02)
        page = sorted(found, key=lambda event: int(event["seq"]))[: int(request.query["limit"])]
        reached = page[-1]["seq"] if page else after
        response = web.StreamResponse()
        response.headers["Link"] = f'<{request.path}?after_seq={reached}>; rel="next"'
        return await self._stream(request, response, [json.dumps(event) + "\n" for event in page])

    async def _control(self, request: web.Request) -> web.Response:
        asked = f"{request.method} {request.path.removeprefix('/api')}"
        body = await request.read()
        self.sent.append((asked, json.loads(body) if body else None))
        if asked not in self.answers:
            return _answer(problem(404, "not_found", f"there is no {asked}"))
        found = self.answers[asked]
        if found is None:
            return web.Response(status=204)
        if isinstance(found, list):
            start, size = int(request.query.get("cursor", "0")), int(request.query["limit"])
            end = start + min(size, self.page_events)
            following = str(end) if end < len(found) else None
            plural = request.path.rpartition("/")[2]
            return web.json_response({plural: found[start:end], "next_cursor": following})
        return web.json_response(found, status=201 if request.method == "POST" else 200)

    async def _event(self, request: web.Request) -> web.Response:
        for event in self.events:
            if event["id"] == request.match_info["event_id"]:
                return web.json_response(event)
        return _answer(problem(404, "not_found", "there is no such event"))


def _answer(fault: Fault) -> web.Response:
    if isinstance(fault.document, str):
        return web.Response(status=fault.status, text=fault.document, headers=fault.headers)
    return web.Response(
        status=fault.status,
        text=json.dumps(fault.document),
        content_type="application/problem+json",
        headers=fault.headers,
    )
