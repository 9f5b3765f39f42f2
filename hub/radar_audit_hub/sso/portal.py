"""Opening the WorkOS Admin Portal: wish, call, then row and event, each once.

Owns those steps and the outbox work that finishes what was interrupted. WorkOS is never asked
inside a transaction. The link itself is a secret, so it goes to the owner who asked and is kept
nowhere; a job that finishes an interrupted wish makes sure that the log tells of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from radar_audit_events.ids import new_id

from radar_audit_hub.auth.principal import OWNER
from radar_audit_hub.changes import Actor, Change, changing_by_itself
from radar_audit_hub.context import Hub
from radar_audit_hub.errors import NotFoundError
from radar_audit_hub.outbound import trusting
from radar_audit_hub.outbox.delivery import Delivery, DeliveryFailedError
from radar_audit_hub.store import outbox
from radar_audit_hub.store.control import get_org
from radar_audit_hub.store.sso import (
    PortalVisit,
    end_visit,
    get_visit,
    insert_visit,
    keep_workos_id,
    workos_id_of,
)

from .workos import Workos, WorkosAwayError, WorkosRefusedError

KIND = "sso.portal"
ACTION = "org.sso.portal_opened"
INTENTS = ("sso", "domain_verification", "certificate_renewal")
LINK_SECONDS = 300  # WorkOS's documentation: a portal link expires five minutes after issuance
_FINISH_AFTER_MS = 60_000  # longer than a request takes that is not interrupted


@dataclass(frozen=True, slots=True)
class Opened:
    """What WorkOS gave out: its organization and the link, a secret."""

    workos_id: str
    link: str

    def __repr__(self) -> str:
        """Show no link."""
        return f"Opened({self.workos_id!r})"


@dataclass(frozen=True, slots=True)
class Asker:
    """Who wished to open the portal, as the actor of its event when a job finishes it."""

    user_id: str
    email: str
    pat_name: str | None


async def wish(change: Change, hub: Hub, caller: Actor, org_id: str, intent: str) -> PortalVisit:
    """Store the wish, and the work that finishes it if this request does not."""
    await change.lock_as(org_id, OWNER)
    made = PortalVisit(
        org_id=org_id,
        id=new_id("sp_", change.now_ms, hub.random_bytes(10)),
        user_id=caller.user_id,
        email=caller.email,
        pat_name=caller.pat_name,
        intent=intent,
        created_at_ms=change.now_ms,
    )
    await insert_visit(change.conn, made)
    await outbox.put(
        change.conn,
        kind=KIND,
        dedup_key=f"{KIND}:{made.id}",
        payload={"org_id": org_id, "visit_id": made.id},
        now_ms=change.now_ms,
        due_ms=change.now_ms + _FINISH_AFTER_MS,
        org_id=org_id,
    )
    return made


async def call(hub: Hub, workos: Workos, visit: PortalVisit) -> Opened:
    """Have WorkOS make the link. Raises WorkosAwayError, WorkosRefusedError, NotFoundError."""
    async with hub.db.read() as conn:
        workos_id = await workos_id_of(conn, visit.org_id)
        org = await get_org(conn, visit.org_id)
    if org is None or org.deleted_at_ms is not None:
        raise NotFoundError("there is no such organization")
    if workos_id is None:
        workos_id = await workos.ensure_organization(org.id, org.name)
    link = await workos.portal_link(workos_id, visit.intent, hub.settings.public_url)
    return Opened(workos_id, link)


async def note_opened(change: Change, visit: PortalVisit, workos_id: str) -> None:
    """Write that the portal was opened, and its event, unless that was done already."""
    await change.lock(visit.org_id)
    await keep_workos_id(change.conn, visit.org_id, workos_id, change.now_ms)
    if await end_visit(change.conn, visit.org_id, visit.id, change.now_ms):
        change.note(visit.org_id, ACTION, visit.org_id, {"intent": visit.intent})


async def give_up(hub: Hub, visit: PortalVisit) -> None:
    """End a wish that WorkOS refused: nothing was opened, so nothing is told."""
    async with changing_by_itself(hub) as change:
        await end_visit(change.conn, visit.org_id, visit.id, change.now_ms)


async def finish(hub: Hub, delivery: Delivery) -> None:
    """Do what is left of a wish (outbox work). Raises DeliveryFailedError."""
    async with hub.db.read() as conn:
        visit = await get_visit(conn, delivery.payload["org_id"], delivery.payload["visit_id"])
    if visit is None or visit.done_at_ms is not None or hub.settings.workos.api_key is None:
        return
    settings = hub.settings.workos
    try:
        opened = await call(hub, Workos(settings, hub.outbound, trusting(settings.ca_file)), visit)
        asker = Asker(visit.user_id, visit.email, visit.pat_name)
        async with changing_by_itself(hub, asker) as change:
            await note_opened(change, visit, opened.workos_id)
    except WorkosAwayError as error:
        raise DeliveryFailedError(str(error), retry=True) from None
    except WorkosRefusedError as error:
        await give_up(hub, visit)
        raise DeliveryFailedError(str(error), retry=False) from None
    except NotFoundError:  # the org was deleted meanwhile
        return
