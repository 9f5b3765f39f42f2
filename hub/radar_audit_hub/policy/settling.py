"""Puts in force what all owners' documents come to, inside the transaction that changed one.

Owns the way from documents to the org's retention: who holds which key, which ages follow, which
holds last. Called by every route that changes a document, by the heartbeat's releases and by the
job that ends overrides. Never writes the audit event: its caller knows what was asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
from radar_audit_events.ids import parse_ms
from radar_audit_events.policy_wire import OwnerDocument, RetentionSettings

from radar_audit_hub.retention.in_force import HOUR_MS, Held, InForce, read, write
from radar_audit_hub.retention.policy import PLAN_DAYS, Hold
from radar_audit_hub.store.control import Org
from radar_audit_hub.store.database import Connection
from radar_audit_hub.store.holds import holds_of
from radar_audit_hub.store.owners import (
    HolderRow,
    OverrideRow,
    Owner,
    get_override,
    holders_of,
    in_force,
    list_owners,
    set_holder,
    set_in_force,
)

from .ages import Wanted, next_ages
from .claims import ORG_KEY, Claim, Takeover, cluster_key, holder

ORG_OWNER = "org"  # the owner id of the org's own document
LEAST_RELEASE_DELAY_HOURS = 24
_SLICE_CHARS = 1024 * 1024  # of documents that are read without a turn for others: milliseconds
_document = msgspec.json.Decoder(OwnerDocument)
_retention = msgspec.json.Decoder(RetentionSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What is in force now: documents by owner id, holders by key, ages, and the revision.

    `wanted` is what it comes to once every delay is over.
    """

    owners: Mapping[str, Owner]
    documents: Mapping[str, OwnerDocument]
    holders: Mapping[str, HolderRow]
    override: OverrideRow | None
    wanted: Wanted
    in_force: InForce
    ceiling_hours: int
    revision: int


def read_document(owner: Owner) -> OwnerDocument:
    """Return an owner's document, without its secrets."""
    return _document.decode(owner.document)


def key_of(owner_id: str, owner: Owner) -> str:
    """Return the key of the retention that an owner asks for."""
    if owner_id == ORG_OWNER or owner.scope == "organization" or owner.cluster_id is None:
        return ORG_KEY
    return cluster_key(owner.cluster_id)


def asks_for_age(document: OwnerDocument) -> bool:
    """Tell whether a document claims its key: it asks for an age, of all events or of some."""
    asked = document.retention
    return asked is not None and (asked.max_age_hours is not None or bool(asked.overrides))


def delay_ms(document: OwnerDocument | None, *, released: bool = False) -> int:
    """Return how long a shorter age waits that a document, or its release, leads to."""
    asked = None if document is None else document.retention
    hours = LEAST_RELEASE_DELAY_HOURS if asked is None else asked.shrink_delay_hours
    return max(hours, LEAST_RELEASE_DELAY_HOURS if released else 0) * HOUR_MS


async def settle(
    conn: Connection,
    org: Org,
    *,
    now_ms: int,
    delay_ms: int,
    takeover: Takeover | None = None,
    by: str | None = None,
) -> Settled:
    """Put in force what the stored documents come to at `now_ms`; a shorter age waits `delay_ms`.

    Where it is an owner's (`by`), that counts for the keys that it holds: it must not hasten what
    others ask for. The org must be locked. Times are Unix ms.
    """
    found = await look(conn, org, now_ms=now_ms, takeover=takeover)
    before = await holders_of(conn, org.id)
    for key in before.keys() | found.holders.keys():
        was, now = before.get(key), found.holders.get(key)
        if (was and was.owner_id) != (now and now.owner_id):
            await set_holder(conn, org.id, key, now.owner_id if now else None, now_ms)
    ages = next_ages(
        found.in_force.ages,
        found.wanted,
        now_ms=now_ms,
        delay_ms=delay_ms,
        ceiling_hours=found.ceiling_hours,
        about=_decided_by(found, by),
    )
    settings = InForce(ages=ages, holds=_holds(found.owners, found.documents))
    revision = await set_in_force(conn, org.id, write(settings))
    return replace(found, in_force=settings, revision=revision)


