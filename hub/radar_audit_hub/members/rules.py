"""Who may leave an org, and who may be given another role: pure.

Owns the rule of the last owner. Called by the member handlers with facts that were read under
the org's lock. Never touches the store.
"""

from __future__ import annotations

from radar_audit_hub.errors import ConflictError

OWNER = "owner"
_LAST = "the organization's last owner cannot {}; make somebody else an owner first"


def check_may_leave(role: str, owners: int) -> None:
    """Raise ConflictError if a member of this role is the last owner (`owners`: how many)."""
    if role == OWNER and owners <= 1:
        raise ConflictError(_LAST.format("leave or be removed"))


def check_may_become(role: str, new_role: str, owners: int) -> None:
    """Raise ConflictError if the change would leave the org without an owner."""
    if role == OWNER and new_role != OWNER and owners <= 1:
        raise ConflictError(_LAST.format("be given another role"))
