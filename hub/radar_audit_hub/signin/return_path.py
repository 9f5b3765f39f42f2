"""Where a browser goes once it is signed in: a path of the hub's own, never another site.

Owns that rule. Pure. Called where a sign-in begins; what has passed is kept with it on the
server, so that the end of it takes no address from a request.
"""

from __future__ import annotations

import re

MAX_CHARS = 1000
HOME = "/"
EXPECTED = "must be a path of this server, such as /orgs/org_1/audit"
# Browsers read `//host`, `/\host` and a path with a tab or a line break in it as another host.
_PATH = re.compile(rf"^/(?![/\\])[\x21-\x5b\x5d-\x7e]{{0,{MAX_CHARS - 1}}}\Z")


def own_path(text: str) -> str:
    """Return `text` if it is a path on this server. Raises ValueError that says what would be."""
    if not _PATH.match(text):
        raise ValueError(EXPECTED)
    return text
