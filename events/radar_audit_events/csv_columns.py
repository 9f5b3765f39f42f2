"""The columns of the log as CSV, which the hub's export and the command line write alike.

Owns their names and order, which are part of the contract.
"""

CSV_COLUMNS = (
    "id",
    "created_at",
    "action",
    "target_type",
    "target_id",
    "actor_user_id",
    "actor_email",
    "via_pat",
    "metadata",
)
