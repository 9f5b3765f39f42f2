"""What a test of an alert is made of: a story in minutes, and two ways to spoil the alert.

Owns `Case`. Called by `alert_cases` and `promtool`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One story of an alert.

    `series` maps a series to its values, one a minute, in promtool's notation. `fires` and
    `silent` are the minutes at which the alert must and must not fire. `blunt` and `sharp` replace
    a piece of the expression so that it never fires, or fires where all is well.
    """

    name: str
    alert: str
    series: dict[str, str]
    silent: frozenset[int]
    fires: frozenset[int]
    labels: dict[str, str]
    description: str
    blunt: tuple[str, str]
    sharp: tuple[str, str]
