"""Radar Audit: hub."""
