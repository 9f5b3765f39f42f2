"""A collector's side of a hub under test: events as it ships them, and the posting of them."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
from radar_audit_events.ids import format_ms
from radar_audit_hub.ingest.handlers import INGEST, Ingest
from radar_audit_hub.store.database import Database

from tests.support.hub_builder import ORG, HubUnderTest, running_hub
from tests.support.log_rows import NOW_MS

INGEST_PATH = "/api/ingest/events"
CLUSTER = "cl_1"


def a_start(session: str = "s-1", *, at_ms: int = NOW_MS, **changes: Any) -> dict[str, Any]:
    """A terminal's start; a dict of `metadata` is merged, anything else replaces it."""
    metadata = {"namespace": "pay", "pod": "api-0", "container": "app"}
    changed = changes.pop("metadata", {})
    return {
        "action": "pod.exec_started",
        "session_id": session,
        "created_at": format_ms(at_ms),
        "actor_user_id": "user_x",
        "metadata": metadata | changed if isinstance(changed, dict) else changed,
    } | changes


def an_end(session: str = "s-1", *, at_ms: int = NOW_MS, **changes: Any) -> dict[str, Any]:
    """A terminal's end."""
    facts = {"duration_ms": 1500, "end_reason": "client_closed", "observed": True}
    metadata = facts | changes.pop("metadata", {})
    return a_start(session, at_ms=at_ms, action="pod.exec_ended", metadata=metadata, **changes)


def a_batch(*events: Any, **changes: Any) -> dict[str, Any]:
    """A batch of events."""
    return {"collector_id": "c-1", "batch_id": "b-1", "events": list(events)} | changes


def a_heartbeat(**changes: Any) -> dict[str, Any]:
    """A collector's words about itself."""
    return {
        "collector_id": "c-1",
        "instance_id": "i-1",
        "version": "0.1.0",
        "sources": ["logfile"],
        "sent_at": format_ms(NOW_MS - 90_000),
        "spool": {"events": 2, "bytes": 900, "oldest_at": format_ms(NOW_MS), "dead_letters": 0},
        "losses": {"spool_full": 3},
        "open_sessions": ["s-1", "s-2"],
        "capture_hash": None,
    } | changes


def fates(results: list[dict[str, Any]]) -> list[str]:
    """The word of each result."""
    return [result["result"] for result in results]


@dataclass(frozen=True)
class Poster:
    """A collector of cluster CLUSTER of org ORG; `token` is the cluster's."""

    under_test: HubUnderTest
    token: str

    @property
    def ingest(self) -> Ingest:
        """The hub's ingest feature."""
        return self.under_test.app[INGEST]

    async def post(
        self,
        path: str,
        body: object,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """POST JSON (or given bytes); returns status and decoded answer."""
        data = io.BytesIO(body if isinstance(body, bytes) else msgspec.json.encode(body))
        sent = {"Content-Type": "application/json"} | dict(headers or {})
        answer = await self.under_test.send(
            "POST", path, token=token or self.token, data=data, headers=sent
        )
        return answer.status, answer.json

    async def send(self, *events: Any, **changes: Any) -> list[dict[str, Any]]:
        """Ingest events, which must be answered with 200; returns the results."""
        status, answer = await self.post(INGEST_PATH, a_batch(*events, **changes))
        assert status == 200, answer
        results: list[dict[str, Any]] = answer["results"]
        return results

    async def rows(self) -> list[dict[str, Any]]:
        """The org's log in commit order, as stored."""
        return await stored_rows(self.under_test.hub.db)


async def stored_rows(db: Database, org_id: str = ORG) -> list[dict[str, Any]]:
    """An org's rows in commit order, as stored but for their metadata, which is decoded."""
    async with db.read() as connection:
        result = await connection.exec_driver_sql(
            f"SELECT * FROM audit_event WHERE org_id = '{org_id}' ORDER BY seq"
        )
        rows = [dict(row._mapping) for row in result]
    for row in rows:
        row["metadata"] = msgspec.json.decode(row["metadata"])
    return rows


@asynccontextmanager
async def posting(url: str, *, token: str | None = None, **settings: Any) -> AsyncIterator[Poster]:
    """Serve a hub over a migrated database, with a cluster unless another hub has made it."""
    async with running_hub(url, migrated=True, **settings) as under_test:
        yield Poster(under_test, token or await under_test.add_cluster(ORG, CLUSTER))
