"""The tables of the audit policy: owners' documents, who holds which key, an owner's override.

Owns table and column names; `migrations/versions/0007_policy.py` creates them. Called by
`owners.py` of this folder. What comes of all documents is kept with the org (`org.retention`).
Times are Unix milliseconds. Never holds a secret that is not encrypted.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, PrimaryKeyConstraint, Table

from .schema import metadata, raw_column, text_column, whole_column

# One document an owner; `created_at` is its object's in the cluster, `missing_since` the first
# complete list that does not have it. `detached`: its object is gone, its settings stay.
policy_owner = Table(
    "policy_owner",
    metadata,
    text_column("org_id"),
    text_column("owner_id"),
    text_column("cluster_id", null=True),
    text_column("uid"),
    whole_column("generation"),
    text_column("spec_hash"),
    text_column("scope"),
    text_column("document"),
    raw_column("secrets", null=True),
    whole_column("created_at"),
    whole_column("stored_at"),
    whole_column("seen_at"),
    whole_column("missing_since", null=True),
    Column("detached", Boolean, nullable=False),
    PrimaryKeyConstraint("org_id", "owner_id"),
    Index(None, "org_id", "cluster_id"),
)
policy_holder = Table(
    "policy_holder",
    metadata,
    text_column("org_id"),
    text_column("key"),
    text_column("owner_id"),
    whole_column("since_at"),
    PrimaryKeyConstraint("org_id", "key"),
)
# An org owner broke the glass: this retention counts instead of all documents, until then.
policy_override = Table(
    "policy_override",
    metadata,
    text_column("org_id"),
    text_column("retention"),
    text_column("set_by"),
    whole_column("until_at"),
    PrimaryKeyConstraint("org_id"),
)
# Owners that were released, until the operator has been told; and an admin's word that a cluster's
# missing owners are really gone.
policy_release = Table(
    "policy_release",
    metadata,
    text_column("org_id"),
    text_column("cluster_id"),
    text_column("owner_id"),
    whole_column("released_at"),
    PrimaryKeyConstraint("org_id", "cluster_id", "owner_id"),
)
policy_cluster = Table(
    "policy_cluster",
    metadata,
    text_column("org_id"),
    text_column("cluster_id"),
    whole_column("heard_at"),
    whole_column("blocked_since", null=True),
    whole_column("release_agreed_until", null=True),
    whole_column("radar_pods", null=True),
    whole_column("radar_pods_without_gateway", null=True),
    text_column("operator_version"),
    PrimaryKeyConstraint("org_id", "cluster_id"),
)
