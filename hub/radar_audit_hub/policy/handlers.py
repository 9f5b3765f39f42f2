"""The routes of the audit policy, with the events that each writes.

Owns the list; the edges are in `agent.py` and `reporting.py` (the operator's) and `people.py`.
Listed by `app.py`. Never holds a rule.
"""

from __future__ import annotations

from aiohttp import web

from radar_audit_hub.clusters.guard import DENIED
from radar_audit_hub.declarations import declare
from radar_audit_hub.destinations import asking

from . import agent, people, reporting
from .releasing import ACTION


def routes() -> list[web.RouteDef]:
    """Return the feature's routes."""
    owner = "/api/agent/owners/{owner_id}"
    policy = "/api/orgs/{org_id}/audit/policy"
    steering = "/api/orgs/{org_id}/audit/settings"
    grants = f"{steering}/grants/{{cluster_id}}"
    events = (ACTION,)
    refusable = (ACTION, DENIED)
    return [
        declare(web.put(owner, agent.put_document), events=events),
        declare(web.delete(owner, agent.delete_document), events=events),
        declare(
            web.post(f"{owner}/destinations/{{name}}/test", agent.try_destination),
            events=None,
            reason=asking.NO_CHANGE,
        ),
        web.get("/api/agent/settings", reporting.settings, allow_head=False),
        declare(web.post("/api/agent/operator-heartbeat", reporting.heartbeat), events=events),
        web.get(policy, people.show, allow_head=False),
        declare(web.put(policy, people.put), events=events),
        declare(web.post(f"{steering}/takeover", people.take_over), events=events),
        declare(web.post(f"{steering}/override", people.override), events=events),
        declare(web.post(f"{steering}/release/{{cluster_id}}", people.agree), events=refusable),
        declare(web.put(grants, people.grant), events=refusable),
        declare(web.delete(grants, people.ungrant), events=refusable),
    ]
