"""No secret survives the scrub, whatever surrounds it, and everything else is left alone."""

from __future__ import annotations

import json
import re
from re import _constants as sre  # the only view on a pattern's form
from re import _parser as sre_parser
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from radar_audit_events import redact_patterns
from radar_audit_events.redact import (
    MASK,
    MAX_DEPTH,
    MAX_ITEMS,
    is_secret_name,
    redact_text,
    redact_value,
)

SECRET = "Zq7Zq7Zq7"  # stands in every secret below, in a spelling nothing else produces

token_tails = st.text("abcXYZ0189_-", max_size=8)


cores = st.builds(lambda before, after: before + SECRET + after, token_tails, token_tails)

# One word of each masked kind: nothing around it may bring its secret to light.
WORDS = [
    "rhp_{}",
    "rhc_{}",
    "Bearer {}",
    "bearer  {}.~+/=",
    "Bearer%20{}",
    "Basic {}==",
    "eyJhbGciOiJIUzI1NiJ9.{}a.{}",
    "eyJ.a.{}",
    "https://{}@example.com/",
    "postgresql+asyncpg://user:p@{}@db:5432/radar",
    "sk_live_{}",
    "rk_test_{}",
    "whsec_{}+/==",
    "xoxb-1-{}",
    "https://hooks.slack.com/services/T0/B0/{}",
    "HOOKS.slack.com/workflows/{}",
    "base64url.bearer.authorization.k8s.io.{}",
    "/api/v1/namespaces/a/pods/b/exec?command={}&container=c",
    "/pods/b/exec?container=c&command=sh&command=-c&command={}%3B+exec",
    r"/pods/b/attach?stdin=true\u0026x={}",
    "/pods/b/exec?{}",
    "/pods/b/exec/?stdin=1&amp;command={}",
    "?a={}&command=ls",
    "command={}",
    "COMMAND=%20{}'`$",
    "next=%2Fexec%3Fcommand%3D{}",
    "/login?token={}&x=1",
    "/callback?code={}&state=1",
    "/callback?state={}",
    "/login#access_token={}",
    "/a?next=/b?reset_password={}",
    "-----BEGIN PRIVATE KEY-----\nMIG {}\n-----END PRIVATE KEY-----",
    "-----BEGIN RSA PRIVATE KEY-----\nDEK-Info: AES\n\n{}",
]
words = st.builds(lambda word, core: word.replace("{}", core), st.sampled_from(WORDS), cores)


@st.composite
def phrases(draw: st.DrawFn) -> str:
    """A command with white space, in quotes, of which SECRET is a word."""
    core = draw(cores)
    kinds = [
        f'command="sh -c \\"x {core} y\\" z"',
        f"command=['sh', '-c', 'if [ a ]; then {core}']",
        f"command=('sh', 'a b {core}')",
        f"'command': ('sh', 'a b {core}')",
        f'?command=sh&command="a b {core}"&x=1',
        f'Bearer command="a b {core}"',
        json.dumps({"command": ["sh", f'a "b] {core}" c']}),
        json.dumps(json.dumps({"command": ["sh", f'a "b] \\ {core}" \n c']})),
        json.dumps(json.dumps({"command": f'a "b \\" {core}" c'})),
    ]
    return draw(st.sampled_from(kinds))


FRAGMENTS = [
    "?", "&", "=", "#", '"', "'", "\\", '\\"', " ", "\n", ",", "]", "[", "}", ":", "://", "@", "/",
    ".", "%", "%20", "%%", "\\u0026", "&amp;", "-", "-----END", "-----BEGIN PRIVATE KEY-----",
    "/exec?", "/attach?", "/exec/?", "command=", "command%3D", "command", 'command":', "token",
    'command\\":', "code=", "a", "b=1", "rhp_", "rhc_x", "sk_live_", "whsec_", "xoxb-", "eyJ",
    "token=", "eyJabcdefghijklmno", "Bearer", "Bearer ", "basic ", "hooks.slack.com/", "(", ")",
    MASK, "é",
]  # fmt: skip
fragments = st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join)
noise = st.one_of(st.text(max_size=20), fragments)
# Quotes left open by other commands can make a later one's quotes close them.
quiet = noise.filter(lambda text: "command" not in text.lower())


@given(noise, words, noise)
@example("/exec?", f"Bearer {SECRET}", "")
@example("command=", f"-----BEGIN PRIVATE KEY-----\n{SECRET}", "")
@example("COMMAND=\\", f"Basic {SECRET}", "")
@example("://", f"https://{SECRET}@example.com/", "")
@example("Bearer Bearer", f"Bearer {SECRET}", "")
def test_no_secret_word_survives_in_any_surroundings(before: str, word: str, after: str) -> None:
    assert SECRET not in redact_text(before + word + after)


@given(quiet, phrases(), quiet)
def test_no_command_of_many_words_survives(before: str, phrase: str, after: str) -> None:
    assert SECRET not in redact_text(before + phrase + after)


