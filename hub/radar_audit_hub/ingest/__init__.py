"""Radar Audit hub: ingest."""
