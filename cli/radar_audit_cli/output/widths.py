"""How wide the columns of a table are.

Owns the sharing of a terminal's width among columns. Called by the table
writers. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

GAP_CELLS = 2


def fit(natural: Sequence[int], least: Sequence[int], available: int) -> list[int]:
    """Return a width in cells for each column, given what each would like and must have.

    Takes from the widest column first, so that short ones stay whole. Where
    even the least widths do not fit into `available`, those are returned.
    """
    widths = list(natural)
    room = available - GAP_CELLS * (len(widths) - 1)
    while sum(widths) > room:
        shrinkable = [i for i, width in enumerate(widths) if width > min(least[i], natural[i])]
        if not shrinkable:
            break
        widest = max(shrinkable, key=lambda i: widths[i])
        widths[widest] -= 1
    return widths