@given(st.lists(st.one_of(noise, words, phrases()), max_size=5).map("".join))
@example("?sk_live_x=1%%token=abc")
@example('command":eyJabcdefghijklmno')
@example("'command': ('a')0")
@example("?command%3D?command=")
@example("/exec?rhp_0=")
@example('://whsec_a/b@c "command="rhp_x y')
@example(f"command={MASK}{SECRET}")
def test_scrubbing_twice_changes_nothing_more(text: str) -> None:
    once = redact_text(text)
    assert redact_text(once) == once


HARMLESS = [
    "GET", "/api/orgs/org_01H/audit?limit=100&q=action%3Apod.*", "200", "12ms", "pod.exec_started",
    "cl_1/payments/api-0", "alice@acme.com", "https://example.com:8080/users/a@b?page=2#top",
    "why /exec? Because", "unknown command: ls", "cluster.token_rotated", "token", "tokens: 3",
    '["https://a","x@y"]', "heyJude", "-----BEGIN CERTIFICATE-----", "rhp_", "2026-11-24T10:00:00Z",
    '{"action":"pod.exec_ended","metadata":{"pod":"api-0","duration_ms":12}}', "é\u2028", "\\",
    "issue #3", "hooks.slack.com", "sk_live", "ae_01JD8Z0000000000000000", '"', "'",
]  # fmt: skip


@given(st.lists(st.sampled_from(HARMLESS), max_size=8), st.sampled_from([" ", "\n", "; "]))
def test_text_without_secrets_is_unchanged(words: list[str], between: str) -> None:
    text = between.join(words)
    assert redact_text(text) == text


@pytest.mark.parametrize(
    "text,expected",
    [
        (
            r"/api/v1/namespaces/a/pods/b/exec?command=sh\u0026command=-c\u0026container=app",
            rf"/api/v1/namespaces/a/pods/b/exec?command={MASK}\u0026command={MASK}\u0026container={MASK}",
        ),
        ("GET /b/attach?stdin=true&tty HTTP/1.1", f"GET /b/attach?stdin={MASK}&{MASK} HTTP/1.1"),
        ("/x?a=1&command=ls&b= ok", f"/x?a={MASK}&command={MASK}&b= ok"),
        ("/x?a=1&token=t&b=2", f"/x?a=1&token={MASK}&b=2"),
        ("Authorization: Bearer abc", f"Authorization: Bearer {MASK}"),
        ("token rhp_abc, rhc_def", f"token rhp_{MASK}, rhc_{MASK}"),
        ("postgres://u:p@ss@h/db", f"postgres://{MASK}@h/db"),
        ("https://hooks.slack.com/services/T/B/x", f"https://hooks.slack.com/{MASK}"),
        ("a eyJhbGciOiJIUzI1NiJ9.e30.c2ln. b", f"a {MASK} b"),
        ('{"command":["sh","-c"],"k":1}', f'{{"command":"{MASK}","k":1}}'),
        ("whsec_abc sk_test_abc", f"whsec_{MASK} sk_test_{MASK}"),
    ],
)
def test_what_is_left_still_tells_what_it_was(text: str, expected: str) -> None:
    assert redact_text(text) == expected


@given(st.lists(words, max_size=3), st.text())
def test_scrubbed_json_is_still_json(found: list[str], text: str) -> None:
    line = json.dumps({"msg": text, "urls": [f"x {item}" for item in found], "n": 1})
    scrubbed = redact_text(line)
    assert SECRET not in scrubbed
    assert json.loads(scrubbed)["n"] == 1


def _widest(items: Any) -> bool:
    """Whether these parsed pattern items can run without a bound."""
    return bool(items.getwidth()[1] >= sre.MAXREPEAT)


def _check_linear(items: Any, *, may_fail: bool = True) -> bool:
    """Assert the form that makes a pattern linear; return whether what follows may still fail.

    Every unbounded repeat is possessive, and what follows it in the same sequence can match
    nothing at all, so that a match which has scanned far never fails.
    """
    for op, argument in items:
        one = sre_parser.SubPattern(items.state, [(op, argument)])
        assert may_fail or one.getwidth()[0] == 0, f"{op} may fail after an unbounded scan"
        if op in {sre.ASSERT, sre.ASSERT_NOT}:
            assert not _widest(argument[1]), "a look-ahead scans without a bound"
        elif op is sre.SUBPATTERN:
            may_fail = _check_linear(argument[3], may_fail=may_fail)
        elif op is sre.BRANCH:
            branches = [_check_linear(branch, may_fail=may_fail) for branch in argument[1]]
            may_fail = all(branches)
        elif op in {sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT}:
            unbounded = argument[1] >= sre.MAXREPEAT or _widest(argument[2])
            assert not unbounded or op is sre.POSSESSIVE_REPEAT, "an unbounded scan backtracks"
            _check_linear(argument[2])
            may_fail = may_fail and not unbounded
    return may_fail


@pytest.mark.parametrize("pattern", redact_patterns.ALL, ids=lambda pattern: pattern.pattern[:24])
def test_pattern_has_the_form_that_is_linear(pattern: re.Pattern[str]) -> None:
    _check_linear(sre_parser.parse(pattern.pattern, pattern.flags))


