"""What a browser's form sends: read, bounded, and turned into the document of the API's route.

Owns the reading of forms, with the CSRF token in them, and of the mistakes to be shown beside
the fields. Called by the pages that change something, before they ask who is calling. A form is
judged by the same types and functions as the API's document; it has no rules of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web
from radar_audit_events.errors import FieldError
from radar_audit_events.query_text import is_storable

from radar_audit_hub.auth.sessions import FORM_TOKEN
from radar_audit_hub.bodies import decode_body, read_body
from radar_audit_hub.context import HUB
from radar_audit_hub.errors import HubError, InvalidBodyError, InvalidParametersError

T = TypeVar("T", bound=msgspec.Struct)
CSRF_FIELD = "csrf"
MAX_FORM_BYTES = 64 * 1024
_MAX_FIELDS = 200
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form in order, the CSRF token not among them."""

    pairs: tuple[tuple[str, str], ...]

    def text(self, name: str) -> str:
        """Return a field without the white space around it; empty if it is not there."""
        return next((value.strip() for key, value in self.pairs if key == name), "")

    def many(self, name: str) -> list[str]:
        """Return all values of a field that may be there several times, as they are."""
        return [value for key, value in self.pairs if key == name]

    def has(self, name: str) -> bool:
        """Tell whether a field is there, such as a ticked box."""
        return any(key == name for key, _ in self.pairs)


@dataclass(frozen=True, slots=True)
class Mistakes:
    """What to show of a form that was refused: sentences by field, and one for the whole."""

    fields: Mapping[str, str] = field(default_factory=dict)
    whole: str = ""

    def of(self, name: str) -> str:
        """Return the sentence of a field, empty if it is right."""
        return self.fields.get(name, "")


NO_MISTAKES = Mistakes()


async def read_form(request: web.Request) -> Form:
    """Return the fields of a form, and keep its CSRF token for whoever asks who is calling.

    Raises InvalidBodyError, and the errors of `read_body`.
    """
    raw = await read_body(
        request,
        limit_bytes=MAX_FORM_BYTES,
        timeout_seconds=request.app[HUB].settings.body_timeout_seconds,
        media_type=_FORM,
    )
    try:
        pairs = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError:  # also UnicodeError
        raise InvalidBodyError([FieldError("body", "must be a form in UTF-8")]) from None
    for name, value in pairs:
        if not is_storable(value):
            message = "must not hold NUL characters or lone surrogates"
            raise InvalidBodyError([FieldError(name, message)])
    token = next((value for name, value in pairs if name == CSRF_FIELD), None)
    if token is not None:
        request[FORM_TOKEN] = token
    return Form(tuple(pair for pair in pairs if pair[0] != CSRF_FIELD))


def as_document(values: Mapping[str, Any], decoder: msgspec.json.Decoder[T]) -> T:
    """Return what a form says as the document that the API's route would take.

    Raises InvalidBodyError.
    """
    return decode_body(msgspec.json.encode(values), decoder, decoder.type.__struct_fields__)


def mistakes_of(error: HubError) -> Mistakes:
    """Return what a refused form's page shows of the error."""
    if isinstance(error, InvalidBodyError | InvalidParametersError):
        return Mistakes({one.field: one.message for one in error.errors}, "Nothing was changed.")
    text = str(error)
    return Mistakes({}, text[:1].upper() + text[1:] + ".")
