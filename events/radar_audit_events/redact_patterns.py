r"""How secrets look in text: the patterns of `redact`, which alone calls them.

Never decides what replaces a match. Three properties hold by form, and tests check them:

- Time is linear: a scan of unbounded length is possessive and nothing that can fail follows
  it, so that no character is scanned from two starts.
- A pattern that meets another's secret takes all of it or stops before it: all tokens share
  one set of characters, and a run, which may begin anywhere, goes on through the white space
  of a credential, a key or a quoted command.
- Every possessive group that can fail midway has the last alternative `_BACK`.
"""

from __future__ import annotations

import re

# Matches nothing. Where a turn of a possessive group fails midway, Python before 3.11.5 (Debian
# 12 has 3.11.2) goes on from that place, not from the end of the turn before (CPython gh-106052).
# To try one more alternative first takes it back to there.
_BACK = "(?!)"
_DOUBLE_QUOTED = r'"(?:[^"\\]|\\.)*+"?+'
_SINGLE_QUOTED = r"'(?:[^'\\]|\\.)*+'?+"
# What people type is not always escaped: a quote ends it only before what can follow a value.
_DOUBLE_TYPED = rf""""(?:[^"\\]|\\.|"(?![\s,:;)}}>\]'&\\]|\Z)|{_BACK})*+"?+"""
_SINGLE_TYPED = rf"""'(?:[^'\\]|\\.|'(?![\s,:;)}}>\]"&\\]|\Z)|{_BACK})*+'?+"""
# A string of JSON that stands inside another string of JSON.
_NESTED_QUOTED = rf'\\"(?:[^"\\]|\\\\(?:\\.|[^\\])|{_BACK})*+(?:\\")?+'
# A list or tuple, as JSON or Python writes it.
_LISTED = (
    rf"""[\[(](?:[^\])"'\\]|{_NESTED_QUOTED}|\\[^"]|{_DOUBLE_QUOTED}|{_SINGLE_QUOTED}|{_BACK})*+"""
    r"""[\])]?+"""
)
_VALUE = f"(?:{_DOUBLE_QUOTED}|{_SINGLE_QUOTED}|{_NESTED_QUOTED}|{_LISTED})"
_ARGUMENT = f"(?:{_DOUBLE_TYPED}|{_SINGLE_TYPED}|{_NESTED_QUOTED}|{_LISTED}|{_BACK})"
_COMMAND_IS = "command(?:=|%3d|%253d)"
_SCHEME_IS = r"(?:bearer|basic)(?:[ \t+]|%20){1,64}+"
_PRIVATE_KEY = (
    rf'-----BEGIN [A-Z ]{{0,40}}PRIVATE KEY-----(?:[^-"]|-(?!----END)|{_BACK})*+'
    rf"(?:-----END [A-Z ]{{0,40}}PRIVATE KEY-----|{_BACK})?+"
)
# What a URL or credential can run through: up to white space, or a double quote that closes a
# string. Where text stands inside JSON, a quote of the URL's own has a backslash before it.
_RUN = (
    rf"(?:{_COMMAND_IS}{_ARGUMENT}?+|{_SCHEME_IS}|{_PRIVATE_KEY}"
    rf'|[^\s"\\]|\\["\\]?+|"(?![\s,:)}}>\]]|\Z)|{_BACK})*+'
)
_TOKEN_CHAR = "[A-Za-z0-9_+/=.-]"  # noqa: S105  # a character class, no password

PRIVATE_KEY = re.compile(_PRIVATE_KEY)
COMMAND_FIELD = re.compile(
    rf"""(?P<name>command(?P<quote>\\?["'])[ ]?:[ ]?)(?!\[redacted\]){_VALUE}""",
    re.IGNORECASE | re.DOTALL,
)
COMMAND = re.compile(
    rf"(?P<name>{_COMMAND_IS}){_ARGUMENT}?+(?P<rest>{_RUN})", re.IGNORECASE | re.DOTALL
)
CREDENTIAL = re.compile(rf"(?P<scheme>{_SCHEME_IS})(?P<secret>{_RUN})", re.IGNORECASE | re.DOTALL)
QUERY = re.compile(
    rf"(?P<path>/(?:exec|attach)/?)?(?P<mark>[?#])(?P<query>{_RUN})", re.IGNORECASE | re.DOTALL
)
SLACK_HOOK = re.compile(
    rf"(?P<host>hooks\.slack(?:-gov)?\.com\\?/)(?P<secret>{_RUN})", re.IGNORECASE | re.DOTALL
)
TOKEN = re.compile(
    r"(?P<kind>rh[pcsli]_|[srp]k_(?:live|test)_|whsec_|xox[a-z]-|xapp-"
    # how a browser sends a Kubernetes token when it opens a terminal
    rf"|base64url\.bearer\.authorization\.k8s\.io\.){_TOKEN_CHAR}++"
)
JWT = re.compile(rf"eyJ{_TOKEN_CHAR}*+")
MIN_JWT_CHARS = 14  # the first part of {"alg":""}, the shortest header
AUTHORITY = re.compile(rf'://(?P<authority>(?:[^\s/?#"<>:]|:(?!//)|{_BACK})*+)')

OPENS_TERMINAL = re.compile(rf"{_COMMAND_IS}|/(?:exec|attach)/?\?", re.IGNORECASE)
SEPARATOR = re.compile(r"(&amp;|\\u0026|[&?#])")
PARAMETER_NAME = re.compile(r"[A-Za-z0-9_.-]{1,32}")
TERMINAL_PARAMETER_NAME = re.compile(r"[A-Za-z]{1,13}")  # too short and plain to be a token
NOT_ALPHANUMERIC = re.compile(r"[^a-z0-9]")

ALL = (
    COMMAND_FIELD,
    COMMAND,
    CREDENTIAL,
    PRIVATE_KEY,
    QUERY,
    SLACK_HOOK,
    TOKEN,
    JWT,
    AUTHORITY,
    OPENS_TERMINAL,
    SEPARATOR,
    PARAMETER_NAME,
    TERMINAL_PARAMETER_NAME,
    NOT_ALPHANUMERIC,
)
