"""One change of the control plane and its audit events, in one transaction.

Owns `Change`: what a mutating handler or a job works in. It locks the org, collects what
happened, writes the events as the last thing before the commit and wakes the log's followers
after it. A handler that notes an action outside its route's declaration fails, so that a
declaration is what the code does. Never decides whether somebody may make the change.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiohttp import web

from .auth.principal import Principal
from .context import HUB, Hub
from .declarations import declared
from .errors import ForbiddenError, NotFoundError, UnauthorizedError
from .store.control import Member, Org, lock_org
from .store.database import Connection, Database
from .store.members import get_member
from .store.pats import get_pat
from .store.recording import Happened, record
from .store.sessions import is_session_open

_GONE = "there is no such organization"


class Actor(Protocol):
    """Who makes a change: a person, by a session or by a PAT with a name."""

    @property
    def user_id(self) -> str:
        """Return the user's id."""

    @property
    def email(self) -> str:
        """Return the user's lower-case e-mail."""

    @property
    def pat_name(self) -> str | None:
        """Return the name of the PAT that is used, None for a session."""


class UndeclaredEventError(Exception):
    """A handler wrote an action that its route does not declare: a mistake in the hub."""


@dataclass
class Change:
    """A transaction that is open: `conn` to work on, `now_ms` (Unix ms) the time of all of it.

    `notices` is how many messages of notices it has put, to be counted once it is committed.
    """

    conn: Connection
    now_ms: int
    actor: Actor | None
    allowed: frozenset[str] | None
    notices: int = 0
    _notes: dict[str, list[Happened]] = field(default_factory=lambda: defaultdict(list))

    def note(
        self,
        org_id: str,
        action: str,
        target_id: str,
        metadata: Mapping[str, Any],
        *,
        cluster_id: str | None = None,
    ) -> None:
        """Have an event written at the end; a PAT's name is added to its metadata.

        Raises UndeclaredEventError for an action that the route does not declare.
        """
        if self.allowed is not None and action not in self.allowed:
            raise UndeclaredEventError(f"the route does not declare {action}")
        actor = self.actor
        via = {"via_pat": actor.pat_name} if actor is not None and actor.pat_name else {}
        self._notes[org_id].append(
            Happened(
                action=action,
                target_id=target_id,
                metadata={**metadata, **via},
                actor_user_id=None if actor is None else actor.user_id,
                actor_email=None if actor is None else actor.email,
                cluster_id=cluster_id,
            )
        )

    async def lock(self, org_id: str) -> Org:
        """Lock an org that lives, against every other change of it. Raises NotFoundError.

        To be called before anything is read that the change depends on. A change of several orgs
        locks them in the order of their ids, or two such changes could wait for one another.
        """
        found = await lock_org(self.conn, org_id)
        if found is None or found.deleted_at_ms is not None:
            raise NotFoundError(_GONE)
        return found

    async def lock_as(self, org_id: str, *roles: str) -> tuple[Org, Member]:
        """Lock an org as `lock` does, and return it with the actor's membership as it is now.

        Since the request was let in, which may have taken its time to arrive, somebody may have
        revoked what it came with, or taken the actor's role (one of `roles`; none: any) away.
        Raises NotFoundError, UnauthorizedError, ForbiddenError.
        """
        found = await self.lock(org_id)
        actor = self.actor
        if isinstance(actor, Principal):
            await _check_still_good(self.conn, actor)
        member = None if actor is None else await get_member(self.conn, org_id, actor.user_id)
        if member is None:
            raise NotFoundError(_GONE)
        if roles and member.role not in roles:
            raise ForbiddenError(f"this needs the role {' or '.join(roles)}", roles)
        return found, member


async def _check_still_good(conn: Connection, caller: Principal) -> None:
    """Raise UnauthorizedError for a token or session that has ended since the request began."""
    if caller.pat_id is not None:
        used = await get_pat(conn, caller.org_id, caller.pat_id)
        if used is None or used.revoked_at_ms is not None:
            raise UnauthorizedError("the token is revoked")
    if caller.session_id is not None and not await is_session_open(
        conn, caller.user_id, caller.session_id
    ):
        raise UnauthorizedError("the session has ended; sign in again")


@asynccontextmanager
async def changing(
    request: web.Request, actor: Actor | None, *, org_id: str | None = None
) -> AsyncIterator[Change]:
    """Open the change that a request makes; an error inside leaves neither change nor event.

    It waits for the turn of the actor's org, of `org_id` where a cluster asks, or of the person
    who asks outside of any. Raises TooManyRequestsError where too many wait for it.
    """
    hub, found = request.app[HUB], declared(request.match_info.route)
    allowed = frozenset(found.events or ()) if found else frozenset[str]()
    async with _turn(hub, actor, org_id), _opened(hub, actor, allowed) as change:
        yield change


def _turn(hub: Hub, actor: Actor | None, org_id: str | None) -> AbstractAsyncContextManager[None]:
    if isinstance(actor, Principal):
        return hub.turns.take(actor.org_id)
    if org_id is not None:
        return hub.turns.take(org_id)
    return nullcontext() if actor is None else hub.own_turn(actor.user_id)


@asynccontextmanager
async def changing_by_itself(hub: Hub, actor: Actor | None = None) -> AsyncIterator[Change]:
    """Open a change that nobody asks for: a job's, or one that another service reports.

    `actor` is who asked before, where a job finishes what a request began.
    """
    async with _opened(hub, actor, None) as change:
        yield change


@asynccontextmanager
async def changing_offline(
    db: Database, now_ms: int, random_bytes: Callable[[int], bytes]
) -> AsyncIterator[Change]:
    """Open a change of the server's own command, which is no running hub: without an actor."""
    async with db.write() as conn:
        change = Change(conn, now_ms, None, None)
        yield change
        await _record(change, random_bytes)


@asynccontextmanager
async def _opened(
    hub: Hub, actor: Actor | None, allowed: frozenset[str] | None
) -> AsyncIterator[Change]:
    async with hub.db.write() as conn:
        change = Change(conn, hub.now_ms(), actor, allowed)
        yield change
        org_ids = await _record(change, hub.random_bytes)
    hub.metrics.notify_messages.labels("notice").inc(change.notices)
    for org_id in org_ids:
        hub.signal.notify(org_id)


async def _record(change: Change, random_bytes: Callable[[int], bytes]) -> list[str]:
    """Write what was noted and return the orgs that it is about."""
    notes = change._notes  # noqa: SLF001 - the other half of the class
    for org_id in sorted(notes):  # every change locks the heads in this order
        await record(
            change.conn, org_id, notes[org_id], now_ms=change.now_ms, random_bytes=random_bytes
        )
    return sorted(notes)
