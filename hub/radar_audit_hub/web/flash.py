"""The sentence that the next page shows, such as "saved": known by a word in a cookie.

Owns the closed list of such sentences. Called by handlers before they send a browser on, and by
the layout. A cookie can name one of these sentences and nothing else, so that nobody can put words
into the page's mouth.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from aiohttp import web

from radar_audit_hub.auth.session_cookie import is_secure

_COOKIE = "radar_audit_said"
_SECONDS = 60
SENTENCES: Mapping[str, str] = MappingProxyType(
    {
        "signed_out": "You are signed out.",
        "org_created": "The organization is created. You are its owner.",
        "joined": "Welcome. You are a member of this organization now.",
        "view_saved": "The view is saved. Only you see it.",
        "view_deleted": "The view is deleted.",
        "saved": "Saved.",
        "org_deleted": "The organization is deleted.",
        "left": "You have left the organization.",
        "role_changed": "The role is changed.",
        "removed": "The member is removed, and their tokens are revoked.",
        "invitation_revoked": "The invitation is revoked. Its link is no good any more.",
        "token_revoked": "The token is revoked.",
        "upgrade_asked": "The upgrade is requested.",
        "hold_added": "The hold is in force. What it selects is kept until it ends or is released.",
        "exception_deleted": "The exception is deleted.",
        "hold_released": "The hold is released. What only it kept expires now.",
        "destination_deleted": "The destination is deleted.",
        "rule_deleted": "The rule is deleted.",
        "replayed": "It is sent again.",
        "notice_deleted": "The notice is deleted.",
        "cluster_deleted": "The cluster is removed. Its events stay in the log.",
        "zone_set": "Times are shown in your time zone.",
    }
)


def say(request: web.Request, response: web.StreamResponse, word: str) -> None:
    """Have the next page show a sentence. Raises KeyError for a word that stands for none."""
    SENTENCES[word]
    response.set_cookie(
        _COOKIE,
        word,
        max_age=_SECONDS,
        path="/",
        secure=is_secure(request),
        httponly=True,
        samesite="Lax",
    )


def said(request: web.Request) -> str | None:
    """Return the sentence that this page is to show, None if there is none."""
    return SENTENCES.get(request.cookies.get(_COOKIE, ""))


def forget(request: web.Request, response: web.StreamResponse) -> None:
    """Take the word back once its sentence was shown."""
    if _COOKIE in request.cookies:
        response.del_cookie(_COOKIE, path="/", httponly=True, samesite="Lax")
