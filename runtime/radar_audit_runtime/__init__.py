"""Radar Audit: runtime."""
