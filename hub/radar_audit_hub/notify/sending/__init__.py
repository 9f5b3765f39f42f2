"""Sending: messages that are due go to their receivers, at least once, each attempt on record."""
