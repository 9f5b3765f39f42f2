"""Work that leaves the hub: at least once, after the change that asked for it."""
