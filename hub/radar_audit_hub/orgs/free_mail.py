"""Domains where anybody may have an address: free mail, internet providers, throw-away mail.

Owns the reading of `free_mail.txt`, one domain a line, which is this project's own collection of
the usual ones. Called by `domains.py`. The list need not be complete, because a domain must be
an owner's own as well; it is there for owners who have such an address themselves.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

# Whatever country they have: yahoo.de, hotmail.co.uk.
FAMILIES = frozenset({"gmx", "hotmail", "live", "msn", "outlook", "yahoo", "yandex", "ymail"})


@cache
def free_mail() -> frozenset[str]:
    """Return the domains, lower-case."""
    text = files("radar_audit_hub.orgs").joinpath("free_mail.txt").read_text("ascii")
    return frozenset(line for line in text.splitlines() if not line.startswith("#"))
