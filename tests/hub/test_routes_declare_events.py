"""Promise 4: every mutating route says which audit events it writes, or why none."""

from __future__ import annotations

import pytest
from aiohttp import web
from radar_audit_hub import declarations
from radar_audit_hub.declarations import READ_METHODS, declare, declared, undeclared

from tests.support.hub_builder import HubUnderTest


async def handler(_: web.Request) -> web.Response:
    return web.Response()


async def test_every_mutating_route_declares_its_events(hub: HubUnderTest) -> None:
    assert list(undeclared(hub.app)) == []


async def test_the_walk_sees_the_mutating_routes(hub: HubUnderTest) -> None:
    routes = [r for r in hub.app.router.routes() if r.method not in READ_METHODS]
    assert {r.resource.canonical for r in routes if r.resource} >= {
        "/api/ingest/events",
        "/api/agent/heartbeat",
    }
    for route in routes:
        found = declared(route)
        assert found is not None
        assert found.events or found.reason


def test_route_without_a_declaration_is_found() -> None:
    app = web.Application()
    app.add_routes([web.post("/a", handler), web.get("/b", handler), web.delete("/c", handler)])
    assert list(undeclared(app)) == ["POST /a", "DELETE /c"]


def test_declaration_needs_known_events_or_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declarations, "_BY_HANDLER", {})
    route = web.post("/a", handler)
    with pytest.raises(ValueError, match="neither events nor a reason"):
        declare(route, events=None)
    with pytest.raises(ValueError, match="neither events nor a reason"):
        declare(route, events=())
    with pytest.raises(ValueError, match="unknown actions"):
        declare(route, events=("cluster.exploded",))
    assert declare(route, events=("cluster.created",)) is route
    app = web.Application()
    app.add_routes([route])
    assert list(undeclared(app)) == []
