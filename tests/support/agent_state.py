"""What a hub keeps of the operator's documents: a stand-in for the hub's own policy store.

Owns owners, keys of the retention with their holders, pending shrinks, releases. Called by
`agent_api.py`, which speaks HTTP for it. It follows the hub's written rules, in a small form,
with a clock and counts that a test sets.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
from radar_audit_events.actions import ACTIONS
from radar_audit_events.errors import IdError, QueryError
from radar_audit_events.ids import format_ms, parse_ms
from radar_audit_events.policy_answers import (
    CaptureState,
    CollectorState,
    DestinationState,
    Holder,
    KeyState,
    OperatorHeartbeatAnswer,
    Override,
    OwnerAnswer,
    OwnerState,
    Pending,
    ReleaseBlocked,
    RetentionState,
    SettingsAnswer,
)
from radar_audit_events.policy_wire import (
    CODE_FOREIGN_OWNER,
    CODE_INVALID_QUERY,
    CODE_SCOPE_MISSING,
    CODE_STALE,
    CODE_UNKNOWN_ACTION,
    SCOPE_ORG_SETTINGS,
    SCOPE_SETTINGS,
    OperatorHeartbeat,
    OwnerDocument,
    capture_etag,
    parse_owner_id,
)
from radar_audit_events.query import parse

HOUR_MS = 3_600_000
PLAN_HOURS = {"free": 7 * 24, "team": 30 * 24, "enterprise": 365 * 24}


class RefusedError(Exception):
    """An answer that is no 200: status, code and the fields that are wrong."""

    def __init__(self, status: int, code: str, detail: str, field: str = "") -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.field = status, code, detail, field


@dataclass
class Cluster:
    """One cluster token's facts."""

    org_id: str
    cluster_id: str
    name: str = "prod"
    scopes: list[str] = field(default_factory=lambda: [SCOPE_SETTINGS])


@dataclass
class Stored:
    """An owner's document and when it came."""

    document: OwnerDocument
    cluster_id: str
    is_detached: bool = False
    missing_since_ms: int | None = None


@dataclass
class Key:
    """One key of the retention."""

    effective_hours: int
    holder: str | None = None
    since_ms: int = 0
    pending: Pending | None = None


