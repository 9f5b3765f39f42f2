"""Radar Audit hub: personal access tokens."""
