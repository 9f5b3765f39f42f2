"""Asking people into an organization, by a link that works once."""
