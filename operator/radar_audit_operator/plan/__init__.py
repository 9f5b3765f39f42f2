"""Radar Audit operator: pure decisions."""
