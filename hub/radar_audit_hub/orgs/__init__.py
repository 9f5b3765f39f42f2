"""Organizations: making, showing, changing and deleting them."""
