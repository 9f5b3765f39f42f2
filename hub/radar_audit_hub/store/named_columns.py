"""Columns of a statement written by hand, each under the name of the field that it fills.

Owns the selection of an org and of somebody's place in it, which every look-up of a caller makes.
Called by `tokens.py` and `sessions.py`, whose rows come from the driver and know positions alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

Columns = Mapping[str, str]  # a field's name and the SQL of its column, in the order of a SELECT

# Of `org o`, for a person and for a cluster.
ORG: Columns = MappingProxyType(
    {
        "org_id": "o.id",
        "plan": "o.plan",
        "org_deleted_at_ms": "o.deleted_at",
        "retention": "o.retention",
    }
)
# Of `org o` and `org_member m`, for a person.
PLACE: Columns = MappingProxyType(
    {
        **ORG,
        "org_name": "o.name",
        "role": "m.role",
        "records_log_access": "o.record_log_access",
    }
)


def selected(columns: Columns) -> str:
    """Return what a SELECT says between that word and FROM."""
    return ", ".join(columns.values())


def named(columns: Columns, row: Sequence[Any]) -> dict[str, Any]:
    """Return a row's values under their fields' names. Raises ValueError for another selection."""
    return dict(zip(columns, row, strict=True))
