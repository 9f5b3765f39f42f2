"""Whose turn it is to have a page of the log made, and to hold it until it is taken.

Owns `page_turn`: one person has few turns, and so has one org, of which one person has no more than
a third. Called by the lists and followers of the log. Never makes a page.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from radar_audit_hub.auth.principal import Principal
from radar_audit_hub.context import Hub


@asynccontextmanager
async def page_turn(hub: Hub, caller: Principal) -> AsyncIterator[None]:
    """Wait for a turn and hold it for the block: a slow reader waits for himself first.

    Raises TooManyRequestsError.
    """
    whose = f"{caller.org_id}/{caller.user_id}"
    async with hub.own_pages.take(whose), hub.pages.take(caller.org_id):
        yield
