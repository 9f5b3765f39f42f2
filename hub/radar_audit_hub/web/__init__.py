"""Radar Audit hub: the pages that people see in a browser."""
