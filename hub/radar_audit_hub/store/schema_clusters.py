"""Tables of what is known of a cluster's agents beyond their last heartbeat.

Owns the tables of requested upgrades and of former instances; clusters, tokens and collectors
themselves are in `schema.py`. Called by `clusters.py` and `silence.py` of this folder. Never
holds a query.
"""

from __future__ import annotations

from sqlalchemy import PrimaryKeyConstraint, Table

from .schema import metadata, text_column, whole_column

# The last upgrade that was asked for, one a cluster.
agent_upgrade = Table(
    "agent_upgrade",
    metadata,
    text_column("org_id"),
    text_column("cluster_id"),
    text_column("version"),
    whole_column("requested_at"),
    whole_column("seen_at", null=True),
    whole_column("done_at", null=True),
    whole_column("failed_at", null=True),
    text_column("failure", null=True),
    PrimaryKeyConstraint("org_id", "cluster_id"),
)
# Instances that another of the same collector came after while they still had terminals open.
former_instance = Table(
    "former_instance",
    metadata,
    text_column("org_id"),
    text_column("cluster_id"),
    text_column("collector_id"),
    text_column("instance_id"),
    text_column("open_sessions"),
    whole_column("last_seen_at"),
    PrimaryKeyConstraint("org_id", "cluster_id", "collector_id", "instance_id"),
)
