"""Radar Audit: collector."""
