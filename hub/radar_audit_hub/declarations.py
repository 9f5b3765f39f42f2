"""Which audit events each mutating route writes: the registry behind promise 4.

Owns `declare` and the declarations made so far. Every feature's `routes()` calls
`declare` for each route that is not a plain read; a contract test walks the
router and fails for a route without a declaration. Never runs anything itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from aiohttp import web
from radar_audit_events.actions import ACTIONS

READ_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Declared:
    """What one route writes: actions of the table, or none and the reason why."""

    events: tuple[str, ...] | None
    reason: str | None


_BY_HANDLER: dict[object, Declared] = {}


def declare(
    route: web.RouteDef, *, events: tuple[str, ...] | None, reason: str | None = None
) -> web.RouteDef:
    """Note the events of a route and return it, so that `routes()` can list it in place.

    `events=None` needs a `reason` (transport, an exact repeat, a user's own
    preference). Raises ValueError for neither, or for an action outside the table.
    """
    if not events and not reason:
        raise ValueError(f"{route.method} {route.path} declares neither events nor a reason")
    unknown = [name for name in events or () if name not in ACTIONS]
    if unknown:
        raise ValueError(f"{route.method} {route.path} declares unknown actions: {unknown}")
    _BY_HANDLER[route.handler] = Declared(events or None, reason)
    return route


def declared(route: web.AbstractRoute) -> Declared | None:
    """Return what a route of the router declared, None if it did not."""
    return _BY_HANDLER.get(route.handler)


def undeclared(app: web.Application) -> Iterator[str]:
    """Yield `METHOD path` of every mutating route of `app` without a declaration."""
    for route in app.router.routes():
        if route.method in READ_METHODS or declared(route) is not None:
            continue
        path = route.resource.canonical if route.resource else "?"
        yield f"{route.method} {path}"
