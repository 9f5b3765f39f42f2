"""What the server's own command may create: an org with its first people, tokens and cluster.

Owns `create_org`, `add_member` and `add_pat`, called by `main.py`, and `create_first_org`, called
when a server starts. Each is one transaction that holds the
rows and their audit events. Whoever runs the command on the server is nobody the hub knows, so
the events have no actor and say `provisioned_by: server_command` where they can. Secrets are
returned once and stored only as hashes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from radar_audit_events.actions import ROLES
from radar_audit_events.ids import format_ms, is_opaque_id, new_id

from radar_audit_hub.changes import Change, changing_offline
from radar_audit_hub.credentials import SECRET_BYTES, new_token, token_hash
from radar_audit_hub.emails import lowered_email
from radar_audit_hub.errors import NotFoundError
from radar_audit_hub.members.joining import Inviter, join
from radar_audit_hub.names import NAME_TEXT, is_name
from radar_audit_hub.orgs.founding import found
from radar_audit_hub.retention.policy import PLAN_DAYS
from radar_audit_hub.store.control import (
    Cluster,
    Org,
    User,
    ensure_user,
    get_org,
    insert_cluster,
    list_members,
    list_orgs,
)
from radar_audit_hub.store.database import Database
from radar_audit_hub.store.leases import take_lease
from radar_audit_hub.store.tokens import insert_cluster_token, insert_pat

CLUSTER_TOKEN_SCOPES = ("ingest", "agent", "audit-settings:write")
PROVISIONED_BY = "server_command"
_DAY_MS = 86_400_000
_MAX_PAT_DAYS = 3650
_FIRST_ORG_MS = 60_000  # longer than making it takes


class BootstrapError(Exception):
    """The command cannot do what it was asked; `hint` says what would be right."""

    def __init__(self, sentence: str, hint: str = "") -> None:
        """Keep both; the message is the sentence."""
        super().__init__(sentence)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Means:
    """Clock (Unix ms) and randomness of one command."""

    now_ms: int
    random_bytes: Callable[[int], bytes]

    def new_id(self, prefix: str) -> str:
        """Return a new id such as `org_…`."""
        return new_id(prefix, self.now_ms, self.random_bytes(10))


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgOrder:
    """What to create. Ids are made where none is given; `pat_days` None: it never expires."""

    org_id: str | None
    org_name: str
    plan: str
    owner_email: str
    pat_name: str
    pat_days: int | None
    cluster_id: str | None
    cluster_name: str
    environment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstOrder:
    """The org that a server makes by itself: as an OrgOrder, but without any token."""

    org_id: str | None
    org_name: str
    plan: str
    owner_email: str
    cluster_id: str | None
    cluster_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstOrg:
    """An org that a server made by itself, and its cluster, which has no token yet."""

    org: Org
    cluster: Cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPat:
    """A personal access token just made; `token` is the secret."""

    id: str
    name: str
    expires_at: str | None
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMember:
    """A member just made, with a token if one was asked for."""

    org_id: str
    user_id: str
    email: str
    role: str
    pat: NewPat | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOrg:
    """An org just made, its owner, its cluster and the cluster's token (a secret)."""

    org: Org
    owner: NewMember
    cluster: Cluster
    cluster_token: str = field(repr=False)


async def existing_org(db: Database, org_id: str | None) -> Org | None:
    """Return the org with this id; without an id the first org there is."""
    async with db.read() as conn:
        if org_id is not None:
            return await get_org(conn, org_id)
        return next(iter(await list_orgs(conn)), None)


