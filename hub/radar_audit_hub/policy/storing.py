"""Storing an owner's document: checks, secrets, versions, and what it changes, in one change.

Owns the steps that the operator's PUT and the org's own document share. Called by the routes of
this folder, inside a change whose org is locked. Never answers a request.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from functools import lru_cache

import msgspec
from radar_audit_events.errors import FieldError
from radar_audit_events.ids import parse_ms
from radar_audit_events.policy_wire import MAX_HOLDS, OwnerDocument, RetentionSettings

from radar_audit_hub.changes import Change
from radar_audit_hub.context import Hub
from radar_audit_hub.errors import (
    DocumentQueryError,
    InvalidBodyError,
    UnavailableError,
    UnknownActionError,
)
from radar_audit_hub.notify.destinations import kind_of, sync
from radar_audit_hub.notify.following.starting import follow_document
from radar_audit_hub.sealing import Sealer, SealError
from radar_audit_hub.store.control import Org
from radar_audit_hub.store.owners import (
    Owner,
    put_owner,
)

from .claims import Takeover
from .differences import changes
from .documents import mistakes_in
from .releasing import ACTION
from .secret_parts import Secret, Secrets, without_secrets
from .settling import Settled, delay_ms, read_document, settle

MAX_LASTING_HOLDS = 4 * MAX_HOLDS
# Of all owners of an org together, and of those that speak for a cluster alone: whoever may connect
# one, which is every member, must leave room for the organization's own.
MAX_ORG_HOLDS, MAX_CLUSTERS_HOLDS = 200, 150
MAX_ORG_WEIGHT, MAX_CLUSTERS_WEIGHT = 500, 375
# Of an org's clusters: they are kept ready in memory, up to 20 KB each, and each event may be
# looked at by all of them.
MAX_CLUSTERS_RULES = 4000
_secrets = msgspec.json.Decoder(dict[str, Secret])


def refuse_mistakes(document: OwnerDocument, *, is_hub: bool) -> None:
    """Raise InvalidBodyError, DocumentQueryError or UnknownActionError for what is wrong."""
    found = mistakes_in(document, is_hub=is_hub, knows_zone=knows_zone)
    if found.invalid:
        raise InvalidBodyError(found.invalid)
    if found.queries:
        raise DocumentQueryError(found.queries)
    if found.actions:
        raise UnknownActionError(found.actions)


@lru_cache(maxsize=1024)
def knows_zone(name: str) -> bool:
    """Tell whether the machine's time zone database has a zone."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


async def store(
    hub: Hub,
    change: Change,
    org: Org,
    *,
    owner_id: str,
    cluster_id: str | None,
    before: Owner | None,
    document: OwnerDocument,
) -> Settled:
    """Store a document over `before` and put in force what follows; note what changed.

    A shorter age waits as long as the new document says, or the old one where that asks for none.
    """
    sealer = hub.sealer
    kept = {} if before is None else opened(sealer, before)
    old = None if before is None else read_document(before)
    plain, secrets = without_secrets(document, _of_same_kind(kept, old, document))
    plain = _with_lasting_holds(plain, old)
    owner = Owner(
        org_id=org.id,
        owner_id=owner_id,
        cluster_id=cluster_id,
        uid=document.uid,
        generation=document.generation,
        spec_hash=document.spec_hash,
        scope=document.scope,
        document=msgspec.json.encode(plain).decode(),
        secrets=_sealed(sealer, org.id, owner_id, secrets),
        created_at_ms=parse_ms(document.created_at),
        stored_at_ms=change.now_ms,
        seen_at_ms=change.now_ms,
    )
    await put_owner(change.conn, owner)
    # Before the destinations, in the order in which the job that follows the log locks them.
    await follow_document(change.conn, org.id, owner_id, plain, change.now_ms)
    await sync(change, org.id, owner_id, plain, secrets, random_bytes=hub.random_bytes)
    takeover = None
    if document.take_over_from is not None:
        takeover = Takeover(owner_id=owner_id, holder_id=document.take_over_from)
    waits = delay_ms(plain if plain.retention is not None else old)
    settled = await settle(
        change.conn, org, now_ms=change.now_ms, delay_ms=waits, takeover=takeover, by=owner_id
    )
    _refuse_too_many_holds(settled, old, plain, change.now_ms)
    if cluster_id is not None:
        _refuse_too_many_rules(settled, old, plain)
    told = changes(old, plain, kept, secrets)
    if old is not None and old.uid != plain.uid:
        told["uid"] = [old.uid, plain.uid]
    if told:  # a new version may ask for the same
        change.note(org.id, ACTION, org.id, {"kind": "owner", "owner": owner_id, "changes": told})
    return settled


