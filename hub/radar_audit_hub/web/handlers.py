"""The pages' routes in one list: what `app.py` takes in as one feature.

Owns the list and nothing else; docs/pages.md says how a page is added. Never decides anything.
"""

from __future__ import annotations

from aiohttp import web

from . import activity_pages, assets, entry, inbox_pages, session_pages
from .settings import handlers as settings


def routes() -> list[web.RouteDef]:
    """Return all pages' routes."""
    parts = (assets, entry, inbox_pages, activity_pages, session_pages, settings)
    return [route for part in parts for route in part.routes()]
