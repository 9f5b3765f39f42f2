"""The words that the command line offers are those that the hub takes."""

from __future__ import annotations

from typing import Any

import click
from radar_audit_cli.commands import billing, invitations, members, orgs, pats, sso
from radar_audit_cli.commands.audit import _BATCH_EVENTS
from radar_audit_cli.hub_client import MAX_PAGE_ITEMS
from radar_audit_events.actions import ROLES
from radar_audit_events.wire import MAX_BATCH_BYTES
from radar_audit_hub.auth.principal import SCOPES
from radar_audit_hub.billing.plans import FREE, PLANS
from radar_audit_hub.external.handlers import MAX_EVENT_BYTES, MAX_EVENTS
from radar_audit_hub.listing import MAX_LIMIT
from radar_audit_hub.sso.portal import INTENTS


def _choices(command: click.Command, name: str) -> set[Any]:
    kinds = [param.type for param in command.params if param.name == name]
    assert len(kinds) == 1
    assert isinstance(kinds[0], click.Choice)
    return set(kinds[0].choices)


def test_scopes_roles_plans_and_intents_are_the_hubs() -> None:
    assert _choices(pats.create, "scopes") == set(SCOPES)
    assert _choices(members.set_role, "role") == set(ROLES)
    assert _choices(invitations.create, "role") == set(ROLES)
    assert _choices(orgs.update, "default_role") == set(ROLES) - {"owner"}
    assert _choices(billing.checkout, "plan") == set(PLANS) - {FREE}
    assert _choices(sso.portal, "intent") == set(INTENTS)


def test_pages_and_batches_are_of_a_size_that_the_hub_takes() -> None:
    assert MAX_PAGE_ITEMS == MAX_LIMIT
    assert _BATCH_EVENTS <= MAX_EVENTS
    assert _BATCH_EVENTS * MAX_EVENT_BYTES <= MAX_BATCH_BYTES
