"""A person's inbox: notices, what of them is read, and which come by mail."""
