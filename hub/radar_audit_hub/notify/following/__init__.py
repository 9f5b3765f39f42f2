"""Following the log: rules judge what is new, and messages are put for the channels."""
