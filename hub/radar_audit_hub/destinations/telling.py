"""Tells an org's owners that a destination was disabled.

Owns the words. Called after it was disabled. Never sends anything itself.
"""

from __future__ import annotations

from radar_audit_hub.context import Hub


async def tell_owners(hub: Hub, org_id: str, destination_id: str, reason: str) -> None:
    """Put a notice for each owner."""
