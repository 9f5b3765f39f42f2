"""What a hub in a cluster does once before it serves: its first org, and where accounts log in.

Owns `prepare_first_start`, which `app.py` calls at each start. Replicas that start together make
one org: the second waits for the first's commit. Makes no token and prints nothing: whoever may
run commands on the server gets a first one by `radar-audit-hub pat create`.
"""

from __future__ import annotations

import logging

from .bootstrap import CLUSTER_TOKEN_SCOPES, FirstOrder, Means, create_first_org
from .settings import HubSettings
from .store.database import Database
from .store.kubernetes_login import find_login, living_clusters, put_login

_logger = logging.getLogger(__name__)


async def prepare_first_start(db: Database, settings: HubSettings, means: Means) -> None:
    """Make the first org if the settings ask for one, and choose the cluster to log in to.

    Raises BootstrapError if the settings ask for an org that cannot be.
    """
    wanted = settings.bootstrap
    if wanted.owner_email is not None:
        order = FirstOrder(
            org_id=wanted.org_id,
            org_name=wanted.org_name,
            plan=wanted.plan,
            owner_email=wanted.owner_email,
            cluster_id=wanted.cluster_id,
            cluster_name=wanted.cluster_name,
        )
        made = await create_first_org(db, order, means)
        if made is not None:
            facts = {"org_id": made.org.id, "cluster_id": made.cluster.id}
            _logger.info("the first organization is made", extra=facts)
    if settings.kubernetes.login:
        await _choose_login(db, wanted.cluster_id, means.now_ms)


async def _choose_login(db: Database, cluster_id: str | None, now_ms: int) -> None:
    """Choose once; later only another id in the settings changes it.

    So accounts never come to another cluster by themselves when theirs is deleted.
    """
    async with db.read() as connection:
        before = await find_login(connection)
        candidates = await living_clusters(connection, cluster_id, 2)
    if before is not None and cluster_id in (None, before.cluster_id):
        if before.cluster_deleted_at_ms is not None:
            _warn("the cluster that ServiceAccounts log in to is deleted", len(candidates))
        return
    if len(candidates) != 1:
        _warn("no cluster is chosen for ServiceAccounts to log in to", len(candidates))
        return
    (chosen,) = candidates
    async with db.write() as connection:
        await put_login(connection, *chosen, CLUSTER_TOKEN_SCOPES, now_ms)
    _logger.info("ServiceAccounts log in to a cluster", extra={"cluster_id": chosen[1]})


def _warn(message: str, clusters: int) -> None:
    _logger.warning(
        message,
        extra={
            "set": "RADAR_AUDIT_HUB_BOOTSTRAP_CLUSTER_ID",
            "to": "the id (cl_...) of the hub's own cluster",
            "clusters": clusters,
        },
    )
