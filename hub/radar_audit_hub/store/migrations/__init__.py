"""Alembic's folder: one module per step in `versions`."""
