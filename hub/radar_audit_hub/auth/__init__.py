"""Radar Audit hub: who is calling."""
