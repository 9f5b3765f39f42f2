"""The operator's routes about one owner: put its document, release it, test a destination.

Owns the edge; the steps are in `storing.py` and `releasing.py`. The heartbeat and the settings
that are in force are in `reporting.py`. Never lets a token write another cluster's owner, nor the
org's own key without the scope that an org owner grants.
"""

from __future__ import annotations

import json
from typing import Literal

import msgspec
from aiohttp import web
from radar_audit_events.errors import IdError
from radar_audit_events.policy_answers import OwnerAnswer
from radar_audit_events.policy_wire import (
    MAX_DOCUMENT_BYTES,
    MAX_OWNERS,
    SCOPE_ORG_SETTINGS,
    SCOPE_SETTINGS,
    OwnerDocument,
    OwnerName,
    parse_owner_id,
)

from radar_audit_hub.audit.parameters import Reader
from radar_audit_hub.auth.access import require_cluster
from radar_audit_hub.auth.principal import ClusterPrincipal
from radar_audit_hub.bodies import decode_body, read_body
from radar_audit_hub.changes import Change, changing
from radar_audit_hub.clusters.report_turns import report_turn
from radar_audit_hub.context import HUB, Hub
from radar_audit_hub.destinations import asking
from radar_audit_hub.errors import (
    ForeignOwnerError,
    NotFoundError,
    ScopeMissingError,
    StaleGenerationError,
    TooManyOwnersError,
    UnauthorizedError,
)
from radar_audit_hub.json_edge import json_document, no_parameters
from radar_audit_hub.notify.previewing import would_have_sent
from radar_audit_hub.store.notify_destinations import destination_named
from radar_audit_hub.store.owners import (
    Owner,
    count_owners,
    document_chars,
    get_owner,
)
from radar_audit_hub.store.policy_clusters import cluster_names, tokens_of

from .answers import Teller
from .capture import capture_of
from .releasing import Policy, release
from .settling import look
from .storing import refuse_mistakes, store

MAX_ORG_CHARS = 16 * 1024 * 1024  # every answer about the policy reads all documents
_decoder = msgspec.json.Decoder(OwnerDocument)
_POLICIES: dict[str, Policy] = {"Revert": "revert", "Retain": "retain"}


class _TriedError(Exception):
    """Ends a dry run: the change is rolled back, the answer is kept."""

    def __init__(self, answer: OwnerAnswer) -> None:
        super().__init__()
        self.answer = answer


async def put_document(request: web.Request) -> web.Response:
    """Store an owner's document; the same again changes nothing, an older one is refused."""
    hub = request.app[HUB]
    caller = await require_cluster(request, SCOPE_SETTINGS)
    name = own_owner(request, caller)
    is_trial = _is_trial(request)
    raw = await read_body(
        request,
        limit_bytes=MAX_DOCUMENT_BYTES,
        timeout_seconds=hub.settings.body_timeout_seconds,
    )
    document = decode_body(raw, _decoder, OwnerDocument.__struct_fields__)
    if document.scope == "organization" and SCOPE_ORG_SETTINGS not in caller.scopes:
        raise _lacks_scope()
    refuse_mistakes(document, is_hub=name.namespace is None)
    try:
        async with changing(request, None, org_id=caller.org_id) as change:
            answer = await _put(hub, change, caller, request.match_info["owner_id"], document)
            if is_trial:
                raise _TriedError(answer)
    except _TriedError as tried:
        async with report_turn(hub, caller.org_id, caller.cluster_id):
            told = await would_have_sent(
                hub.db, caller.org_id, document, caller.cluster_id, hub.now_ms()
            )
        answer = msgspec.structs.replace(tried.answer, result="dry_run", would_have_sent=told)
    return json_document(answer)


