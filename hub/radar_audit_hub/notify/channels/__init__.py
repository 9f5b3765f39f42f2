"""Channels: how a message is worded for each kind of receiver. Pure."""
