"""Capture sources: each turns what it sees into audit records of allow-listed fields."""
