"""Radar Audit hub: plans and their billing."""
