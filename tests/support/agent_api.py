"""A stand-in for the hub's `/api/agent/` routes that the operator calls.

Owns the HTTP side: tokens, statuses, problem documents, faults that a test switches on, and a
record of what was asked. The rules are in `agent_state.py`. Run as a program it serves an
organization to an operator in a cluster; `/_stand_in/` shows and sets its state there.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import time
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web
from radar_audit_events.policy_answers import DestinationTestAnswer
from radar_audit_events.policy_wire import (
    MAX_DOCUMENT_BYTES,
    SCOPE_ORG_SETTINGS,
    SCOPE_SETTINGS,
    OperatorHeartbeat,
    OwnerDocument,
)

from tests.support.agent_state import AgentState, Cluster, RefusedError

ORG, CLUSTER, TOKEN = "org_01H8XGJWBWBAQ4", "cl_01H8XGJWBWBAQ4", "rhc_stand_in"


@dataclass
class Faults:
    """What goes wrong with each request, until a test says otherwise."""

    status: int = 0  # answer this instead
    retry_after: str = ""
    garbage: bool = False  # a 200 with something that is no answer
    lose_replies: int = 0  # do the work and cut the connection, so many times
    delay_seconds: float = 0.0


@dataclass(frozen=True)
class Asked:
    """One request and its answer's status."""

    method: str
    path: str
    status: int


