"""All tables of the hub in one place: importing this module fills `metadata`.

Owns nothing but the list of the modules that describe tables, one a feature. Called by the
migrations, which compare what they made with it. Never holds a table or a query.
"""

from __future__ import annotations

from . import (
    log_views,
    schema_billing,
    schema_clusters,
    schema_following,
    schema_inbox,
    schema_members,
    schema_notify,
    schema_outbox,
    schema_policy,
    schema_signin,
    schema_web,
)
from .schema import metadata

__all__ = [
    "log_views",
    "metadata",
    "schema_billing",
    "schema_clusters",
    "schema_following",
    "schema_inbox",
    "schema_members",
    "schema_notify",
    "schema_outbox",
    "schema_policy",
    "schema_signin",
    "schema_web",
]
