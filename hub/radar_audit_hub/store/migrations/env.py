"""Required by Alembic's layout; `store.migrate` drives the steps with its own connection."""