async def _put(
    hub: Hub, change: Change, caller: ClusterPrincipal, owner_id: str, document: OwnerDocument
) -> OwnerAnswer:
    org = await change.lock(caller.org_id)
    await check_still_good(change, caller, document)
    before = await get_owner(change.conn, org.id, owner_id)
    same_object = before is not None and before.uid == document.uid
    result: Literal["stored", "unchanged"] = "stored"
    if before is not None and same_object and document.generation < before.generation:
        raise StaleGenerationError(
            f"generation {before.generation} of this object is stored; send that or a later one"
        )
    if before is not None and _version(before) == (
        document.uid,
        document.generation,
        document.spec_hash,
    ):
        result = "unchanged"
        settled = await look(change.conn, org, now_ms=change.now_ms)
    else:
        if before is None and await count_owners(change.conn, org.id, caller.cluster_id) >= (
            MAX_OWNERS
        ):
            raise TooManyOwnersError(f"a cluster may have {MAX_OWNERS} owners, and this one has")
        settled = await store(
            hub,
            change,
            org,
            owner_id=owner_id,
            cluster_id=caller.cluster_id,
            before=before,
            document=document,
        )
        await _check_room(change, before, settled.owners[owner_id])
    names = await cluster_names(change.conn, org.id)
    teller = Teller(change.conn, org, settled, change.now_ms, names)
    took = None
    if document.take_over_from is not None:
        took = any(row.owner_id == owner_id for row in settled.holders.values())
    capture = await capture_of(change.conn, org.id, caller.cluster_id, change.now_ms)
    return OwnerAnswer(
        result=result,
        revision=str(settled.revision),
        org_id=org.id,
        retention=await teller.retention(owner_id, asked_takeover=took),
        destinations=await teller.destinations_of_one(owner_id),
        capture=capture.state() if capture and document.capture else None,
        overridden=teller.overridden(),
    )


async def check_still_good(
    change: Change, caller: ClusterPrincipal, document: OwnerDocument | None = None
) -> None:
    """Refuse what a token may do no longer since the request, which took its time, was let in.

    Raises UnauthorizedError, ScopeMissingError.
    """
    tokens = await tokens_of(change.conn, caller.org_id, caller.cluster_id)
    if caller.token_hash not in tokens:  # the cluster may have another by now
        raise UnauthorizedError("the token is revoked")
    if document is None:
        return
    scopes = json.loads(tokens[caller.token_hash])
    if document.scope == "organization" and SCOPE_ORG_SETTINGS not in scopes:
        raise _lacks_scope()


def _lacks_scope() -> ScopeMissingError:
    return ScopeMissingError(
        f"the cluster's token lacks the scope {SCOPE_ORG_SETTINGS}; an org owner grants it"
    )


async def _check_room(change: Change, before: Owner | None, after: Owner) -> None:
    """Raise TooManyOwnersError if a document that is new, or grew, is too much for the org."""
    grown = before is None or len(after.document) > len(before.document)
    if grown and await document_chars(change.conn, after.org_id) > MAX_ORG_CHARS:
        raise TooManyOwnersError(
            f"the documents of the organization's owners may have {MAX_ORG_CHARS} characters in "
            "all; delete some policies, or shorten them"
        )


async def delete_document(request: web.Request) -> web.Response:
    """Release an owner; harmless when there is none, or another object of that name."""
    caller = await require_cluster(request, SCOPE_SETTINGS)
    own_owner(request, caller)
    reader = Reader(list(request.query.items()), ("policy", "uid"))
    policy = reader.parsed("policy", _policy) or "revert"
    uid = reader.one("uid")
    reader.finish()
    async with changing(request, None, org_id=caller.org_id) as change:
        org = await change.lock(caller.org_id)
        owner = await get_owner(change.conn, org.id, request.match_info["owner_id"])
        if owner is not None and (uid is None or owner.uid == uid):
            await release(change, org, owner, policy)
    return web.Response(status=204)


async def try_destination(request: web.Request) -> web.Response:
    """Send a test to a destination of the operator's own, and answer with how that went."""
    hub = request.app[HUB]
    caller = await require_cluster(request, SCOPE_SETTINGS)
    own_owner(request, caller)
    no_parameters(request)
    owner_id, name = request.match_info["owner_id"], request.match_info["name"]
    turn = report_turn(hub, caller.org_id, caller.cluster_id)
    async with turn, hub.db.write() as conn:
        row = await destination_named(conn, caller.org_id, owner_id, name)
        if row is None:
            raise NotFoundError("there is no such destination")
        await asking.take_turn(hub, conn, row.id)
    return json_document(await asking.test(hub, caller.org_id, row.id))


def own_owner(request: web.Request, caller: ClusterPrincipal) -> OwnerName:
    """Return the owner that the path names. Raises NotFoundError, ForeignOwnerError."""
    try:
        name = parse_owner_id(request.match_info["owner_id"])
    except IdError as error:
        raise NotFoundError(str(error)) from None
    if name.cluster_id != caller.cluster_id:
        raise ForeignOwnerError("a cluster's token writes the owners of that cluster only")
    return name


def _is_trial(request: web.Request) -> bool:
    reader = Reader(list(request.query.items()), ("dryRun",))
    found = reader.parsed("dryRun", _flag)
    reader.finish()
    return bool(found)


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def _policy(text: str) -> Policy:
    if text not in _POLICIES:
        raise ValueError("must be Revert or Retain")
    return _POLICIES[text]


def _version(owner: Owner) -> tuple[str, int, str]:
    return owner.uid, owner.generation, owner.spec_hash
