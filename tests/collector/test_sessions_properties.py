"""Pairing under any order, repetition and crash: the rows are always the same."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import example, given, settings
from hypothesis import strategies as st
from radar_audit_collector.sessions import Sessions

from tests.support.audit_lines import audit_line
from tests.support.pairing import NOW_MS, Journal, Row

SHAPES = (
    *("pair", "no_start", "no_end", "panic", "panic_alone"),
    *("get", "post", "get_and_post", "not_terminal", "kubectl"),
)
SETTLED_MS = NOW_MS + 2_000


def lines_of(number: int, shape: str, received: float) -> list[bytes]:
    """Return the lines of one request (or a refused one and its retry), in the order written."""
    audit_id = f"audit-{number}"
    base = {"received": received, "pod": f"pod-{number % 3}"}
    started = audit_line(audit_id, **base)
    complete = audit_line(audit_id, "ResponseComplete", after=1.5, **base)
    panic = audit_line(audit_id, "Panic", 500, after=0.5, **base)
    asked = audit_line(audit_id, "RequestReceived", None, person=None, after=0.0, **base)

    def refusal(verb: str, name: str, later: float) -> list[bytes]:
        changes = {**base, "received": received + later, "verb": verb, "code": 403}
        stages = (("ResponseStarted", 0.001), ("ResponseComplete", 0.002))
        return [audit_line(name, stage, after=after, **changes) for stage, after in stages]

    return {
        "pair": [asked, started, complete],
        "no_start": [complete],
        "no_end": [asked, started],
        "panic": [started, panic],
        "panic_alone": [panic],
        "get": refusal("get", audit_id, 0.0),
        "post": refusal("create", audit_id, 0.0),
        "get_and_post": [
            *refusal("get", audit_id, 0.0),
            *refusal("create", f"{audit_id}-retry", 0.006),
        ],
        "not_terminal": [audit_line(audit_id, query="stdout=true", **base)],
        "kubectl": [audit_line(audit_id, principal="admin", person=None, **base)],
    }[shape]


@st.composite
def logs(draw: st.DrawFn) -> list[bytes]:
    """Draw the lines of some requests, as one API server writes them."""
    shapes = draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=6))
    # Near enough to one another that retries may meet the wrong request.
    gaps = draw(st.lists(st.integers(1, 30), min_size=len(shapes), max_size=len(shapes)))
    received = 0.0
    lines: list[bytes] = []
    for number, (shape, gap) in enumerate(zip(shapes, gaps, strict=True)):
        received += gap / 10
        lines.extend(lines_of(number, shape, received))
    return lines


def in_order(log: list[bytes]) -> Journal:
    return Journal().feed(log).tick(SETTLED_MS)


def facts(rows: list[Row]) -> Counter[tuple[str, str]]:
    return Counter((session_id, kind) for session_id, kind, *_ in rows)


@given(logs(), st.randoms(use_true_random=False), st.integers(0, 10))
@settings(max_examples=300)
def test_shuffled_and_doubled_lines_give_the_rows_of_the_log(
    log: list[bytes], chance: random.Random, doubles: int
) -> None:
    sent = [*log, *(chance.choice(log) for _ in range(doubles))]
    chance.shuffle(sent)
    assert Journal().feed(sent).tick(SETTLED_MS).rows() == in_order(log).rows()


@given(logs(), st.randoms(use_true_random=False))
@settings(max_examples=150)
def test_no_fact_is_told_twice_however_late_a_line_comes(
    log: list[bytes], chance: random.Random
) -> None:
    sent = log * 2
    chance.shuffle(sent)
    journal = Journal()
    now_ms = NOW_MS
    for line in sent:
        now_ms += chance.choice((0, 500, 2_500, 60_000))
        journal.feed([line], now_ms).tick(now_ms)
    rows = journal.tick(now_ms + 2_000).rows()
    assert set(facts(rows).values()) <= {1}
    # What is known of a session never gets less: each that has a row in order has one here,
    # save that a POST which was let go alone may stand for its GET.
    missing = {sid for sid, kind in facts(in_order(log).rows()) if kind != "denied"}
    assert missing <= {sid for sid, _ in facts(rows)}


@given(logs(), st.randoms(use_true_random=False), st.lists(st.booleans(), max_size=40))
@settings(max_examples=200)
def test_crash_before_or_after_any_write_changes_no_row(
    log: list[bytes], chance: random.Random, crashes: list[bool]
) -> None:
    sent = [*log, *log[: len(log) // 2]]
    chance.shuffle(sent)
    journal = Journal()
    plan = iter(crashes)
    for line in sent:
        step = journal.step(line)
        if next(plan, False):
            journal.crash()  # the step was not durable: the line is read again
            step = journal.step(line)
        journal.store(step)
        if next(plan, False):
            journal.crash()  # durable, but perhaps not acknowledged: read again
            journal.feed([line])
    journal.crash()
    assert journal.tick(SETTLED_MS).rows() == in_order(log).rows()


@given(logs(), st.integers(0, 30))
@settings(max_examples=150)
def test_replay_from_an_older_checkpoint_gives_the_same_events(log: list[bytes], at: int) -> None:
    at = min(at, len(log))
    first = Journal().feed(log[:at])
    state, told = dict(first.state), len(first.events)
    first.feed(log[at:]).tick(SETTLED_MS)
    again = Journal(state=state).feed(log[at:], NOW_MS + 60_000).tick(SETTLED_MS + 60_000)
    assert again.events == first.events[told:]


@given(logs(), st.randoms(use_true_random=False))
@settings(max_examples=100)
def test_memory_equals_the_durable_state_after_every_step(
    log: list[bytes], chance: random.Random
) -> None:
    sent = log * 2
    chance.shuffle(sent)
    journal = Journal()
    for number, line in enumerate(sent):
        journal.feed([line])
        if number % 4 == 3:
            journal.tick(NOW_MS + number * 300)
        rebuilt = Sessions(journal.state, journal.limits)
        memory = journal.sessions
        assert dict(rebuilt._table.items()) == dict(memory._table.items())
        assert rebuilt._table._counts == memory._table._counts
        assert rebuilt._denials._gets == memory._denials._gets
        assert rebuilt._denials._posts == memory._denials._posts
        assert sorted(rebuilt.open_session_ids()) == sorted(memory.open_session_ids())
    later_ms = NOW_MS + 60 * 86_400_000
    journal.tick(later_ms).tick(later_ms * 2)
    assert journal.state == {}
    assert journal.sessions._denials._gets == journal.sessions._denials._posts == {}


@given(st.randoms(use_true_random=False))
@settings(max_examples=20)
@example(random.Random(0))
def test_a_flood_of_refusals_keeps_one_row_for_each_attempt(chance: random.Random) -> None:
    log = [line for n in range(40) for line in lines_of(n * 3, "get_and_post", n / 100)]
    chance.shuffle(log)
    rows = Journal().feed(log).tick(SETTLED_MS).rows()
    assert facts(rows) == Counter({(f"audit-{n * 3}", "denied"): 1 for n in range(40)})