async def create_org(db: Database, order: OrgOrder, means: Means) -> NewOrg:
    """Create an org with owner, access token, cluster and cluster token. Raises BootstrapError."""
    email = _check_order(order)
    org, cluster = _new_rows(order, order.environment, means)
    cluster_token = new_token("rhc", means.random_bytes(SECRET_BYTES))
    async with changing_offline(db, means.now_ms, means.random_bytes) as change:
        user = await _user(change, email, means)
        if not await found(change, org, user.id, PROVISIONED_BY):
            raise BootstrapError(
                f"the organization {org.id} exists already; nothing was changed",
                "add people with `radar-audit-hub member add`, "
                "or give --if-missing where that is no error",
            )
        pat = await _mint(change, org.id, user.id, order.pat_name, order.pat_days, means)
        await _add_cluster(change, cluster, cluster_token)
    owner = NewMember(org_id=org.id, user_id=user.id, email=user.email, role="owner", pat=pat)
    return NewOrg(org=org, owner=owner, cluster=cluster, cluster_token=cluster_token)


async def create_first_org(db: Database, order: FirstOrder, means: Means) -> FirstOrg | None:
    """Create an org with owner and cluster if there is no org at all, not even a deleted one.

    No token is made, so there is none to keep. Raises BootstrapError.
    """
    email = _check_first(order)
    if await existing_org(db, None) is not None:
        return None
    org, cluster = _new_rows(order, "production", means)
    async with changing_offline(db, means.now_ms, means.random_bytes) as change:
        # One of several replicas that start together: the others wait here until it commits.
        until_ms = means.now_ms + _FIRST_ORG_MS
        if not await take_lease(
            change.conn, "first org", org.id, now_ms=means.now_ms, until_ms=until_ms
        ):
            return None
        if await list_orgs(change.conn):
            return None
        user = await _user(change, email, means)
        await found(change, org, user.id, PROVISIONED_BY)
        await _add_cluster(change, cluster, None)
    return FirstOrg(org=org, cluster=cluster)


async def add_pat(
    db: Database, *, org_id: str, email: str, name: str, days: int | None, means: Means
) -> NewMember:
    """Make a member of an org an access token. Raises BootstrapError if they are no member."""
    email = _check_email(email)
    _check_name("the token's name", name)
    _check_days(days)
    async with changing_offline(db, means.now_ms, means.random_bytes) as change:
        await _lock(change, org_id)
        members = await list_members(change.conn, org_id)
        member = next((one for one in members if one.email == email), None)
        if member is None:
            raise BootstrapError(
                f"{email} is no member of {org_id}; nothing was changed",
                "`radar-audit-hub member add` makes them one",
            )
        pat = await _mint(change, org_id, member.user_id, name, days, means)
    return NewMember(
        org_id=org_id, user_id=member.user_id, email=member.email, role=member.role, pat=pat
    )


async def add_member(
    db: Database,
    *,
    org_id: str,
    email: str,
    role: str,
    pat_name: str | None,
    pat_days: int | None,
    means: Means,
) -> NewMember:
    """Make a person a member of an org, with a token if `pat_name` is given.

    Raises BootstrapError if the org is unknown or the person is a member already.
    """
    email = _check_email(email)
    if role not in ROLES:
        raise BootstrapError(f"the role must be one of {', '.join(ROLES)}")
    if pat_name is not None:
        _check_name("the token's name", pat_name)
        _check_days(pat_days)
    async with changing_offline(db, means.now_ms, means.random_bytes) as change:
        await _lock(change, org_id)
        user = await _user(change, email, means)
        if not await join(
            change, org_id, user.id, role, inviter=Inviter(), provisioned_by=PROVISIONED_BY
        ):
            raise BootstrapError(
                f"{email} is a member of {org_id} already; nothing was changed",
                "`radar-audit-hub member list` shows the members and their roles",
            )
        pat = None
        if pat_name is not None:
            pat = await _mint(change, org_id, user.id, pat_name, pat_days, means)
    return NewMember(org_id=org_id, user_id=user.id, email=user.email, role=role, pat=pat)


