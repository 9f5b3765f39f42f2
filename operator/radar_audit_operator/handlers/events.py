"""The handlers that Kopf calls: each passes an event on and returns at once.

Owns Kopf's registry and its settings. Called by `watching.py`. Only `on.event` is used: change
handlers write annotations and finalizers, and cost three writes where one will do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import kopf

from radar_audit_operator.specs import GROUP, HUBS, POLICIES, VERSION

Sink = Callable[[str, str | None, dict[str, Any]], None]
Login = Callable[[], kopf.ConnectionInfo]


def registry(sink: Sink, login: Login) -> kopf.OperatorRegistry:
    """Return the handlers; `sink` is told (plural, type, object) of each event."""
    made = kopf.OperatorRegistry()

    @kopf.on.login(registry=made)
    def credentials(**_: Any) -> kopf.ConnectionInfo:
        return login()

    @kopf.on.event(GROUP, VERSION, POLICIES, registry=made)
    async def policy(event: Any, **_: Any) -> None:
        sink(POLICIES, event["type"], event["object"])

    @kopf.on.event(GROUP, VERSION, HUBS, registry=made)
    async def hub(event: Any, **_: Any) -> None:
        sink(HUBS, event["type"], event["object"])

    return made


def settings() -> kopf.OperatorSettings:
    """Return Kopf's settings, each with its reason."""
    made = kopf.OperatorSettings()
    # Peers of equal priority freeze one another and need their own kinds: we have a Lease.
    made.peering.standalone = True
    # No list and watch of namespaces and of definitions: the operator has no right to them.
    made.scanning.disabled = True
    # One event per call, without a count: `poster.py` posts ours.
    made.posting.enabled = False
    made.posting.level = logging.CRITICAL + 1
    # The server ends a watch after this, which also bounds a connection that died unseen;
    # bookmarks come each minute, and silence over inactivity_timeout (70 s) reconnects.
    made.watching.server_timeout = 600
    made.watching.connect_timeout = 10
    # A page of a list: bounds memory.
    made.watching.chunk_size = 100
    # Bounds the burst of tasks when a thousand objects come in at once.
    made.queueing.worker_limit = 64
    made.queueing.idle_timeout = 1.0
    # The default of five minutes would hide a hanging API server for as long.
    made.networking.request_timeout = 30
    made.networking.connect_timeout = 5
    made.networking.error_backoffs = (1, 2, 3, 5, 8)
    made.networking.enforce_retry_after = True
    # Guards only: no handler here may need them. Their defaults carry a foreign domain.
    made.persistence.finalizer = f"{GROUP}/unused"
    made.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP)
    made.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=GROUP)
    return made