class AgentState:
    """All of one organization's documents; `event_hours` are the ages of its events."""

    def __init__(self, now_ms: Callable[[], int], plan: str = "team") -> None:
        self.now_ms, self.plan = now_ms, plan
        self.owners: dict[str, Stored] = {}
        self.keys: dict[str, Key] = {}
        self.event_hours: list[int] = []
        self.deliveries: dict[tuple[str, str], DestinationState] = {}
        self.collectors: list[CollectorState] = []
        self.requested_upgrade: str | None = None
        self.overridden: Override | None = None
        self.accepted = 0  # accepted changes: each would be one audit.policy_changed
        self.release_gap_ms = 10 * 60 * 1000
        self.blocked: ReleaseBlocked | None = None

    @property
    def ceiling_hours(self) -> int:
        """The plan's ceiling."""
        return PLAN_HOURS[self.plan]

    def put(
        self, cluster: Cluster, owner_id: str, document: OwnerDocument, *, dry_run: bool
    ) -> OwnerAnswer:
        """Store a document; raise RefusedError."""
        self._check(cluster, owner_id, document)
        kept = self.owners.get(owner_id)
        same = kept is not None and _version(kept.document) == _version(document)
        if dry_run:
            return self._tried(cluster, owner_id, document)
        if same:
            return self._answer(cluster, owner_id, "unchanged")
        self.owners[owner_id] = Stored(document, cluster.cluster_id)
        self.accepted += 1
        self._settle(owner_id, document)
        return self._answer(cluster, owner_id, "stored")

    def delete(self, cluster: Cluster, owner_id: str, policy: str, uid: str | None) -> None:
        """Release an owner; nothing happens if there is none of that uid."""
        _own(cluster, owner_id)
        kept = self.owners.get(owner_id)
        if kept is None or (uid is not None and kept.document.uid != uid):
            return
        self.accepted += 1
        if policy == "Retain":
            kept.is_detached = True
            return
        self._release(owner_id)

    def settings(self, cluster: Cluster) -> SettingsAnswer:
        """Return what is in force."""
        return SettingsAnswer(
            revision=str(self.accepted),
            now=format_ms(self.now_ms()),
            org_id=cluster.org_id,
            cluster_id=cluster.cluster_id,
            cluster_name=cluster.name,
            plan=self.plan,
            ceiling_hours=self.ceiling_hours,
            scopes=cluster.scopes,
            keys=[
                KeyState(key=name, effective_hours=key.effective_hours, holder=self._holder(key))
                for name, key in self.keys.items()
            ],
            capture=self._capture(cluster),
            overridden=self.overridden,
        )

    def heartbeat(self, cluster: Cluster, sent: OperatorHeartbeat) -> OperatorHeartbeatAnswer:
        """Compare the live owners with what is kept; release who is gone."""
        live = {owner.owner_id: owner for owner in sent.owners}
        mine = {
            name: kept
            for name, kept in self.owners.items()
            if kept.cluster_id == cluster.cluster_id and not kept.is_detached
        }
        released = self._release_missing(mine, set(live)) if sent.is_complete else []
        kept = {name: _version(each.document) for name, each in self.owners.items()}
        drifted = [
            name
            for name, owner in live.items()
            if not owner.is_suspended
            and kept.get(name) != (owner.uid, owner.generation, owner.spec_hash)
        ]
        states = [
            OwnerState(
                owner_id=name,
                retention=self._retention(cluster, name, self.owners[name].document),
                destinations=self._destinations(name, self.owners[name].document),
            )
            for name in live
            if name in self.owners
        ]
        return OperatorHeartbeatAnswer(
            now=format_ms(self.now_ms()),
            revision=str(self.accepted),
            org_id=cluster.org_id,
            cluster_id=cluster.cluster_id,
            plan=self.plan,
            ceiling_hours=self.ceiling_hours,
            drifted=drifted,
            released=released,
            release_blocked=self.blocked,
            states=states,
            collectors=self.collectors,
            capture=self._capture(cluster),
            requested_upgrade=self.requested_upgrade,
            overridden=self.overridden,
        )

    def _release_missing(self, mine: dict[str, Stored], live: set[str]) -> list[str]:
        missing = {name: kept for name, kept in mine.items() if name not in live}
        now = self.now_ms()
        for name in live & mine.keys():
            mine[name].missing_since_ms = None
        if 2 * len(missing) > len(mine) and len(missing) > 1:
            since = self.blocked.since if self.blocked else format_ms(now)
            self.blocked = ReleaseBlocked(missing=len(missing), known=len(mine), since=since)
            return []
        self.blocked = None
        released = []
        for name, kept in missing.items():
            if kept.missing_since_ms is None:
                kept.missing_since_ms = now
            elif now - kept.missing_since_ms >= self.release_gap_ms:
                retain = kept.document.deletion_policy == "retain"
                kept.is_detached = retain
                if not retain:
                    self._release(name)
                released.append(name)
        return released

    def _check(self, cluster: Cluster, owner_id: str, document: OwnerDocument) -> None:
        _own(cluster, owner_id)
        if document.scope == "organization" and SCOPE_ORG_SETTINGS not in cluster.scopes:
            detail = f"the cluster token lacks {SCOPE_ORG_SETTINGS}; an org owner grants it"
            raise RefusedError(403, CODE_SCOPE_MISSING, detail)
        kept = self.owners.get(owner_id)
        is_same = kept is not None and kept.document.uid == document.uid
        if kept is not None and is_same and document.generation < kept.document.generation:
            detail = f"generation {kept.document.generation} is stored; send a later one"
            raise RefusedError(409, CODE_STALE, detail)
        _check_queries(document)

    def _tried(self, cluster: Cluster, owner_id: str, document: OwnerDocument) -> OwnerAnswer:
        trial = copy.copy(self)
        trial.owners, trial.keys = dict(self.owners), copy.deepcopy(self.keys)
        trial.owners[owner_id] = Stored(document, cluster.cluster_id)
        trial._settle(owner_id, document)
        return trial._answer(cluster, owner_id, "dry_run")

    def _settle(self, owner_id: str, document: OwnerDocument) -> None:
        key = self.keys.setdefault(_key(owner_id, document), Key(self.ceiling_hours))
        wants = _claims(document)
        if key.holder == owner_id and not wants:
            self._free(key, 24)
        elif wants and key.holder in {None, document.take_over_from}:
            key.holder, key.since_ms = owner_id, self.now_ms()
        if key.holder == owner_id:
            assert document.retention is not None
            asked = min(document.retention.max_age_hours or 0, self.ceiling_hours)
            self._move(key, asked, document.retention.shrink_delay_hours)

    def _move(self, key: Key, hours: int, delay_hours: int) -> None:
        if hours >= key.effective_hours:
            key.effective_hours, key.pending = hours, None
        elif key.pending is None or key.pending.effective_hours != hours:
            at, count = self.now_ms() + delay_hours * HOUR_MS, self._would_delete(hours)
            key.pending = Pending(effective_hours=hours, at=format_ms(at), would_delete=count)

    def _release(self, owner_id: str) -> None:
        gone = self.owners.pop(owner_id)
        key = self.keys[_key(owner_id, gone.document)]
        if key.holder == owner_id:
            delay = gone.document.retention.shrink_delay_hours if gone.document.retention else 24
            self._free(key, max(delay, 24))

    def _free(self, key: Key, delay_hours: int) -> None:
        key.holder = None
        claimants = sorted(
            (kept.document.created_at, name)
            for name, kept in self.owners.items()
            if self.keys.get(_key(name, kept.document)) is key and _claims(kept.document)
        )
        hours = self.ceiling_hours
        if claimants:
            key.holder, key.since_ms = claimants[0][1], self.now_ms()
            retention = self.owners[key.holder].document.retention
            assert retention is not None
            hours = min(retention.max_age_hours or 0, self.ceiling_hours)
        self._move(key, hours, delay_hours)

    def _answer(self, cluster: Cluster, owner_id: str, result: str) -> OwnerAnswer:
        document = self.owners[owner_id].document
        return OwnerAnswer(
            result=result,  # type: ignore[arg-type] # one of three words, each written above
            revision=str(self.accepted),
            org_id=cluster.org_id,
            retention=self._retention(cluster, owner_id, document),
            destinations=self._destinations(owner_id, document),
            capture=self._capture(cluster) if document.capture else None,
            overridden=self.overridden,
        )

    def _retention(
        self, cluster: Cluster, owner_id: str, document: OwnerDocument
    ) -> RetentionState | None:
        asked = document.retention
        if asked is None:
            return None
        name = _key(owner_id, document)
        key = self._due(self.keys.setdefault(name, Key(self.ceiling_hours)))
        state = "none"
        if _claims(document):
            state = "held" if key.holder == owner_id else "conflict"
            if state == "conflict" and (key.holder or "").split(":")[1:2] != [cluster.cluster_id]:
                state = "owned_elsewhere"
        takeover = None
        if document.take_over_from:
            takeover = "taken" if state == "held" else "holder_differs"
        return RetentionState(
            key=name,
            state=state,  # type: ignore[arg-type] # one of four words, each written above
            ceiling_hours=self.ceiling_hours,
            effective_hours=key.effective_hours,
            holder=self._holder(key),
            requested_hours=asked.max_age_hours,
            is_clamped=(asked.max_age_hours or 0) > self.ceiling_hours,
            has_holds=any(not hold.released for hold in asked.holds),
            would_delete=self._would_delete(asked.max_age_hours or self.ceiling_hours),
            pending=key.pending if key.holder == owner_id else None,
            takeover=takeover,  # type: ignore[arg-type] # one of two words
        )

    def _due(self, key: Key) -> Key:
        if key.pending is not None and parse_ms(key.pending.at) <= self.now_ms():
            key.effective_hours, key.pending = key.pending.effective_hours, None
        return key

    def _destinations(self, owner_id: str, document: OwnerDocument) -> list[DestinationState]:
        if document.notifications is None:
            return []
        found = []
        for each in document.notifications.destinations:
            slack, hook = each.slack, each.webhook
            bare = (slack and slack.url is None) or (hook and hook.signing_secret is None)
            blank = DestinationState(name=each.name, state="no_secret" if bare else "never_used")
            found.append(self.deliveries.get((owner_id, each.name), blank))
        return found

    def _would_delete(self, hours: int) -> int:
        return sum(age > hours for age in self.event_hours)

    def _holder(self, key: Key) -> Holder | None:
        since = format_ms(key.since_ms)
        return Holder(owner_id=key.holder, since=since) if key.holder else None

    def _capture(self, cluster: Cluster) -> CaptureState | None:
        for kept in self.owners.values():
            wanted = kept.document.capture
            if kept.cluster_id == cluster.cluster_id and wanted is not None:
                held_back = wanted.failure_policy == "required"
                held_back = held_back and any(not each.is_healthy for each in self.collectors)
                if held_back:
                    wanted = msgspec.structs.replace(wanted, failure_policy="best_effort")
                return CaptureState(etag=capture_etag(wanted), is_required_held_back=held_back)
        return None


