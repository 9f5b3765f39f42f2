"""Radar Audit hub: retention."""
