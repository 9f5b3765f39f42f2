"""The settings' routes in one list.

Owns the list and nothing else. Called by the pages' own list.
"""

from __future__ import annotations

from aiohttp import web

from . import (
    age_exceptions,
    clusters,
    deliveries,
    destinations,
    organization,
    people,
    plan,
    retention,
    rules,
    sign_in,
    tokens,
)


def routes() -> list[web.RouteDef]:
    """Return the routes of all settings' pages."""
    parts = (
        organization,
        people,
        clusters,
        tokens,
        destinations,
        deliveries,
        rules,
        retention,
        age_exceptions,
        plan,
        sign_in,
    )
    return [route for part in parts for route in part.routes()]
