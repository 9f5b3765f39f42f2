"""JSON Schemas and validators of metadata, derived from the table of actions.

Owns the two derivations: a JSON Schema (2020-12) a person can read, and a
compiled msgspec type a machine can check 500 events with. Called by the hub at
ingest and at `GET /api/schemas/audit/{action}`. Never knows an action by name.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated, Any, Literal

import msgspec

from .actions import ACTIONS, VIA_PAT, Action, Field
from .errors import EventInvalidError, FieldError

SCHEMA_BASE = "https://radarhq.io/schemas/audit/"
MAX_STRING = 2048  # characters of one metadata string
MAX_ITEMS = 100  # items of one list, keys of one object
MAX_INTEGER = 2**53 - 1  # canonical form: integers that every JSON reader keeps

_Text = Annotated[str, msgspec.Meta(max_length=MAX_STRING)]
_Whole = Annotated[int, msgspec.Meta(ge=-MAX_INTEGER, le=MAX_INTEGER)]
_Key = Annotated[str, msgspec.Meta(max_length=253, pattern=r"^[\x20-\x7e]+$")]
_Scalar = _Text | _Whole | bool | None
_Labels = Annotated[dict[_Key, _Text], msgspec.Meta(max_length=MAX_ITEMS)]
_List = Annotated[list[_Text], msgspec.Meta(max_length=MAX_ITEMS)]
# A changed value is a scalar, or (labels, domains) a flat list or object of scalars.
_Side = (
    _Scalar
    | Annotated[list[_Scalar], msgspec.Meta(max_length=MAX_ITEMS)]
    | Annotated[dict[_Key, _Scalar], msgspec.Meta(max_length=MAX_ITEMS)]
)
_Changes = Annotated[
    dict[_Key, Annotated[list[_Side], msgspec.Meta(min_length=2, max_length=2)]],
    msgspec.Meta(min_length=1, max_length=MAX_ITEMS),
]
_PATH = re.compile(r" - at (?:key )?`\$?(?P<path>[^`]*)`(?P<rest>.*)$")
_NAMED = re.compile(r"^Object (?P<what>missing required|contains unknown) field `(?P<name>.*?)`")


def _machine_type(field: Field) -> Any:
    if field.choices:
        kind: Any = Literal[field.choices]
    elif field.type == "integer":
        low = field.minimum if field.minimum is not None else -MAX_INTEGER
        kind = Annotated[int, msgspec.Meta(ge=low, le=MAX_INTEGER)]
    else:
        kind = {
            "string": _Text,
            "boolean": bool,
            "string_list": _List,
            "labels": _Labels,
            "changes": _Changes,
        }[field.type]
    return kind | None if field.nullable else kind


@cache
def _struct(name: str) -> type[msgspec.Struct]:
    members: list[Any] = []
    for field in (*ACTIONS[name].fields, VIA_PAT):
        kind = _machine_type(field)
        if field.required:
            members.append((field.name, kind))
        else:
            members.append((field.name, kind | msgspec.UnsetType, msgspec.UNSET))
    title = "".join(part.title() for part in re.split(r"[._]", name))
    return msgspec.defstruct(title, members, kw_only=True, forbid_unknown_fields=True)


def validate_metadata(action: str, metadata: dict[str, Any]) -> None:
    """Check metadata against its action's schema.

    Raises EventInvalidError naming the wrong field; KeyError for an unknown action.
    """
    try:
        msgspec.convert(metadata, _struct(action), strict=True)
    except msgspec.ValidationError as exc:
        raise EventInvalidError([field_error(exc, "metadata")]) from None


def field_error(exc: msgspec.ValidationError, root: str) -> FieldError:
    """Turn msgspec's sentence into a field path below `root` and a message."""
    text = str(exc)
    path = ""
    if found := _PATH.search(text):
        path = found["path"].lstrip(".")
        text = text[: found.start()]
    if named := _NAMED.match(text):
        path = f"{path}.{named['name']}".lstrip(".")
        known = named["what"] == "missing required"
        text = "is required" if known else "is not a known field"
    return FieldError(".".join(p for p in (root, path) if p), text)


def _json_type(field: Field) -> dict[str, Any]:
    text = {"type": "string", "maxLength": MAX_STRING}
    scalar = {"type": ["string", "integer", "boolean", "null"]}
    flat = {
        "anyOf": [
            scalar,
            {"type": "array", "items": scalar},
            {"type": "object", "additionalProperties": scalar},
        ]
    }
    kinds: dict[str, dict[str, Any]] = {
        "string": text,
        "integer": {"type": "integer", "minimum": -MAX_INTEGER, "maximum": MAX_INTEGER},
        "boolean": {"type": "boolean"},
        "string_list": {"type": "array", "items": text, "maxItems": MAX_ITEMS},
        "labels": {"type": "object", "additionalProperties": text, "maxProperties": MAX_ITEMS},
        "changes": {
            "type": "object",
            "minProperties": 1,
            "maxProperties": MAX_ITEMS,
            "additionalProperties": {"type": "array", "items": flat, "minItems": 2, "maxItems": 2},
        },
    }
    schema = dict(kinds[field.type])
    if field.choices:
        schema = {"type": "string", "enum": list(field.choices)}
    if field.minimum is not None:
        schema["minimum"] = field.minimum
    if field.nullable:
        schema = {"anyOf": [schema, {"type": "null"}]}
    if field.personal:
        schema["x-personal"] = True
    return schema


def json_schema(action: str) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of an action's metadata. Raises KeyError if unknown."""
    row: Action = ACTIONS[action]
    fields = (*row.fields, VIA_PAT)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{SCHEMA_BASE}{action}",
        "title": row.title,
        "type": "object",
        "properties": {f.name: _json_type(f) for f in fields},
        "required": [f.name for f in fields if f.required],
        "additionalProperties": False,
        "x-action": action,
        "x-target-type": row.target_type,
        "x-severity": row.severity,
        "x-extension": row.extension,
    }
