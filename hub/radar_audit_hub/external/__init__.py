"""Radar Audit hub: actions that other control planes record."""
