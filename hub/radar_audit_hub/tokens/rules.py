"""What a new personal access token may be: name, end, scopes. Pure.

Owns the bounds, and the rule that no token makes one that reaches further than itself. Called
by `handlers.py`. Never reads a clock and never touches the store.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import msgspec
from radar_audit_events import ids
from radar_audit_events.errors import FieldError, TimeError

from radar_audit_hub.errors import ForbiddenError, InvalidBodyError
from radar_audit_hub.names import NAME_TEXT, is_name, nearest

MAX_PATS = 100  # good ones of one person in one org: their removal revokes all in one transaction
MIN_LIFE_MS = 60_000
MAX_DAYS = 3650
MAX_REASON_CHARS = 200
_DAY_MS = 86_400_000


class NewPat(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a new token.

    `expires_at` left out: the org's default; null: never. `scopes` left out or null: all that the
    role may do.
    """

    name: str
    expires_at: str | msgspec.UnsetType | None = msgspec.UNSET
    scopes: list[str] | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token is good for: scopes (None: all of the role's) and its end (Unix ms or None)."""

    scopes: tuple[str, ...] | None
    expires_at_ms: int | None


def grant(
    asked: NewPat, own: Grant, known_scopes: Collection[str], default_days: int | None, now_ms: int
) -> Grant:
    """Decide what a new token gets at `now_ms` (Unix ms); `own` is what its maker came with.

    Raises InvalidBodyError naming each wrong field; ForbiddenError where the token in use does
    not reach as far.
    """
    errors: list[FieldError] = []
    if not is_name(asked.name):
        errors.append(FieldError("name", NAME_TEXT))
    scopes = _scopes(asked.scopes, known_scopes, errors)
    end_ms = _end(asked.expires_at, own, default_days, now_ms, errors)
    if errors:
        raise InvalidBodyError(errors)
    _refuse_more(Grant(scopes, end_ms), own)
    return Grant(scopes, end_ms)


def _scopes(
    asked: list[str] | None, known: Collection[str], errors: list[FieldError]
) -> tuple[str, ...] | None:
    if asked is None:
        return None
    if not asked:
        errors.append(FieldError("scopes", "must name at least one scope, or be null for all"))
    for index, scope in enumerate(asked):
        if scope not in known:
            hint = nearest(scope, known)
            errors.append(FieldError(f"scopes[{index}]", f"is not a scope; {hint}"))
            break  # one hint tells enough, and a list may be long
    return tuple(scope for scope in known if scope in asked)


def _end(
    asked: str | msgspec.UnsetType | None,
    own: Grant,
    default_days: int | None,
    now_ms: int,
    errors: list[FieldError],
) -> int | None:
    if asked is msgspec.UNSET:
        by_default = None if default_days is None else now_ms + default_days * _DAY_MS
        ends = [end for end in (by_default, own.expires_at_ms) if end is not None]
        return min(ends, default=None)
    if asked is None:
        return None
    try:
        end_ms = ids.parse_ms(asked)
    except TimeError as error:
        errors.append(FieldError("expires_at", str(error)))
        return None
    if not now_ms + MIN_LIFE_MS <= end_ms <= now_ms + MAX_DAYS * _DAY_MS:
        bounds = f"from 1 minute to {MAX_DAYS} days ahead, or null for never"
        errors.append(FieldError("expires_at", f"must lie {bounds}"))
    return end_ms


def _refuse_more(wanted: Grant, own: Grant) -> None:
    if own.scopes is not None:
        if wanted.scopes is None:
            raise ForbiddenError("a token with scopes cannot make one without")
        for scope in wanted.scopes:
            if scope not in own.scopes:
                raise ForbiddenError(f"this needs a token with the scope {scope}", (), scope)
    own_end_ms, end_ms = own.expires_at_ms, wanted.expires_at_ms
    if own_end_ms is not None and (end_ms is None or end_ms > own_end_ms):
        raise ForbiddenError("a token cannot make one that is good for longer than itself")
