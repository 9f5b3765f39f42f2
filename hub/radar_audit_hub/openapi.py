"""Serves the API's own description.

Owns `GET /api/openapi.json`; its parts, one a feature, are kept by hand in `openapi_parts/` and
tested against the router, the action table and the running hub. Nothing is derived from code:
what a client reads is what was reviewed.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
from aiohttp import web

from .audit.parameters import Reader

PARTS = "openapi_parts"
_BASE = "base.json"


class PartsDisagreeError(Exception):
    """Two parts of the description describe the same thing."""


@cache
def document() -> bytes:
    """Return the OpenAPI 3.1 document as JSON. Raises PartsDisagreeError."""
    folder = files("radar_audit_hub").joinpath(PARTS)
    whole: dict[str, Any] = msgspec.json.decode(folder.joinpath(_BASE).read_bytes())
    names = sorted(part.name for part in folder.iterdir() if part.name.endswith(".json"))
    for name in names:
        if name != _BASE:
            _add(whole, msgspec.json.decode(folder.joinpath(name).read_bytes()), name)
    return msgspec.json.format(msgspec.json.encode(whole), indent=2)


def _add(whole: dict[str, Any], part: dict[str, Any], where: str) -> None:
    """Put a part into the whole: objects are merged, lists appended, nothing is replaced."""
    for key, value in part.items():
        if key not in whole:
            whole[key] = value
        elif isinstance(value, dict) and isinstance(whole[key], dict):
            _add(whole[key], value, f"{where}/{key}")
        elif isinstance(value, list) and isinstance(whole[key], list):
            whole[key] += value
        else:
            raise PartsDisagreeError(f"{where}/{key} is described twice")


def routes() -> list[web.RouteDef]:
    """Return the feature's routes."""
    body = document()

    async def show(request: web.Request) -> web.Response:
        Reader(list(request.query.items()), ()).finish()
        return web.Response(body=body, content_type="application/json")

    return [web.get("/api/openapi.json", show, allow_head=False)]
