"""An operator as the tests play it: documents, heartbeats, and what came back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from radar_audit_events.ids import format_ms
from radar_audit_events.policy_wire import SCOPE_ORG_SETTINGS, SCOPE_SETTINGS

from tests.support.hub_builder import ORG, Answer, HubUnderTest

AGENT_SCOPES = ("ingest", "agent", SCOPE_SETTINGS)
HOUR_MS = 3_600_000


@dataclass
class Operator:
    """The operator of one cluster, with its token."""

    hub: HubUnderTest
    cluster_id: str
    token: str

    def owner(self, name: str = "main", namespace: str = "audit") -> str:
        """Return an owner id of this cluster."""
        return f"k8s:{self.cluster_id}:{namespace}:{name}"

    async def put(
        self, owner_id: str, generation: int = 1, *, dry_run: bool = False, **asked: Any
    ) -> Answer:
        """Put a document; `asked` is what it asks for."""
        path = f"/api/agent/owners/{owner_id}" + ("?dryRun=true" if dry_run else "")
        return await self.hub.send("PUT", path, token=self.token, json=document(generation, asked))

    async def delete(self, owner_id: str, **params: str) -> Answer:
        """Release an owner."""
        path = f"/api/agent/owners/{owner_id}"
        return await self.hub.send("DELETE", path, token=self.token, params=params)

    async def heartbeat(self, *owner_ids: str, complete: bool = True, **changed: Any) -> Any:
        """Name the live owners and return the answer."""
        body = {
            "is_complete": complete,
            "sent_at": format_ms(self.hub.clock.now_ms),
            "version": "0.1.0",
            "owners": [
                {"owner_id": name, "uid": "uid-1", "generation": 1, "spec_hash": "hash-1"}
                for name in owner_ids
            ],
            **changed,
        }
        answer = await self.hub.send(
            "POST", "/api/agent/operator-heartbeat", token=self.token, json=body
        )
        assert answer.status == 200, answer.body
        return answer.json

    async def settings(self) -> Any:
        """Return what is in force."""
        answer = await self.hub.get("/api/agent/settings", token=self.token)
        assert answer.status == 200, answer.body
        return answer.json


def document(generation: int, asked: dict[str, Any]) -> dict[str, Any]:
    """A document of the object `uid-1`; `asked` may replace anything."""
    return {
        "uid": "uid-1",
        "generation": generation,
        "spec_hash": f"hash-{generation}",
        "created_at": "2026-11-18T00:00:00Z",
        **asked,
    }


async def operator(
    hub: HubUnderTest, cluster_id: str = "cl_1", *, speaks_for_org: bool = False
) -> Operator:
    """Return the operator of a new cluster of the first org."""
    scopes = (*AGENT_SCOPES, SCOPE_ORG_SETTINGS) if speaks_for_org else AGENT_SCOPES
    return Operator(hub, cluster_id, await hub.add_cluster(ORG, cluster_id, scopes))


async def told(hub: HubUnderTest) -> list[dict[str, Any]]:
    """Return the metadata of all policy changes in the log, the oldest first."""
    answer = await hub.get("?action=audit.policy_changed&limit=500")
    # Within one millisecond pages are in no order that a test could know.
    events = sorted(answer.json["events"], key=lambda event: int(event["seq"]))
    return [event["metadata"] for event in events]


def collector_beat() -> dict[str, Any]:
    """What a collector says of itself."""
    return {
        "collector_id": "node-1",
        "instance_id": "i-1",
        "version": "0.1.0",
        "sources": ["gateway"],
        "sent_at": "2026-11-18T00:00:00Z",
        "spool": {"events": 0, "bytes": 0, "oldest_at": None, "dead_letters": 0},
        "losses": {},
        "open_sessions": [],
        "capture_hash": None,
    }
