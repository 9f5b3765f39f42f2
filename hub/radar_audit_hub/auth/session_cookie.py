"""The cookie that holds a session's secret: its name, its attributes, the way in and out.

Owns what a browser is told to keep. Called by `sessions.py` and the sign-in handlers. Over https
the name begins with __Host-, so that no other host, path or plain page can set it. Over http,
which the settings allow on this machine only, browsers would refuse that name.
"""

from __future__ import annotations

from aiohttp import web

from radar_audit_hub.context import HUB

_NAME = "radar_audit_session"
_LOGIN_NAME = "radar_audit_login"
_HOST = "__Host-"


def is_secure(request: web.Request) -> bool:
    """Tell whether browsers reach the hub over https, so that its cookies are kept to that."""
    return request.app[HUB].settings.public_url.lower().startswith("https://")


def _named(request: web.Request, name: str) -> str:
    return _HOST + name if is_secure(request) else name


def session_secret(request: web.Request) -> str | None:
    """Return the secret that the browser sent, None if it sent none."""
    return request.cookies.get(_named(request, _NAME)) or None


def login_secret(request: web.Request) -> str | None:
    """Return what binds a sign-in under way to this browser, None if it has none."""
    return request.cookies.get(_named(request, _LOGIN_NAME)) or None


def set_session(request: web.Request, response: web.StreamResponse, secret: str) -> None:
    """Have the browser keep a session's secret until it is closed or the session ends."""
    settings = request.app[HUB].settings.session
    _set(request, response, _NAME, secret, settings.lifetime_ms // 1000)


def set_login(
    request: web.Request, response: web.StreamResponse, secret: str, seconds: int
) -> None:
    """Have the browser keep what binds a sign-in under way to it, for a few minutes."""
    _set(request, response, _LOGIN_NAME, secret, seconds)


def drop_session(request: web.Request, response: web.StreamResponse) -> None:
    """Have the browser forget the session."""
    _set(request, response, _NAME, "", 0)


def drop_login(request: web.Request, response: web.StreamResponse) -> None:
    """Have the browser forget a sign-in that is over."""
    _set(request, response, _LOGIN_NAME, "", 0)


def _set(
    request: web.Request, response: web.StreamResponse, name: str, value: str, seconds: int
) -> None:
    response.set_cookie(
        _named(request, name),
        value,
        max_age=seconds,
        path="/",
        secure=is_secure(request),
        httponly=True,
        # Lax, not Strict: a provider's answer and a link in a mail come from elsewhere.
        samesite="Lax",
    )
