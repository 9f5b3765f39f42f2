"""Radar Audit hub: clusters and their agents."""
