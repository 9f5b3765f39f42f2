"""Radar Audit: operator."""
