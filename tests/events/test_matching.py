"""What each key of the query language finds in an event."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from radar_audit_events.actions import ACTIONS
from radar_audit_events.event import Event
from radar_audit_events.ids import event_id, parse_ms
from radar_audit_events.matching import expand_action, matches
from radar_audit_events.query import VALUE_KEYS, Created, Query, Term, Value, parse

TIME = parse_ms("2026-11-24T10:00:00.123Z")
EXEC = Event(
    id=event_id(TIME, bytes(range(10))),
    org_id="org_x",
    action="pod.exec_started",
    target_type="pod",
    target_id="cl_1/payments/api-0",
    created_at_ms=TIME,
    actor_user_id="user_alice",
    actor_email="alice@acme.com",
    cluster_id="cl_1",
    metadata={
        "cluster_id": "cl_1",
        "cluster_name": "prod",
        "namespace": "payments",
        "pod": "api-0",
        "session_id": "s-77",
        "container": None,
        "via_pat": "ci-bot",
    },
)
CLUSTER = Event(
    id=event_id(TIME + 1, bytes(10)),
    org_id="org_x",
    action="cluster.updated",
    target_type="cluster",
    target_id="cl_2",
    created_at_ms=TIME + 1,
    metadata={
        "name": "staging",
        "changes": {"labels": ["Café", {"tier": "Gold", "size": 4096}], "public": [False, True]},
    },
)


def _found(text: str, event: Event = EXEC) -> bool:
    return matches(parse(text), event)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "action:pod.exec_started",
        "action:pod.*",
        "action:EXEC",
        "action:*",
        "action:cluster.created,exec",
        "type:pod",
        "type:po*",
        "actor:alice@acme.com",
        "actor:ALICE@Acme.com",
        "actor:Alice*",
        "actor:user_alice",
        "actor:user_a*",
        "actor:*",
        'target:"cl_1/payments/api-0"',
        "target:cl_1/payments/*",
        "target:*",
        "cluster:cl_1",
        "cluster:prod",
        "cluster:pr*",
        "cluster:*",
        "namespace:payments",
        "namespace:pay*",
        "namespace:other,payments",
        "pod:api-0",
        "session:s-77",
        "session:s-*",
        "via_pat:*",
        "via_pat:ci-bot",
        "-role:*",
        "-container:*",
        f"id:{EXEC.id}",
        "id:ae_*",
        "created:2026-11-24",
        "created:2026-11-24T10:00:00.123Z",
        "-created:>2026-11-24T10:00:00.123Z",
        "PAYMENTS",
        "exec_",
        "user_AL",
        '"@acme"',
        "action:pod.* namespace:pay* prod",
    ],
)
def test_event_is_found(text: str) -> None:
    assert _found(text)


@pytest.mark.parametrize(
    "text",
    [
        "-action:*",
        "action:pod.exec_ended",
        "action:nonsense",
        "action:exec*",
        "type:po",
        "type:Pod",
        "actor:alice",
        "actor:user_ALICE",
        "actor:User_a*",
        "actor:user_alice2",
        "target:cl_1",
        "cluster:Prod",
        "cluster:cl_*,-x -pod:api-0",
        "namespace:Payments",
        "namespace:pay",
        "container:*",
        'container:""',
        "role:owner",
        "session:77",
        "id:ae_",
        "created:<2026-11-24T10:00:00.123Z",
        "created:>2026-11-24T10:00:00.123Z",
        "created:2026-11-25",
        "cluster_name",
        "-payments",
        "pod:api-0 pod:api-1",
    ],
)
def test_event_is_not_found(text: str) -> None:
    assert not _found(text)


def test_cluster_is_found_by_its_target_and_its_name() -> None:
    assert _found("cluster:cl_2", CLUSTER)
    assert _found("cluster:staging", CLUSTER)
    renamed = msgspec.structs.replace(CLUSTER, target_type="org")
    assert not _found("cluster:cl_2", renamed)
    assert not _found("cluster:staging", renamed)
    assert not _found("cluster:*", renamed)


def test_actor_is_absent_where_nobody_acted() -> None:
    assert _found("-actor:*", CLUSTER)
    assert not _found('actor:""', CLUSTER)


def test_user_known_only_by_id_is_present() -> None:
    assert _found("actor:*", msgspec.structs.replace(EXEC, actor_email=None))


@pytest.mark.parametrize("text", ["gold", "4096", "409", '"caf"', '"Café"', "Staging"])
def test_free_text_reaches_leaves_at_any_depth(text: str) -> None:
    assert _found(text, CLUSTER)


@pytest.mark.parametrize("text", ["tier", "true", "false", '"CAFÉ"', "name", "cl_22"])
def test_free_text_leaves_out_keys_booleans_and_other_alphabets_case(text: str) -> None:
    assert not _found(text, CLUSTER)


def test_metadata_that_is_no_text_is_present_but_equals_nothing() -> None:
    event = msgspec.structs.replace(EXEC, metadata={"role": 5, "namespace": False})
    assert _found("role:* namespace:*", event)
    assert not _found("role:5", event)
    assert not _found('namespace:False,f*,""', event)


def test_action_text_expands_to_known_names_only() -> None:
    assert expand_action(Value("org.created")) == {"org.created"}
    assert expand_action(Value("pod.", prefix=True)) == {"pod.exec_started", "pod.exec_ended"}
    assert expand_action(Value("ToKeN")) == {n for n in ACTIONS if "token" in n}
    assert expand_action(Value("Pod.Exec_Started")) == {"pod.exec_started"}
    assert expand_action(Value("no such")) == frozenset()
    assert expand_action(Value("", prefix=True)) == frozenset(ACTIONS)


alphabet = st.sampled_from(["a", "A", "b", "é", "É", "İ", "_", "user_", "@", "1", "pod", "."])
words = st.lists(alphabet, max_size=4).map("".join)
leaves: st.SearchStrategy[Any] = st.one_of(
    words, st.integers(-20, 20), st.booleans(), st.none(), st.lists(words, max_size=2)
)
events = st.builds(
    Event,
    id=st.just(EXEC.id),
    org_id=st.just("org_x"),
    action=st.sampled_from(sorted(ACTIONS)),
    target_type=st.sampled_from(["pod", "cluster", "org"]),
    target_id=words,
    created_at_ms=st.integers(0, 50),
    actor_user_id=st.none() | words,
    actor_email=st.none() | words.map(str.lower),
    cluster_id=st.none() | words,
    metadata=st.dictionaries(
        st.sampled_from(["namespace", "role", "name", "cluster_name", "session_id", "x"]), leaves
    ),
)
values = st.builds(Value, words, st.booleans())
key_terms = st.builds(
    lambda key, items: Term(key, tuple(items)),
    st.sampled_from(VALUE_KEYS),
    st.lists(values, min_size=1, max_size=3),
)
terms = st.one_of(
    key_terms,
    words.filter(bool).map(lambda text: Term(None, (Value(text),))),
    st.integers(0, 50).map(lambda start: Created(start, start + 5)),
)


def _alone(term: Term | Created) -> Query:
    return Query((term,))


@given(terms, events)
def test_negation_finds_exactly_the_rest(term: Term | Created, event: Event) -> None:
    negated = (
        Created(term.from_ms, term.to_ms, negated=True)
        if isinstance(term, Created)
        else Term(term.key, term.values, negated=True)
    )
    assert matches(_alone(term), event) != matches(_alone(negated), event)


@given(st.lists(terms, max_size=4), events)
def test_terms_must_all_hold(items: list[Term | Created], event: Event) -> None:
    assert matches(Query(tuple(items)), event) == all(matches(_alone(t), event) for t in items)


@given(key_terms, events)
def test_values_of_a_term_are_alternatives(term: Term, event: Event) -> None:
    alternatives = [_alone(Term(term.key, (value,))) for value in term.values]
    assert matches(_alone(term), event) == any(matches(query, event) for query in alternatives)


@given(st.sampled_from(VALUE_KEYS), words, events)
def test_what_equals_a_value_also_begins_with_it_and_is_present(
    key: str, text: str, event: Event
) -> None:
    if key != "action" and matches(_alone(Term(key, (Value(text),))), event):
        assert matches(_alone(Term(key, (Value(text, prefix=True),))), event)
        assert matches(_alone(Term(key, (Value("", prefix=True),))), event)
