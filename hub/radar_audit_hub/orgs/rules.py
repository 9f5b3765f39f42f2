"""What an org may be called and set to, and what of it a change changes: pure.

Owns the bodies of the org routes and their rules; domains are in `domains.py`. Called by the org
handlers and by `bootstrap.py`. Never touches the store.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import msgspec
from radar_audit_events.errors import FieldError
from radar_audit_events.ids import is_opaque_id

from radar_audit_hub.names import NAME_TEXT, is_name
from radar_audit_hub.store.control import Org

from .domains import domain_errors

MAX_OWNED_ORGS = 50  # orgs that one person may be an owner of and still make another
Days = Annotated[int, msgspec.Meta(ge=1, le=3650)]  # as for a PAT itself
ID_TEXT = "must be org_ and 1 to 60 letters, digits or underscores"


class NewOrg(msgspec.Struct, forbid_unknown_fields=True):
    """The body that makes an org; without an id a new one is made up."""

    name: str
    id: str | None = None


class OrgPatch(msgspec.Struct, forbid_unknown_fields=True):
    """The body that changes an org; what is left out stays."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    allowed_domains: list[str] | msgspec.UnsetType = msgspec.UNSET
    default_role: Literal["auditor", "member", "viewer"] | msgspec.UnsetType = msgspec.UNSET
    record_log_access: bool | msgspec.UnsetType = msgspec.UNSET
    pat_default_days: Days | msgspec.UnsetType | None = msgspec.UNSET


def new_org_errors(asked: NewOrg) -> list[FieldError]:
    """Return what is wrong with a new org, field by field; empty if nothing is."""
    errors = [] if is_name(asked.name) else [FieldError("name", NAME_TEXT)]
    if asked.id is not None and not is_opaque_id("org", asked.id):
        errors.append(FieldError("id", ID_TEXT))
    return errors


def patch_errors(
    asked: OrgPatch, had_domains: Collection[str], owner_emails: Collection[str]
) -> list[FieldError]:
    """Return what is wrong with a change, field by field; empty if nothing is."""
    errors: list[FieldError] = []
    if asked.name is not msgspec.UNSET and not is_name(asked.name):
        errors.append(FieldError("name", NAME_TEXT))
    if asked.allowed_domains is not msgspec.UNSET:
        errors += domain_errors(asked.allowed_domains, had_domains, owner_emails)
    return errors


def patched(asked: OrgPatch, org: Org, domains: Sequence[str]) -> tuple[Org, list[str]]:
    """Return the org and its domains (sorted, each once) as they are after the change."""
    values = {
        name: value
        for name, value in msgspec.structs.asdict(asked).items()
        if value is not msgspec.UNSET and name != "allowed_domains"
    }
    wanted = domains if asked.allowed_domains is msgspec.UNSET else asked.allowed_domains
    return replace(org, **values), sorted(set(wanted))


def changes_of(
    old: Org, old_domains: Sequence[str], new: Org, new_domains: Sequence[str]
) -> dict[str, list[Any]]:
    """Return `{field: [old, new]}` of what differs, for `org.updated`; empty if nothing does."""
    pairs: dict[str, list[Any]] = {
        "name": [old.name, new.name],
        "allowed_domains": [list(old_domains), list(new_domains)],
        "default_role": [old.default_role, new.default_role],
        "record_log_access": [old.record_log_access, new.record_log_access],
        "pat_default_days": [old.pat_default_days, new.pat_default_days],
    }
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