def _new_rows(order: OrgOrder | FirstOrder, environment: str, means: Means) -> tuple[Org, Cluster]:
    org = Org(
        id=order.org_id or means.new_id("org_"),
        name=order.org_name,
        plan=order.plan,
        record_log_access=False,
        created_at_ms=means.now_ms,
    )
    cluster = Cluster(
        org_id=org.id,
        id=order.cluster_id or means.new_id("cl_"),
        name=order.cluster_name,
        environment=environment,
        labels={},
        created_at_ms=means.now_ms,
    )
    return org, cluster


async def _lock(change: Change, org_id: str) -> None:
    try:
        await change.lock(org_id)
    except NotFoundError:
        raise BootstrapError(
            f"there is no organization {org_id}", "`radar-audit-hub init` creates one"
        ) from None


async def _user(change: Change, email: str, means: Means) -> User:
    new = User(id=means.new_id("user_"), email=email, created_at_ms=means.now_ms)
    return await ensure_user(change.conn, new)


async def _add_cluster(change: Change, cluster: Cluster, token: str | None) -> None:
    if not await insert_cluster(change.conn, cluster):
        raise BootstrapError(
            f"the cluster id {cluster.id} is taken; nothing was changed",
            "leave --cluster-id out to get a new one",
        )
    if token is not None:
        await insert_cluster_token(
            change.conn,
            org_id=cluster.org_id,
            cluster_id=cluster.id,
            token_hash=token_hash(token),
            scopes=CLUSTER_TOKEN_SCOPES,
            created_at_ms=cluster.created_at_ms,
        )
    metadata = {"name": cluster.name, "environment": cluster.environment}
    change.note(cluster.org_id, "cluster.created", cluster.id, metadata, cluster_id=cluster.id)


async def _mint(
    change: Change, org_id: str, user_id: str, name: str, days: int | None, means: Means
) -> NewPat:
    expires_at_ms = None if days is None else means.now_ms + days * _DAY_MS
    expires_at = None if expires_at_ms is None else format_ms(expires_at_ms)
    token = new_token("rhp", means.random_bytes(SECRET_BYTES))
    pat = NewPat(id=means.new_id("pat_"), name=name, expires_at=expires_at, token=token)
    await insert_pat(
        change.conn,
        org_id=org_id,
        pat_id=pat.id,
        user_id=user_id,
        name=name,
        token_hash=token_hash(token),
        scopes=None,
        created_at_ms=means.now_ms,
        expires_at_ms=expires_at_ms,
    )
    change.note(org_id, "pat.created", pat.id, {"name": name, "expires_at": expires_at})
    return pat


def _check_order(order: OrgOrder) -> str:
    _check_name("the environment", order.environment)
    _check_name("the token's name", order.pat_name)
    _check_days(order.pat_days)
    return _check_first(order)


def _check_first(order: OrgOrder | FirstOrder) -> str:
    for kind, given in (("org", order.org_id), ("cl", order.cluster_id)):
        if given is not None and not is_opaque_id(kind, given):
            raise BootstrapError(
                f"the id {given!r} is not of the right form",
                f"it must be {kind}_ and 1 to 60 letters, digits or underscores",
            )
    if order.plan not in PLAN_DAYS:
        raise BootstrapError(f"the plan must be one of {', '.join(PLAN_DAYS)}")
    _check_name("the organization's name", order.org_name)
    _check_name("the cluster's name", order.cluster_name)
    return _check_email(order.owner_email)


def _check_name(what: str, name: str) -> None:
    if not is_name(name):
        raise BootstrapError(f"{what} {NAME_TEXT}")


def _check_days(days: int | None) -> None:
    if days is not None and not 1 <= days <= _MAX_PAT_DAYS:
        raise BootstrapError(f"a token may be valid for 1 to {_MAX_PAT_DAYS} days")


def _check_email(email: str) -> str:
    lowered = lowered_email(email)
    if lowered is None:
        raise BootstrapError(f"{email!r} is not an e-mail address, such as alice@example.com")
    return lowered
