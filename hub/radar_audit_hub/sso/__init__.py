"""Radar Audit hub: signing in through an organization's own identity provider."""
