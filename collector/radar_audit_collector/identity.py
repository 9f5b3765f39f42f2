"""What this collector knows of itself from the hub: its org, its cluster, its capture settings.

Owns the state keys under `hub/` in the spool, so that a restart without a hub
still knows them. Filled by `heartbeat`; read by `deliver` and `app`. Never
holds the token.
"""

from __future__ import annotations

from typing import Any

import msgspec
from radar_audit_events.ids import is_opaque_id
from radar_audit_events.wire import HeartbeatAnswer

from .spool import Spool

_KEY = "hub/identity"
MAX_CAPTURE_BYTES = 64 * 1024
_MAX_NAME_CHARS = 253
_MAX_ETAG_CHARS = 128


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the hub said last; `capture` are the cluster's capture settings with their ETag."""

    org_id: str
    cluster_id: str
    cluster_name: str
    capture: dict[str, Any] | None = None
    capture_etag: str | None = None


class Identity:
    """The learnt identity, durable; `configured_org_id` comes from the settings and wins."""

    def __init__(self, spool: Spool, configured_org_id: str | None) -> None:
        """Nothing is read before `load`."""
        self._spool = spool
        self._configured_org_id = configured_org_id
        self._known: Known | None = None
        self._is_stored = True
        # The tag of the capture settings that are in force here: what the hub is told.
        self.applied_etag: str | None = None

    @property
    def known(self) -> Known | None:
        """What the hub said last, null if it never did."""
        return self._known

    @property
    def org_id(self) -> str | None:
        """The org of this collector, null while nobody has said it."""
        if self._configured_org_id is not None:
            return self._configured_org_id
        return None if self._known is None else self._known.org_id

    @property
    def is_conflicting(self) -> bool:
        """Tell whether the token belongs to another org than the settings say.

        Delivering then would write one org's terminals into another's log.
        """
        return (
            self._configured_org_id is not None
            and self._known is not None
            and self._known.org_id != self._configured_org_id
        )

    async def load(self) -> None:
        """Read what an earlier run learnt. Raises SpoolUnavailableError."""
        blob = (await self._spool.load_state(_KEY)).values.get(_KEY)
        if blob is not None:
            try:
                self._known = msgspec.json.decode(blob, type=Known)
            except (msgspec.MsgspecError, ValueError):
                self._known = None  # written by another version; the next heartbeat tells it anew

    async def learn(self, answer: HeartbeatAnswer) -> bool:
        """Keep what a heartbeat's answer says; tell whether anything is new.

        Raises ValueError if the ids have no valid form, SpoolUnavailableError if it
        could not be stored (it is known all the same, and stored with the next answer).
        """
        if not is_opaque_id("org", answer.org_id) or not is_opaque_id("cl", answer.cluster_id):
            raise ValueError("the hub's answer names no valid org and cluster")
        known = Known(
            org_id=answer.org_id,
            cluster_id=answer.cluster_id,
            cluster_name=answer.cluster_name[:_MAX_NAME_CHARS],
            capture=answer.capture,
            capture_etag=None
            if answer.capture_etag is None
            else answer.capture_etag[:_MAX_ETAG_CHARS],
        )
        is_new = known != self._known
        if is_new or not self._is_stored:
            blob = msgspec.json.encode(known)
            if len(blob) > MAX_CAPTURE_BYTES:
                raise ValueError("the hub's answer holds capture settings that are too large")
            self._known = known
            self._is_stored = False
            await self._spool.put_state({_KEY: blob})
            self._is_stored = True
        return is_new
