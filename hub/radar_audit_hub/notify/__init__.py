"""Notifications: rules that follow the log, messages, and the channels that deliver them."""
