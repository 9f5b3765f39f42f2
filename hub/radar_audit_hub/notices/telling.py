"""Tells one notice: to the org's destinations, into inboxes, and by mail.

Owns `Notice` and the one step that all producers call, inside the change that the notice is about:
either both are there or neither is. Of notices with one `dedup_key` only the first is told. Never
sends anything itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from radar_audit_events.ids import new_id
from radar_audit_events.policy_wire import NOTICE_KINDS

from radar_audit_hub.changes import Change
from radar_audit_hub.notify.kinds_messages import Fact, tell_kind
from radar_audit_hub.retention.policy import DAY_MS
from radar_audit_hub.store import inbox, outbox
from radar_audit_hub.store.inbox import NewItem

from .kinds import KINDS

ITEM_PREFIX = "ntc_"
MAIL = "notice_mail"  # the outbox kind; `mails.py` delivers it
# Of one kind, to one person of an org: what a cluster's token or a receiver brings about over and
# over fills no mailbox. The inbox has them all.
MAILS_A_DAY = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What happened: a kind, one sentence, facts, and the page that shows more.

    `dedup_key` is the same for the same happening. `cluster_id` is the cluster that it is about.
    `by` is who did it, who needs not be told.
    """

    kind: str
    title: str
    facts: Mapping[str, Fact]
    path: str
    dedup_key: str
    cluster_id: str | None = None
    by: str | None = None


async def tell(change: Change, org_id: str, notice: Notice) -> int:
    """Tell a notice of an org, and return how many people have it in their inbox anew."""
    if notice.kind in NOTICE_KINDS:
        await tell_kind(
            change,
            org_id,
            notice.kind,
            notice.facts,
            notice.dedup_key,
            title=notice.title,
            path=notice.path,
            cluster_id=notice.cluster_id,
        )
    kind = KINDS[notice.kind]
    people = [
        one
        for one in await inbox.recipients(change.conn, org_id, kind.roles, notice.kind)
        if one.user_id != notice.by
    ]
    facts = msgspec.json.encode(dict(notice.facts)).decode()
    added = await inbox.put_items(
        change.conn,
        [
            NewItem(
                user_id=one.user_id,
                id=new_id(ITEM_PREFIX, change.now_ms, secrets.token_bytes(10)),
                org_id=org_id,
                kind=notice.kind,
                dedup_key=notice.dedup_key,
                title=notice.title,
                path=notice.path,
                facts=facts,
                created_at=change.now_ms,
            )
            for one in people
        ],
    )
    wanting = [
        one.user_id for one in people if (kind.by_mail if one.by_mail is None else one.by_mail)
    ]
    if added and wanting:
        enough = await inbox.told_often(
            change.conn, org_id, notice.kind, wanting, change.now_ms - DAY_MS, MAILS_A_DAY
        )
        for user_id in wanting:
            if user_id not in enough:
                await _put_mail(change, org_id, user_id, notice)
    return added


async def _put_mail(change: Change, org_id: str, user_id: str, notice: Notice) -> None:
    payload = {
        "user_id": user_id,
        "kind": notice.kind,
        "title": notice.title,
        "path": notice.path,
    }
    await outbox.put(
        change.conn,
        kind=MAIL,
        dedup_key=f"{MAIL}:{org_id}:{user_id}:{notice.dedup_key}",
        payload=payload,
        now_ms=change.now_ms,
        org_id=org_id,
    )