@dataclass
class AgentApi:
    """The server; `url` is known once it runs."""

    state: AgentState
    clusters: dict[str, Cluster]
    faults: Faults = field(default_factory=Faults)
    asked: list[Asked] = field(default_factory=list)
    sent: list[tuple[str, OwnerDocument]] = field(default_factory=list)
    heartbeats: list[OperatorHeartbeat] = field(default_factory=list)
    taken_at: dict[str, float] = field(default_factory=dict)  # "owner generation" -> wall clock
    tests: list[tuple[str, str]] = field(default_factory=list)
    test_answer: DestinationTestAnswer = field(
        default_factory=lambda: DestinationTestAnswer(delivered=True, latency_ms=42)
    )
    url: str = ""
    tls: ssl.SSLContext | None = None
    _runner: web.AppRunner | None = None
    _port: int = 0

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; a second start takes the same port again, as a hub that comes back."""
        app = web.Application(middlewares=[self._around], client_max_size=MAX_DOCUMENT_BYTES * 16)
        owner = "/api/agent/owners/{owner}"
        app.add_routes(
            [
                web.put(owner, self._put),
                web.delete(owner, self._delete),
                web.get("/api/agent/settings", self._settings),
                web.post("/api/agent/operator-heartbeat", self._heartbeat),
                web.post(owner + "/destinations/{name}/test", self._test),
                web.get("/_stand_in/state", self._show),
                web.put("/_stand_in/faults", self._break),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        port = port or self._port
        site = web.TCPSite(self._runner, host, port, ssl_context=self.tls, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self.url = f"{'http' if self.tls is None else 'https'}://{host}:{self._port}"

    async def stop(self) -> None:
        """Close every connection and the port: the hub is down."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def puts(self, owner: str = "") -> list[OwnerDocument]:
        """Return the documents that were sent, those of one owner or all."""
        return [document for name, document in self.sent if owner in {"", name}]

    @web.middleware
    async def _around(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path.startswith("/_stand_in/"):
            return await handler(request)  # type: ignore[no-any-return] # a route's own answer
        faults = self.faults
        if faults.delay_seconds:
            await asyncio.sleep(faults.delay_seconds)
        if faults.status:
            answer = _problem(faults.status, "broken", "the stand-in was told to fail")
            if faults.retry_after:
                answer.headers["Retry-After"] = faults.retry_after
        elif faults.garbage:
            answer = web.Response(text='{"revision": [', content_type="application/json")
        else:
            try:
                answer = await handler(request)
            except RefusedError as error:
                answer = _problem(error.status, error.code, error.detail, error.field)
            except msgspec.ValidationError as error:
                answer = _problem(422, "invalid_body", str(error))
            except web.HTTPException as error:
                answer = _problem(error.status, "not_found", "there is nothing at this path")
        self.asked.append(Asked(request.method, request.path, answer.status))
        if faults.lose_replies and request.method != "GET":
            faults.lose_replies -= 1
            assert request.transport is not None
            request.transport.abort()
        return answer

    def _who(self, request: web.Request) -> Cluster:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        cluster = self.clusters.get(token) if scheme == "Bearer" else None
        if cluster is None:
            raise RefusedError(401, "unauthorized", "a valid token is needed")
        return cluster

    async def _put(self, request: web.Request) -> web.Response:
        cluster, owner = self._who(request), request.match_info["owner"]
        document = msgspec.json.decode(await request.read(), type=OwnerDocument)
        dry_run = request.query.get("dryRun") == "true"
        answer = self.state.put(cluster, owner, document, dry_run=dry_run)
        self.sent.append((owner, document))
        if not dry_run:
            self.taken_at.setdefault(f"{owner} {document.generation}", time.time())
        return _json(answer)

    async def _delete(self, request: web.Request) -> web.Response:
        policy, uid = request.query["policy"], request.query.get("uid")
        self.state.delete(self._who(request), request.match_info["owner"], policy, uid)
        return web.Response(status=204)

    async def _settings(self, request: web.Request) -> web.Response:
        return _json(self.state.settings(self._who(request)))

    async def _heartbeat(self, request: web.Request) -> web.Response:
        cluster = self._who(request)
        sent = msgspec.json.decode(await request.read(), type=OperatorHeartbeat)
        self.heartbeats.append(sent)
        return _json(self.state.heartbeat(cluster, sent))

    async def _test(self, request: web.Request) -> web.Response:
        self._who(request)
        owner, name = request.match_info["owner"], request.match_info["name"]
        kept = self.state.owners.get(owner)
        wanted = kept.document.notifications if kept is not None else None
        if wanted is None or name not in {each.name for each in wanted.destinations}:
            raise RefusedError(404, "not_found", f"there is no destination {name}")
        self.tests.append((owner, name))
        return _json(self.test_answer)

    async def _show(self, request: web.Request) -> web.Response:
        owners = {name: kept.document for name, kept in self.state.owners.items()}
        facts = {
            "accepted": self.state.accepted,
            "asked": len(self.asked),
            "owners": {
                name: {"generation": each.generation, "hash": each.spec_hash, "uid": each.uid}
                for name, each in owners.items()
            },
            "hours": {
                name: each.retention.max_age_hours
                for name, each in owners.items()
                if each.retention
            },
            "holders": {name: key.holder for name, key in self.state.keys.items()},
            "heartbeats": len(self.heartbeats),
            "puts": len(self.sent),
            "taken_at": self.taken_at,
            "secrets": {
                name: msgspec.to_builtins(each.notifications)
                for name, each in owners.items()
                if each.notifications
            },
        }
        return _json(facts)

    async def _break(self, request: web.Request) -> web.Response:
        self.faults = Faults(**await request.json())
        return web.Response(status=204)


def stand_in(*, speaks_for_org: bool = False) -> AgentApi:
    """Return a stand-in for one organization with one cluster; nothing listens yet."""
    scopes = [SCOPE_SETTINGS, SCOPE_ORG_SETTINGS] if speaks_for_org else [SCOPE_SETTINGS]
    state = AgentState(lambda: time.time_ns() // 1_000_000)
    return AgentApi(state, {TOKEN: Cluster(ORG, CLUSTER, scopes=scopes)})


def _json(value: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


def _problem(status: int, code: str, detail: str, where: str = "") -> web.Response:
    errors = [{"field": where, "message": detail}] if where else []
    body = {"type": f"urn:radar-audit:problem:{code}", "title": code, "status": status}
    body |= {"code": code, "detail": detail, "errors": errors, "request_id": "req-stand-in"}
    text = msgspec.json.encode(body)
    return web.Response(status=status, body=text, content_type="application/problem+json")


async def _serve(host: str, port: int, pem: str) -> None:
    served = stand_in(speaks_for_org=True)
    served.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.tls.load_cert_chain(pem)
    await served.start(host, port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    _parser = argparse.ArgumentParser(description=__doc__)
    _parser.add_argument("--host", default="127.0.0.1")
    _parser.add_argument("--port", type=int, required=True)
    _parser.add_argument("--pem", required=True, help="file with certificate chain and key")
    _options = _parser.parse_args()
    asyncio.run(_serve(_options.host, _options.port, _options.pem))
