"""Destinations as people see and change them, and what was delivered to each."""
