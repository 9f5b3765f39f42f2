"""The scrub that every log line passes: tokens, credentials and terminal commands leave no trace.

Owns what counts as a secret in text and in keyed values. Called by the log set-up of every
part, and wherever text from outside is shown. Never tries to keep a text readable at the
price of a secret: in doubt it masks more. Pure, idempotent, and linear in the text's length
(by the form of its patterns, see `redact_patterns`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from . import redact_patterns as patterns

MASK = "[redacted]"
MAX_DEPTH = 8
MAX_ITEMS = 10_000

_SECRET_ENDINGS = (
    "authorization",
    "token",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "cookie",
    "apikey",
    "privatekey",
    "credential",
    "command",
    "requesturi",
    "salt",
)
# Parameters of sign-in callbacks and signed links, which are harmless as names elsewhere.
_SECRET_PARAMETERS = frozenset({"code", "state", "sig", "signature"})


def redact_text(text: str) -> str:
    """Return `text` with every secret in it replaced by `[redacted]`.

    Masked: this project's and Stripe's, Slack's and webhook tokens, JWTs, credentials after
    `Bearer` and `Basic`, the user part of URLs, private keys, the values of a query string
    that opens a terminal (`/exec?`, `/attach?`, `command=`), and secret parameters of others.
    """
    # First what may hold white space, then what may hold tokens, then tokens; the user part
    # of a URL comes last, because a token in it may hide the '@' behind a '/'.
    text = patterns.COMMAND_FIELD.sub(rf"\g<name>\g<quote>{MASK}\g<quote>", text)
    text = patterns.COMMAND.sub(_mask_command, text)
    text = patterns.CREDENTIAL.sub(_mask_behind("scheme"), text)
    text = patterns.PRIVATE_KEY.sub(MASK, text)
    text = patterns.QUERY.sub(_mask_query, text)
    text = patterns.SLACK_HOOK.sub(_mask_behind("host"), text)
    text = patterns.TOKEN.sub(rf"\g<kind>{MASK}", text)  # the prefix tells only the kind
    text = patterns.JWT.sub(_mask_jwt, text)
    return patterns.AUTHORITY.sub(_mask_authority, text)


def redact_value(value: object, max_depth: int = MAX_DEPTH) -> object:
    """Return a copy of a nested value with its secrets masked, fit for JSON.

    Values under secret-named keys (`is_secret_name`) become `[redacted]`, except None and
    booleans; strings pass `redact_text`; bytes and what is nested deeper than `max_depth` are
    masked; more than 10,000 items are left out; other objects are written as text first.
    """
    return _mask_value(value, max_depth, iter(range(MAX_ITEMS)))


def is_secret_name(name: str) -> bool:
    """Tell whether a key or parameter of this name holds a secret, by how the name ends.

    Case, `_`, `-` and a plural do not matter: `Set-Cookie`, `apiKey`, `access_tokens`.
    """
    plain = patterns.NOT_ALPHANUMERIC.sub("", name.lower())
    return plain.removesuffix("s").endswith(_SECRET_ENDINGS)


def _mask_value(value: object, depth: int, budget: Iterable[int]) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return redact_text(value)
    if depth < 1 or isinstance(value, bytes | bytearray | memoryview):
        return MASK
    if isinstance(value, Mapping):
        return {
            redact_text(str(key)): _mask_entry(str(key), item, depth - 1, budget)
            for (key, item), _ in zip(value.items(), budget, strict=False)
        }
    if isinstance(value, list | tuple | set | frozenset):
        # The budget comes last: zip takes from it only for an item that exists.
        return [
            _mask_value(item, depth - 1, budget) for item, _ in zip(value, budget, strict=False)
        ]
    return redact_text(str(value))


def _mask_entry(key: str, value: object, depth: int, budget: Iterable[int]) -> object:
    if is_secret_name(key) and not (value is None or isinstance(value, bool)):
        return MASK
    return _mask_value(value, depth, budget)


def _mask_command(match: re.Match[str]) -> str:
    """Mask a command, and the parameters that follow it in the same run."""
    name, rest = match["name"], match["rest"]
    enclosed = match.start("rest") > match.end("name")
    parts = patterns.SEPARATOR.split(rest, maxsplit=1)
    masked = MASK if enclosed or parts[0] else ""
    if len(parts) == 1:
        return name + masked
    return name + masked + parts[1] + _mask_parameters(parts[2], every=True)


def _mask_query(match: re.Match[str]) -> str:
    path, query = match["path"] or "", match["query"]
    terminal = (
        bool(path and match["mark"] == "?") or patterns.OPENS_TERMINAL.search(query) is not None
    )
    return path + match["mark"] + _mask_parameters(query, every=terminal)


def _mask_parameters(query: str, *, every: bool) -> str:
    """Mask the values of every parameter, or of those with secret names; names stay."""
    parts = patterns.SEPARATOR.split(query)
    # Odd places hold the separators.
    parts[::2] = [_mask_parameter(part, every=every) for part in parts[::2]]
    return "".join(parts)


def _mask_parameter(part: str, *, every: bool) -> str:
    name, equals, value = part.partition("=")
    if every:
        if not equals or not patterns.TERMINAL_PARAMETER_NAME.fullmatch(name):
            return MASK if part else ""
        return f"{name}={MASK}" if value else part
    secret = patterns.PARAMETER_NAME.fullmatch(name) is not None and (
        name.lower() in _SECRET_PARAMETERS or is_secret_name(name)
    )
    return f"{name}={MASK}" if secret and value else part


def _mask_behind(group: str) -> Callable[[re.Match[str]], str]:
    """Return a replacement that keeps `group` and masks the secret after it, if there is one."""
    return lambda match: match[group] + (MASK if match["secret"] else "")


def _mask_jwt(match: re.Match[str]) -> str:
    found = match.group()
    return MASK if len(found) >= patterns.MIN_JWT_CHARS or found.count(".") >= 2 else found


def _mask_authority(match: re.Match[str]) -> str:
    user, at, host = match["authority"].rpartition("@")
    return f"://{MASK}@{host}" if user and at else match.group()
