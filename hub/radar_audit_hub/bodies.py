"""Reads a request's JSON body: bounded in bytes and time, also while it is being decompressed.

Owns the media types and content encodings that the hub takes, and how a mistake in a body is
worded. Called by every handler that takes a body, after it has checked who is calling. Never
logs a body and never repeats a value of it in an error.

The server runs with aiohttp's own decompression turned off: that one would inflate a body also
where a handler refused it unread, so that anybody could keep the loop busy.
"""

from __future__ import annotations

import asyncio
import difflib
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

import msgspec
from aiohttp import web
from radar_audit_events.errors import FieldError
from radar_audit_events.schema import field_error

from radar_audit_hub.errors import (
    BodyTooLargeError,
    InvalidBodyError,
    MalformedRequestError,
    UnsupportedMediaTypeError,
)

if sys.version_info >= (3, 14):
    from compression.zstd import DecompressionParameter, ZstdDecompressor, ZstdError
else:
    from backports.zstd import DecompressionParameter, ZstdDecompressor, ZstdError

T = TypeVar("T")
Hold = Callable[[int], None]
STEP_BYTES = 256 * 1024  # inflated between two turns of the event loop: about a millisecond
_GZIP = 16 + zlib.MAX_WBITS
_ZSTD_WINDOW_LOG = 23  # 8 MiB, what RFC 8878 asks every decoder to support and no more
JSON = "application/json"
_NEAR = 0.4  # below it a field is no misspelling of the other, and naming that one misleads


class Inflater(Protocol):
    """Decompresses one body that comes in pieces."""

    @property
    def ended(self) -> bool:
        """Whether the end of the compressed data has come."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` inflates to, at most STEP_BYTES at a time."""


async def read_body(
    request: web.Request,
    *,
    limit_bytes: int,
    timeout_seconds: float,
    hold: Hold | None = None,
    media_type: str = JSON,
) -> bytes:
    """Return the body, decompressed (gzip, zstd): at most `limit_bytes` before and after.

    `hold(n)` is told of every n bytes that are kept, and may refuse by raising. Raises
    UnsupportedMediaTypeError, BodyTooLargeError, MalformedRequestError.
    """
    if request.content_type != media_type:
        raise UnsupportedMediaTypeError(f"the body must be sent as Content-Type: {media_type}")
    engine = inflater(request.headers.getall("Content-Encoding", []))
    if (request.content_length or 0) > limit_bytes:
        raise BodyTooLargeError(limit_bytes)
    chunks: list[bytes] = []
    raw_bytes = kept_bytes = 0
    try:
        async with asyncio.timeout(timeout_seconds):
            while chunk := await request.content.readany():
                raw_bytes += len(chunk)
                if raw_bytes > limit_bytes:
                    raise BodyTooLargeError(limit_bytes)
                for part in (chunk,) if engine is None else engine.feed(chunk):
                    kept_bytes += len(part)
                    if kept_bytes > limit_bytes:
                        raise BodyTooLargeError(limit_bytes)
                    if hold is not None:
                        hold(len(part))
                    chunks.append(part)
                    if engine is not None:
                        await asyncio.sleep(0)
    except TimeoutError:
        raise MalformedRequestError(
            f"the body did not arrive within {timeout_seconds:g} seconds"
        ) from None
    if engine is not None and not engine.ended:
        raise MalformedRequestError("the compressed body is cut short")
    return b"".join(chunks)


def decode_body(raw: bytes, decoder: msgspec.json.Decoder[T], known: Iterable[str] = ()) -> T:
    """Decode a JSON body by its type; `known` are the field names to suggest for a misspelt one.

    Raises InvalidBodyError that names the wrong field.
    """
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise InvalidBodyError([named_field(error, known)]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidBodyError([FieldError("body", "must be one JSON document")]) from None


def named_field(error: msgspec.ValidationError, known: Iterable[str]) -> FieldError:
    """Word msgspec's finding for people: the field's path and, if unknown, one that is like it."""
    found = field_error(error, "")
    if found.message != "is not a known field":
        return FieldError(found.field or "body", found.message)
    near = difflib.get_close_matches(found.field.rpartition(".")[2], list(known), n=1, cutoff=_NEAR)
    hint = f"; the nearest one is {near[0]}" if near else ""
    return FieldError(found.field, found.message + hint)


def inflater(encodings: list[str]) -> Inflater | None:
    """Return what inflates a body with these Content-Encoding headers, None for a plain one.

    Raises UnsupportedMediaTypeError.
    """
    named = [word.strip().lower() for line in encodings for word in line.split(",")]
    if named in ([], ["identity"]):
        return None
    if named == ["gzip"]:
        return _Gzip()
    if named == ["zstd"]:
        return _Zstd()
    raise UnsupportedMediaTypeError(
        "the body must be sent plain, or as Content-Encoding gzip or zstd"
    )


class _Gzip:
    """One gzip member, inflated in steps; what comes after it is refused."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(_GZIP)

    @property
    def ended(self) -> bool:
        return self._inner.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` inflates to, at most STEP_BYTES at a time."""
        pending = False
        try:
            while data or (pending and not self.ended):
                if self.ended:
                    raise MalformedRequestError("the body must be one gzip member")
                part = self._inner.decompress(data, STEP_BYTES)
                data = self._inner.unconsumed_tail or self._inner.unused_data
                # A full step may have left more inside, although all input is taken.
                pending = len(part) == STEP_BYTES
                if part:
                    yield part
        except zlib.error:
            raise MalformedRequestError("the body is not gzip, though its header says so") from None


class _Zstd:
    """One zstd frame, inflated in steps; what comes after it is refused."""

    def __init__(self) -> None:
        self._inner = ZstdDecompressor(
            options={DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
        )

    @property
    def ended(self) -> bool:
        return self._inner.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` inflates to, at most STEP_BYTES at a time."""
        try:
            while data or not (self.ended or self._inner.needs_input):
                if self.ended:
                    raise MalformedRequestError("the body must be one zstd frame")
                part = self._inner.decompress(data, STEP_BYTES)
                data = self._inner.unused_data
                if part:
                    yield part
        except ZstdError:
            raise MalformedRequestError(
                "the body is not zstd with a window of at most 8 MiB, though its header says so"
            ) from None
