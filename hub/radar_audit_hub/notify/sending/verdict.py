"""What an answer means: delivered, try again, never again for this message, or never at all. Pure.

Owns the meaning of each channel's statuses. Called by `attempting.py`. Never repeats an answer's
text in an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Literal

_SLACK_GONE = frozenset({b"no_service", b"no_team", b"channel_is_archived"})
_GONE = "the receiver answered 410 (gone): it wants no more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How an attempt went; `gone`: the destination is to be disabled. `error` is a sentence."""

    result: Literal["delivered", "retry", "failed", "gone"]
    error: str | None = None
    retry_after_ms: int | None = None


def verdict(
    kind: str, status: int, headers: Mapping[str, str], body: bytes, now_ms: int
) -> Verdict:
    """Judge an answer of HTTP. Any 2xx is a delivery; a redirect is a failure as any other."""
    if 200 <= status < 300:
        return Verdict(result="delivered")
    if kind == "pagerduty":
        if status == 400:
            return Verdict(result="failed", error="PagerDuty refused the event or its routing key")
    elif status == 410:
        return Verdict(result="gone", error=_GONE)
    if kind == "slack":
        if status in (403, 404) and body.strip() in _SLACK_GONE:
            return Verdict(result="gone", error="Slack says that this webhook is no more")
        if status == 400:
            return Verdict(result="failed", error="Slack refused the message")
    text = f"the receiver answered {status}"
    if 300 <= status < 400:
        text += ", a redirect, which is not followed; use the address that it leads to"
    asked = retry_after_ms(headers.get("Retry-After"), now_ms)
    return Verdict(result="retry", error=text, retry_after_ms=asked)


def retry_after_ms(text: str | None, now_ms: int) -> int | None:
    """Read a Retry-After, seconds or a date; None for none, the past, or anything else."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return int(text[:9]) * 1000
    try:
        asked = int(parsedate_to_datetime(text).timestamp() * 1000) - now_ms
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return asked if asked > 0 else None
