"""Names for the shapes that pass between the command line and a hub.

Owns only type names, so that a command can speak of them without loading the
HTTP library.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Event = dict[str, Any]
"""One event as the hub writes it; later hubs may add keys."""

Params = Sequence[tuple[str, str]]
"""Parameters of a request, in order; a name may come again."""
