"""The `radar-audit` program: query, tail, export and show the log of a hub."""
