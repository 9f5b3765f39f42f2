"""Radar Audit hub: reading the log."""