def _decided_by(found: Settled, by: str | None) -> list[str] | None:
    """Return the clusters whose ages an owner decides, None for those of the whole org."""
    org = found.holders.get(ORG_KEY)
    if by is None or by == (ORG_OWNER if org is None else org.owner_id):
        return None
    return [
        key.partition("/")[2]
        for key, row in found.holders.items()
        if key != ORG_KEY and row.owner_id == by
    ]


async def look(
    conn: Connection, org: Org, *, now_ms: int, takeover: Takeover | None = None
) -> Settled:
    """Return what is in force at `now_ms` (Unix ms), and who would hold which key now."""
    owners = {owner.owner_id: owner for owner in await list_owners(conn, org.id)}
    documents = await _read_all(owners)
    override = await get_override(conn, org.id, now_ms)
    holders = _holders(owners, documents, await holders_of(conn, org.id), now_ms, takeover)
    text, revision = await in_force(conn, org.id)
    return Settled(
        owners=owners,
        documents=documents,
        holders=holders,
        override=override,
        wanted=_wanted(documents, holders, override),
        in_force=read(text),
        ceiling_hours=ceiling_hours(org.plan, await holds_of(conn, org.id), now_ms),
        revision=revision,
    )


async def _read_all(owners: Mapping[str, Owner]) -> dict[str, OwnerDocument]:
    """Return the documents of owners, with turns for other requests in between."""
    found, since = {}, 0
    for name, owner in owners.items():
        found[name] = read_document(owner)
        since += len(owner.document)
        if since >= _SLICE_CHARS:
            await asyncio.sleep(0)
            since = 0
    return found


def ceiling_hours(plan: str, holds: Sequence[Hold], now_ms: int) -> int:
    """Return the longest age that something may still be kept for: the plan's, or a hold's."""
    plans = (plan, *(hold.plan for hold in holds if hold.until_ms > now_ms))
    return max(PLAN_DAYS[name] for name in plans) * 24


def _holders(
    owners: Mapping[str, Owner],
    documents: Mapping[str, OwnerDocument],
    present: Mapping[str, HolderRow],
    now_ms: int,
    takeover: Takeover | None,
) -> dict[str, HolderRow]:
    claims: dict[str, list[Claim]] = {}
    for name, owner in owners.items():
        # The org's own document counts where nobody holds the key: it is no claimant.
        if name != ORG_OWNER and asks_for_age(documents[name]):
            claim = Claim(owner_id=name, created_at_ms=owner.created_at_ms)
            claims.setdefault(key_of(name, owner), []).append(claim)
    found = {}
    for key, asking in claims.items():
        now = present.get(key)
        winner = holder(now.owner_id if now else None, asking, takeover if key == ORG_KEY else None)
        if winner is None:
            continue
        if now is not None and now.owner_id == winner:
            found[key] = now
        else:
            found[key] = HolderRow(key=key, owner_id=winner, since_ms=now_ms)
    return found


def _wanted(
    documents: Mapping[str, OwnerDocument],
    holders: Mapping[str, HolderRow],
    override: OverrideRow | None,
) -> Wanted:
    if override is not None:
        return Wanted(_retention.decode(override.retention), {})
    by_key = {key: documents[row.owner_id].retention for key, row in holders.items()}
    org = by_key.pop(ORG_KEY, None)
    own = documents.get(ORG_OWNER)
    if org is None and own is not None and asks_for_age(own):
        org = own.retention
    clusters = {key.partition("/")[2]: asked for key, asked in by_key.items() if asked is not None}
    return Wanted(org, clusters)


def _holds(owners: Mapping[str, Owner], documents: Mapping[str, OwnerDocument]) -> tuple[Held, ...]:
    """Return what the holds of all owners keep; those of detached ones, too.

    Who does not speak for the org holds the events of its own cluster only.
    """
    found = {
        Held(
            query=hold.query or "",
            until_ms=None if hold.until is None else parse_ms(hold.until),
            cluster_id=None if key_of(name, owners[name]) == ORG_KEY else owners[name].cluster_id,
        )
        for name, document in documents.items()
        if document.retention is not None
        for hold in document.retention.holds
        if not hold.released
    }
    return tuple(
        sorted(found, key=lambda hold: (hold.query, hold.until_ms or 0, hold.cluster_id or ""))
    )
