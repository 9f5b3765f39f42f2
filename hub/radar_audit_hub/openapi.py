"""Serves the API's own description.

Owns `GET /api/openapi.json`; the document beside this module is kept by hand and tested
against the router, the action table and the running hub. Never made at run time: what a
client reads is what was reviewed.
"""

from __future__ import annotations

from importlib.resources import files

from aiohttp import web

from .audit.parameters import Reader

DOCUMENT = "openapi.json"


def document() -> bytes:
    """Return the OpenAPI 3.1 document as JSON."""
    return files("radar_audit_hub").joinpath(DOCUMENT).read_bytes()


def routes() -> list[web.RouteDef]:
    """Return the feature's routes."""
    body = document()

    async def show(request: web.Request) -> web.Response:
        Reader(list(request.query.items()), ()).finish()
        return web.Response(body=body, content_type="application/json")

    return [web.get("/api/openapi.json", show, allow_head=False)]
