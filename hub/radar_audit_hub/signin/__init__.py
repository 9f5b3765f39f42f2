"""Radar Audit hub: signing in and out."""
