"""Radar Audit operator: the edge to Kopf."""
