"""Queries and events of all forms, for tests that hold two readings of the language together."""

from __future__ import annotations

from hypothesis import strategies as st
from radar_audit_events.event import Event
from radar_audit_events.query import VALUE_KEYS, Created, Query, Term, Value

from tests.support.log_rows import DAY_MS, METADATA, NOW_MS, make_event

_WORDS = (
    "payments",
    "pay-2",
    'quo"te',
    "back\\slash",
    "Ünïcode ÄÖ",
    "100%_x",
    "prod",
    "Prod",
    "cl_1",
    "cl_2",
    "alice@acme.com",
    "Alice@Acme.com",
    "user_alice",
    "carol",
    "web-1",
    "s-1",
    "ci",
    "member",
    "pod.exec_started",
    "pod.",
    "token",
    "cluster",
    "org",
    "1554",
    "true",
    "x",
)
_ACTORS = (
    ("user_alice", "alice@acme.com"),
    ("user_bob", None),
    (None, "bob@acme.com"),
    ("user_eve", "user_eve@acme.com"),
    ("carol", None),
    (None, None),
)
_KEYS_OF_METADATA = (
    "namespace",
    "pod",
    "cluster_name",
    "session_id",
    "container",
    "via_pat",
    "role",
)


def _value(word: str, prefix: bool) -> Value:
    return Value(word, prefix)


_values = st.one_of(
    st.builds(_value, st.sampled_from(_WORDS), st.booleans()), st.just(Value("", prefix=True))
)
_keyed = st.builds(
    Term,
    st.sampled_from(VALUE_KEYS),
    st.lists(_values, min_size=1, max_size=3).map(tuple),
    st.booleans(),
)
_free = st.builds(
    lambda word, negated: Term(None, (Value(word),), negated),
    st.sampled_from(_WORDS),
    st.booleans(),
)
_instants = st.integers(NOW_MS - DAY_MS, NOW_MS + DAY_MS)
_created = st.one_of(
    st.builds(Created, _instants, st.none(), st.booleans()),
    st.builds(Created, st.none(), _instants, st.booleans()),
    st.builds(lambda low: Created(low, low + DAY_MS // 2), _instants),
)
queries: st.SearchStrategy[Query] = st.lists(
    st.one_of(_keyed, _keyed, _free, _created), max_size=4
).map(lambda terms: Query(tuple(terms)))


@st.composite
def events(draw: st.DrawFn) -> Event:
    """An event of any action, with actors and metadata that the queries' words meet."""
    action = draw(st.sampled_from(sorted(METADATA)))
    names = [name for name in _KEYS_OF_METADATA if name in METADATA[action]]
    changes = (
        {name: draw(st.sampled_from(_WORDS)) for name in draw(st.sets(st.sampled_from(names)))}
        if names
        else {}
    )
    if draw(st.booleans()):
        changes["via_pat"] = draw(st.sampled_from(_WORDS))
    user_id, email = draw(st.sampled_from(_ACTORS))
    return make_event(
        draw(st.integers(0, 10**6)),
        action=action,
        created_at_ms=draw(_instants),
        metadata=changes,
        actor_user_id=user_id,
        actor_email=email,
        cluster_id=draw(st.sampled_from(["cl_1", "cl_2", None])),
    )
