"""What a name may look like that people give to things: tokens, clusters, organizations.

Owns that rule. Called by the features' rules. Pure. Names stand in lists, CSV cells, mails and
terminals, so they hold no control characters, no line ends and no halves of surrogate pairs.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection

MAX_NAME_CHARS = 100
NAME_TEXT = f"must be 1 to {MAX_NAME_CHARS} printable characters without spaces at an end"
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_MAX_SHOWN = 40


def is_name(text: str) -> bool:
    """Tell whether `text` may be a name."""
    return is_plain(text, MAX_NAME_CHARS) and text == text.strip()


def is_plain(text: str, max_chars: int) -> bool:
    """Tell whether `text` is one line of 1 to `max_chars` characters that is not only spaces."""
    return len(text) <= max_chars and text.strip() != "" and _UNSAFE.search(text) is None


def nearest(word: str, known: Collection[str]) -> str:
    """Say which known word comes nearest to a wrong one, or which words there are."""
    near = difflib.get_close_matches(word[:_MAX_SHOWN], sorted(known), n=1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
