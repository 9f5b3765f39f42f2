"""What the block of Radar's values has where nothing else is asked for.

Owns these values. Read by `options`, which shows them as defaults, and by `block`, whose tests and
callers may say less than the command does. Loads nothing, as `options` is part of every start.
"""

SERVICE_ACCOUNT = "radar/radar"
AUDIENCE = "radar-audit-hub"
TOKEN_SECRET_KEY = "token"  # noqa: S105 - the name of a key
FAILURE_POLICY = "open"
# The collector's own defaults; such a setting is left out of the block.
IDENTITY, LOG_LEVEL = "cloud", "info"
REQUESTS = (("cpu", "20m"), ("memory", "64Mi"))
LIMITS = (("memory", "192Mi"),)
