"""Reading and writing the small JSON documents of the control plane's routes.

Owns the size of such a body and the form of such an answer. Called by the handlers, after they
have checked who is calling. Never logs a document.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from aiohttp import web

from .audit.parameters import Reader
from .bodies import decode_body, read_body
from .context import HUB

T = TypeVar("T", bound=msgspec.Struct)
MAX_BODY_BYTES = 16 * 1024


async def read_document(request: web.Request, decoder: msgspec.json.Decoder[T]) -> T:
    """Return the body, at most 16 KiB, as the decoder's struct; the URL must have no parameters.

    Raises InvalidParametersError, InvalidBodyError, and the errors of `read_body`.
    """
    no_parameters(request)
    raw = await read_body(
        request,
        limit_bytes=MAX_BODY_BYTES,
        timeout_seconds=request.app[HUB].settings.body_timeout_seconds,
    )
    return decode_body(raw, decoder, decoder.type.__struct_fields__)


def no_parameters(request: web.Request) -> None:
    """Refuse URL parameters. Raises InvalidParametersError."""
    Reader(list(request.query.items()), ()).finish()


def json_document(value: object, status: int = 200) -> web.Response:
    """Return an answer of JSON."""
    return web.Response(
        body=msgspec.json.encode(value), status=status, content_type="application/json"
    )
