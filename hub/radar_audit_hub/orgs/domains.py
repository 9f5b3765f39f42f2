"""Which domains let people join by themselves, and as what: pure.

Owns the form of a domain, the refusal of free-mail domains and the rule of auto-join. Called by
the org handlers and by `members/joining.py`. Never makes an owner of anybody.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from radar_audit_events.errors import FieldError

from radar_audit_hub.emails import domain_of

from .free_mail import FAMILIES, free_mail

MAX_DOMAINS = 50
DEFAULT_ROLES = ("auditor", "member", "viewer")  # contract: auto-join never grants owner
_DOMAIN = re.compile(
    r"^(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])\Z"
)
_FORM = "must be a domain in lower case, such as example.com (xn--… for other scripts)"
_FREE = "is a free-mail domain, where anybody may have an address"
_STRANGE = "must be the domain of an owner's own e-mail: it lets all of its people in"


def is_free_mail(domain: str) -> bool:
    """Tell whether anybody can have an address of this domain."""
    if domain in free_mail():
        return True
    name, _, ending = domain.partition(".")
    # yahoo.de, hotmail.co.uk and the like: there are hundreds.
    return name in FAMILIES and all(len(part) <= 3 for part in ending.split("."))


def domain_errors(
    wanted: Sequence[str], had: Collection[str], owner_emails: Collection[str]
) -> list[FieldError]:
    """Return what is wrong with a list of allowed domains, one by one; empty if nothing is.

    A domain that is new (not in `had`) must be that of an owner's e-mail, which is vouched for.
    Otherwise anybody could make an org that draws another company's people in.
    """
    if len(wanted) > MAX_DOMAINS:
        return [FieldError("allowed_domains", f"must hold at most {MAX_DOMAINS} domains")]
    own = {domain_of(email) for email in owner_emails}
    errors: list[FieldError] = []
    for index, domain in enumerate(wanted):
        if not _DOMAIN.match(domain):
            message = _FORM
        elif is_free_mail(domain):
            message = _FREE
        elif domain not in had and domain not in own:
            message = _STRANGE
        else:
            continue
        errors.append(FieldError(f"allowed_domains[{index}]", message))
    return errors


def auto_join_role(domain: str, allowed: Collection[str], default_role: str) -> str | None:
    """Return as what somebody with an e-mail of `domain` may join by themselves, None: not."""
    if domain not in allowed or is_free_mail(domain) or default_role not in DEFAULT_ROLES:
        return None
    return default_role
