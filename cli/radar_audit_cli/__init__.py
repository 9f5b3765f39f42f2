"""Radar Audit: cli."""
