"""Radar Audit hub: store."""
