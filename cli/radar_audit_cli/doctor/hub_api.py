"""The check of the hub itself: that it answers, and that the cluster's collectors live.

Owns the verdict on the hub's list of clusters. Called by `examine.py`. Never sends anything but
that one request, and never shows a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from radar_audit_cli.connection import Connection
from radar_audit_cli.errors import CliError
from radar_audit_cli.output.views import Item

from .findings import Finding, fail, named, ok, unknown

_MAX_CLUSTERS = 500


def clusters_of(connection: Connection) -> list[Any]:
    """Return the hub's clusters as its API shows them. Raises CliError."""
    client = connection.client()
    pages = client.listed(client.in_org("clusters"), "clusters", (), _MAX_CLUSTERS)
    return [cluster for page in pages for cluster in page.items]


def not_asked(error: CliError) -> list[Finding]:
    """Return what is told where the hub cannot be asked."""
    hint = f"; {error.hint}" if error.hint else ""
    return [
        unknown("hub-api", f"the hub was not asked: {error.message}{hint}"),
        unknown("heartbeat", "without the hub it is not known when a collector was last heard"),
    ]


def heartbeats(clusters: Sequence[Item], wanted: str | None) -> list[Finding]:
    """Check that the hub answers and has heard of the collectors lately.

    `wanted` is a cluster's name or id; without it one cluster with a living collector is enough.
    """
    answers = ok("hub-api", f"the hub answers ({len(clusters)} clusters)")
    chosen = [c for c in clusters if wanted is None or wanted in (c.get("id"), c.get("name"))]
    if not chosen:
        what = f"has no cluster {wanted}" if wanted else "has no cluster"
        return [answers, fail("heartbeat", f"the hub {what}; `radar-audit clusters create`")]
    alive = [c for c in chosen if _agent(c).get("status") == "connected"]
    names = named(str(c.get("name")) for c in alive or chosen)
    if alive:
        return [answers, ok("heartbeat", f"the collectors of {names} are heard")]
    seen = max((str(_agent(c).get("last_seen_at") or "") for c in chosen), default="")
    when = f"since {seen}" if seen else "ever"
    return [
        answers,
        fail(
            "heartbeat",
            f"no collector of {names} was heard {when}; see the gateway's log for what the hub "
            "answers",
        ),
    ]


def _agent(cluster: Item) -> Item:
    agent = cluster.get("agent")
    return agent if isinstance(agent, dict) else {}