def _version(document: OwnerDocument) -> tuple[str, int, str]:
    return document.uid, document.generation, document.spec_hash


def _claims(document: OwnerDocument) -> bool:
    return document.retention is not None and document.retention.max_age_hours is not None


def _key(owner_id: str, document: OwnerDocument) -> str:
    if document.scope == "organization":
        return "org"
    return f"cluster/{parse_owner_id(owner_id).cluster_id}"


def _own(cluster: Cluster, owner_id: str) -> None:
    try:
        names = parse_owner_id(owner_id)
    except IdError as error:
        raise RefusedError(404, "not_found", str(error)) from None
    if names.cluster_id != cluster.cluster_id:
        detail = f"the token is that of {cluster.cluster_id}; it writes owners of that cluster only"
        raise RefusedError(403, CODE_FOREIGN_OWNER, detail)


def _check_queries(document: OwnerDocument) -> None:
    rules = document.notifications.rules if document.notifications else []
    named = [(f"notifications.rules.{rule.name}.query", rule.query) for rule in rules]
    holds = document.retention.holds if document.retention else []
    named += [(f"retention.holds.{hold.name}.query", hold.query) for hold in holds]
    for field_name, query in named:
        try:
            parse(query or "")
        except QueryError as error:
            raise RefusedError(422, CODE_INVALID_QUERY, str(error), field_name) from None
    for rule in rules:
        for action in rule.actions:
            if "*" not in action and action not in ACTIONS:
                detail = f"{action} is not an action"
                where = f"notifications.rules.{rule.name}.actions"
                raise RefusedError(422, CODE_UNKNOWN_ACTION, detail, where)
