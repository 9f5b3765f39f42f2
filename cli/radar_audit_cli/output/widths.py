"""How wide the columns of a table are.

Owns the sharing of a terminal's width among columns. Called by the table
writers. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

GAP_CELLS = 2


def fit(
    natural: Sequence[int], least: Sequence[int], weights: Sequence[int], available: int
) -> list[int]:
    """Return a width in cells for each column, given what each would like and should have.

    Takes from the column that is widest for its weight, so that short and
    heavy ones stay whole. Where the least widths do not fit into `available`
    either, they too are taken from, down to one cell each.
    """
    widths = list(natural)
    room = available - GAP_CELLS * (len(widths) - 1)
    for floor in (least, [1] * len(widths)):
        while sum(widths) > room:
            shrinkable = [i for i, width in enumerate(widths) if width > floor[i]]
            if not shrinkable:
                break
            widths[max(shrinkable, key=lambda i: widths[i] / weights[i])] -= 1
    return widths