# A turn made of these alone leaves no trace when it fails.
_PLAIN = frozenset({sre.LITERAL, sre.NOT_LITERAL, sre.IN, sre.ANY, sre.AT, sre.FAILURE})
_NOTHING = repr(sre_parser.parse("(?!)"))


def _can_fail_midway(items: Any) -> bool:
    """Whether a turn of these parsed items may fail after it has left where it began."""
    return any(
        op not in _PLAIN
        and (position or op is not sre.BRANCH or any(map(_can_fail_midway, arg[1])))
        for position, (op, arg) in enumerate(items)
    )


def _check_goes_back(items: Any) -> None:
    """Assert that a possessive group which can fail midway tries what matches nothing last."""
    for op, argument in items:
        if op is sre.POSSESSIVE_REPEAT and _can_fail_midway(argument[2]):
            (only, branches), *more = argument[2]
            assert (only, more) == (sre.BRANCH, []), "it is no choice"
            assert repr(branches[1][-1]) == _NOTHING, "its last choice may leave a trace"
        if op is sre.BRANCH:
            for branch in argument[1]:
                _check_goes_back(branch)
        elif op is sre.SUBPATTERN:
            _check_goes_back(argument[3])
        elif op in {sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT}:
            _check_goes_back(argument[2])


@pytest.mark.parametrize("pattern", redact_patterns.ALL, ids=lambda pattern: pattern.pattern[:24])
def test_pattern_means_the_same_to_every_python(pattern: re.Pattern[str]) -> None:
    _check_goes_back(sre_parser.parse(pattern.pattern, pattern.flags))


@pytest.mark.parametrize(
    "bad", ["(?:a(?!b))*+", "(?:a|:(?!//))*+", "x(?:(?:ab?c)*+)", "(?:ab*c)?+"]
)
def test_check_catches_patterns_that_some_pythons_read_differently(bad: str) -> None:
    with pytest.raises(AssertionError):
        _check_goes_back(sre_parser.parse(bad))


@pytest.mark.parametrize("bad", ["a*b", "(?:a*)*", "a*+b", "(?:x|a*+)b", "a(?=b*)c", "(?:a*+b)?+"])
def test_check_of_the_form_catches_patterns_that_are_not_linear(bad: str) -> None:
    with pytest.raises(AssertionError):
        _check_linear(sre_parser.parse(bad))


@pytest.mark.parametrize(
    "piece",
    ["eyJ", "eyJa.", "://", "://a@", "bearer ", "basic", "?", "?a=", "command=", 'command="', "\\",
     '"', "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "-", "rhp_", "/exec?", "&",
     "hooks.slack.com/", "command=[", 'command=["', "command=['", 'command\\":\\"', 'command\\":[',
     " ", "a", "[redacted]"],
)  # fmt: skip
def test_megabyte_of_any_opening_is_scrubbed(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    assert SECRET not in redact_text(f"{text} rhp_{SECRET}")


@pytest.mark.parametrize(
    "name",
    ["authorization", "Proxy-Authorization", "token", "access_tokens", "PASSWORD", "db_password",
     "client-secret", "Cookie", "Set-Cookie", "apiKey", "x-api-key", "command", "requestURI",
     "request_uri", "pii_salt", "private_key", "credentials", "csrf_token"],
)  # fmt: skip
def test_secret_named_key_hides_its_value(name: str) -> None:
    assert redact_value({name: [SECRET, {"x": SECRET}], "n": 1}) == {name: MASK, "n": 1}


@pytest.mark.parametrize(
    "name",
    ["previous_token_last_used_at", "secret_name", "password_file", "token_id", "action", ""],
)
def test_key_about_a_secret_is_no_secret(name: str) -> None:
    assert not is_secret_name(name)


def test_absence_of_a_secret_can_be_logged() -> None:
    value = {"token": None, "has_token": True, "password": ""}
    assert redact_value(value) == {"token": None, "has_token": True, "password": MASK}


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), noise, words),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(noise | words, inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(json_values)
def test_no_secret_survives_in_nested_values(value: object) -> None:
    scrubbed = redact_value(value)
    assert SECRET not in repr(scrubbed)
    assert redact_value(scrubbed) == scrubbed
    json.dumps(scrubbed)


def test_other_objects_are_scrubbed_as_text() -> None:
    value = {"error": ValueError(f"bad rhp_{SECRET}"), "raw": SECRET.encode(), "tags": {"a"}}
    assert redact_value(value) == {"error": f"bad rhp_{MASK}", "raw": MASK, "tags": ["a"]}


def test_depth_and_number_of_items_are_bounded() -> None:
    cycle: list[object] = []
    cycle.extend([cycle] * 50)
    assert repr(redact_value(cycle)).count("[") <= 2 * MAX_ITEMS
    deep: object = SECRET
    for _ in range(MAX_DEPTH + 1):
        deep = [deep]
    assert SECRET not in repr(redact_value(deep))
    assert redact_value([[1]], max_depth=1) == [MASK]
    assert redact_value(list(range(MAX_ITEMS + 5))) == list(range(MAX_ITEMS))