def _of_same_kind(kept: Secrets, old: OwnerDocument | None, new: OwnerDocument) -> Secrets:
    """Return the secrets of the destinations that stay what they are: a Slack URL is no Teams'."""

    def kinds(document: OwnerDocument | None) -> dict[str, str]:
        asked = None if document is None else document.notifications
        return {} if asked is None else {one.name: kind_of(one) for one in asked.destinations}

    same = kinds(old).items() & kinds(new).items()
    return {name: kept[name] for name, _ in same if name in kept}


def _with_lasting_holds(document: OwnerDocument, before: OwnerDocument | None) -> OwnerDocument:
    """Return the document with the holds of the one before that it leaves out unreleased.

    A hold ends by `released: true`, or at the hub: not by being left out. Raises InvalidBodyError
    where there would be too many.
    """
    asked = document.retention or RetentionSettings()
    past = [] if before is None or before.retention is None else before.retention.holds
    named = {hold.name for hold in asked.holds}
    lasting = [hold for hold in past if not hold.released and hold.name not in named]
    if not lasting:
        return document
    if len(lasting) + len(asked.holds) > MAX_LASTING_HOLDS:
        raise InvalidBodyError(
            [
                FieldError(
                    "retention.holds",
                    f"with earlier ones that were not released there would be more than "
                    f"{MAX_LASTING_HOLDS}; release some by name",
                )
            ]
        )
    return msgspec.structs.replace(
        document, retention=msgspec.structs.replace(asked, holds=[*asked.holds, *lasting])
    )


def _refuse_too_many_holds(
    settled: Settled, before: OwnerDocument | None, after: OwnerDocument, now_ms: int
) -> None:
    """Raise InvalidBodyError if another hold would be too much for whoever reads the log.

    All of an org's are part of each query, and a database takes so many at once and no more.
    """
    if after.retention is None or _unreleased(after) <= _unreleased(before):
        return
    lasting = [hold for hold in settled.in_force.holds if hold.lasts(now_ms)]
    whose, most, weight = "the whole organization", MAX_ORG_HOLDS, MAX_ORG_WEIGHT
    if after.scope != "organization":
        lasting = [hold for hold in lasting if hold.cluster_id is not None]
        whose, most, weight = "all clusters", MAX_CLUSTERS_HOLDS, MAX_CLUSTERS_WEIGHT
    if len(lasting) > most or sum(hold.weight for hold in lasting) > weight:
        message = (
            f"with those of {whose} there would be more than {most}, or "
            f"more than {weight} values in their queries; release some by name"
        )
        raise InvalidBodyError([FieldError("retention.holds", message)])


def _refuse_too_many_rules(
    settled: Settled, before: OwnerDocument | None, after: OwnerDocument
) -> None:
    """Raise InvalidBodyError if a cluster's document has more rules than before, and no room.

    The organization's own always has room.
    """
    if _rules(after) <= _rules(before):
        return
    found = (settled.documents[name] for name, owner in settled.owners.items() if owner.cluster_id)
    if sum(map(_rules, found)) > MAX_CLUSTERS_RULES:
        message = (
            f"with those of all clusters' policies there would be more than {MAX_CLUSTERS_RULES}; "
            "delete some"
        )
        raise InvalidBodyError([FieldError("notifications.rules", message)])


def _rules(document: OwnerDocument | None) -> int:
    asked = None if document is None else document.notifications
    return 0 if asked is None else len(asked.rules)


def _unreleased(document: OwnerDocument | None) -> set[tuple[str, str | None, str | None]]:
    asked = None if document is None else document.retention
    holds = [] if asked is None else asked.holds
    return {(hold.name, hold.query, hold.until) for hold in holds if not hold.released}


def opened(sealer: Sealer | None, owner: Owner) -> Secrets:
    """Return an owner's secrets. Raises UnavailableError where the key is not the right one."""
    if owner.secrets is None:
        return {}
    whose = _whose(owner.org_id, owner.owner_id)
    try:
        return _secrets.decode(_needed(sealer).open(owner.secrets, whose))
    except SealError as error:
        raise UnavailableError(str(error), retry_after_seconds=60) from None


def _sealed(
    sealer: Sealer | None, org_id: str, owner_id: str, secrets: Mapping[str, Secret]
) -> bytes | None:
    if not secrets:
        return None
    return _needed(sealer).seal(msgspec.json.encode(secrets), _whose(org_id, owner_id))


def _needed(sealer: Sealer | None) -> Sealer:
    if sealer is None:
        raise UnavailableError(
            "the hub has no key to keep secrets with; its administrator sets "
            "RADAR_AUDIT_HUB_SECRETS_KEY",
            retry_after_seconds=60,
        )
    return sealer


def _whose(org_id: str, owner_id: str) -> str:
    return f"{org_id}/{owner_id}"
