"""Style sheet, script and icon: served under names that change with their content.

Owns `/static/{name}`. Called by the templates, which ask for a file's address. A browser keeps
such a file for a year, because another content has another name. Never reads a path from a
request: what is not in the table is not there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from aiohttp import web

from radar_audit_hub.errors import NotFoundError

PATH = "/static"
_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_FOR_EVER = "public, max-age=31536000, immutable"
_HASH_CHARS = 16


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of `static/` under its public name."""

    name: str
    content_type: str
    body: bytes


@cache
def assets() -> Mapping[str, Asset]:
    """Return the files by the name that they have in the folder."""
    found = {}
    for file in files("radar_audit_hub.web").joinpath("static").iterdir():
        stem, _, kind = file.name.rpartition(".")
        if kind in _TYPES:
            body = file.read_bytes()
            digest = hashlib.sha256(body).hexdigest()[:_HASH_CHARS]
            found[file.name] = Asset(f"{stem}.{digest}.{kind}", _TYPES[kind], body)
    return found


@cache
def _by_public_name() -> Mapping[str, Asset]:
    return {asset.name: asset for asset in assets().values()}


def asset_path(name: str) -> str:
    """Return the address of a file of `static/`. Raises KeyError for one that is not there."""
    return f"{PATH}/{assets()[name].name}"


async def serve(request: web.Request) -> web.Response:
    """Answer with a file, to be kept for ever."""
    found = _by_public_name().get(request.match_info["name"])
    if found is None:
        raise NotFoundError("there is no such file; reload the page")
    return web.Response(
        body=found.body,
        content_type=found.content_type,
        charset="utf-8",
        headers={"Cache-Control": _FOR_EVER},
    )


def routes() -> list[web.RouteDef]:
    """Return the route of the files."""
    return [web.get(f"{PATH}/{{name}}", serve, allow_head=False)]
