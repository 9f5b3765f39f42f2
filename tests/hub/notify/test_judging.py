"""No event of a rule is lost between told, waiting and held back, whatever the rule says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from radar_audit_events.policy_wire import AlertRule, Severity
from radar_audit_hub.notify.finding import Seen
from radar_audit_hub.notify.judging import (
    MAX_COUNTED,
    MAX_GROUPS,
    OTHERS,
    Draft,
    Judge,
    Memory,
    RuleMemory,
    Window,
    strongest,
)
from radar_audit_hub.notify.rules import Place, Route, Rule, RuleSet, make_rule
from radar_audit_hub.notify.windows import quiet_until

from tests.support.log_rows import NOW_MS, make_event

MINUTE_MS = 60_000
PLACE = Place(owner_id="org", cluster_id=None)
BASE: dict[str, Any] = {"name": "shells", "actions": ["pod.*"], "destinations": ["ops"]}


def a_rule(*routes: Route, **asked: Any) -> Rule:
    """Return a rule of terminals; without routes it has one."""
    document = msgspec.convert({**BASE, **asked}, AlertRule)
    return make_rule(document, PLACE, routes or (a_route("ops"),))


def a_route(name: str, **changes: Any) -> Route:
    """Return a way to a destination."""
    return Route(destination_id=f"nd_{name}", name=name, identity=name * 4, **changes)


@dataclass
class Played:
    """A rule that was judged over some steps: what it told, and when."""

    judge: Judge
    told: list[tuple[int, Draft]]

    @property
    def waiting(self) -> int:
        """How many events wait."""
        return sum(window.held.total for window in self.judge.memory.windows.values())

    @property
    def counted(self) -> int:
        """How many are on the way to a threshold."""
        return sum(
            len(times)
            for memory in self.judge.memory.rules.values()
            for times in memory.counted.values()
        )


def copied(memory: Memory) -> Memory:
    """Return the memory as it comes back from the store."""
    return Memory(
        {
            key: msgspec.json.decode(msgspec.json.encode(counts), type=RuleMemory)
            for key, counts in memory.rules.items()
        },
        {
            key: msgspec.json.decode(msgspec.json.encode(window), type=Window)
            for key, window in memory.windows.items()
        },
    )


def play(rule: Rule, steps: list[tuple[int, list[str]]]) -> Played:
    """Judge steps of (milliseconds since the last one, actors of the events) one after another."""
    rules, now_ms, seq = RuleSet((rule,)), NOW_MS, 0
    memory = Memory()
    lost, below, told = Judge(rules, memory, now_ms), 0, []
    for pause_ms, actors in steps:
        now_ms += pause_ms
        judge = Judge(rules, copied(memory), now_ms)
        judge.flush()
        for actor in actors:
            event = make_event(seq, actor_user_id=actor)
            judge.take(rule, Seen(event, seq, now_ms))
            seq += 1
        told += [(now_ms, draft) for draft in judge.drafts]
        memory = judge.memory
        lost.lost.update(judge.lost)
        below += judge.below_threshold
    lost.memory, lost.below_threshold = memory, below
    return Played(lost, told)


shapes = st.fixed_dictionaries(
    {},
    optional={
        "threshold": st.fixed_dictionaries(
            {
                "count": st.integers(1, 4),
                "within_seconds": st.sampled_from([60, 600]),
                "by": st.sampled_from(["rule", "actor", "namespace"]),
            }
        ),
        "grouping": st.fixed_dictionaries(
            {"by": st.sampled_from(["actor", "rule"]), "wait_seconds": st.sampled_from([30, 300])}
        ),
        "throttle": st.fixed_dictionaries(
            {"max": st.integers(1, 3), "per_seconds": st.sampled_from([60, 3600])}
        ),
        "quiet_hours": st.sampled_from(
            [{"from_time": "22:00", "to_time": "06:00"}, {"from_time": "00:00", "to_time": "23:00"}]
        ),
        "digest_seconds": st.sampled_from([60, 3600]),
        "severity": st.sampled_from(["info", "critical"]),
    },
).map(
    lambda found: (
        {k: v for k, v in found.items() if k != "digest_seconds"}
        if ("throttle" in found or "grouping" in found)
        else found
    )
)
steps_of = st.lists(
    st.tuples(
        st.sampled_from([0, 500, 30_000, 61_000, 20 * MINUTE_MS, 9 * 60 * MINUTE_MS]),
        st.lists(st.sampled_from(["user_a", "user_b"]), max_size=6),
    ),
    max_size=12,
)


@given(shapes, steps_of)
@settings(max_examples=150)
def test_told_waiting_and_held_back_are_all_that_was_selected(
    shape: dict[str, Any], steps: list[tuple[int, list[str]]]
) -> None:
    played = play(a_rule(**shape), steps)
    selected = sum(len(actors) for _, actors in steps)
    told = sum(draft.gathered.total for _, draft in played.told)
    assert told + played.waiting + played.counted + played.judge.below_threshold == selected
    assert not played.judge.lost.total()
    seqs = [seq for _, draft in played.told for seq in draft.gathered.seqs]
    assert len(seqs) == len(set(seqs))


@given(shapes, steps_of)
@settings(max_examples=60)
def test_what_waits_is_told_in_the_end(
    shape: dict[str, Any], steps: list[tuple[int, list[str]]]
) -> None:
    hours: list[tuple[int, list[str]]] = [(60 * MINUTE_MS, [])] * 30
    played = play(a_rule(**shape), [*steps, *hours])
    assert played.waiting == 0


@given(shapes, steps_of)
@settings(max_examples=60)
def test_nothing_but_what_is_critical_goes_out_in_quiet_hours(
    shape: dict[str, Any], steps: list[tuple[int, list[str]]]
) -> None:
    rule = a_rule(**shape)
    for at_ms, _ in play(rule, steps).told:
        assert rule.severity == "critical" or quiet_until(rule.quiet, at_ms) is None


@given(shapes, steps_of)
@settings(max_examples=60)
def test_throttle_lets_no_more_pass_in_its_time(
    shape: dict[str, Any], steps: list[tuple[int, list[str]]]
) -> None:
    limit = {"max": 2, "per_seconds": 600}
    shape = {k: v for k, v in shape.items() if k != "digest_seconds"}
    told = play(a_rule(**{**shape, "throttle": limit}), steps).told
    prompt = [at for at, draft in told if draft.cause in ("event", "threshold", "group")]
    for at in prompt:
        assert sum(1 for other in prompt if at - 600_000 < other <= at) <= 2


def seen(number: int, **changes: Any) -> Seen:
    """Return an event that is committed now."""
    return Seen(make_event(number, **changes), number, NOW_MS)


def test_threshold_counts_each_group_apart_and_begins_anew() -> None:
    rule = a_rule(threshold={"count": 2, "within_seconds": 60, "by": "actor"})
    played = play(rule, [(0, ["user_a", "user_b"]), (1000, ["user_a"]), (1000, ["user_a"])])
    assert [draft.gathered.seqs for _, draft in played.told] == [(0, 2)]
    assert played.counted == 2


def test_threshold_forgets_what_is_older_than_its_time() -> None:
    rule = a_rule(threshold={"count": 2, "within_seconds": 60, "by": "rule"})
    played = play(rule, [(0, ["user_a"]), (61_000, ["user_a"])])
    assert (played.told, played.counted, played.judge.below_threshold) == ([], 1, 1)


def test_groups_beyond_the_bound_are_one() -> None:
    rule = a_rule(grouping={"by": "actor", "wait_seconds": 60})
    played = play(rule, [(0, [f"user_{n}" for n in range(MAX_GROUPS + 50)])])
    keys = [key.key for key in played.judge.memory.windows]
    assert len(keys) == MAX_GROUPS + 1
    assert played.waiting == MAX_GROUPS + 50
    assert OTHERS in keys


def test_counts_beyond_the_bound_are_one() -> None:
    rule = a_rule(threshold={"count": 1000, "within_seconds": 60, "by": "actor"})
    played = play(rule, [(0, [f"user_{n}" for n in range(MAX_GROUPS + 50)])])
    counted = played.judge.memory.rules[rule.key].counted
    assert (len(counted), len(counted[OTHERS])) == (MAX_GROUPS + 1, 50)


def test_groups_that_are_long_over_make_room() -> None:
    rule = a_rule(threshold={"count": 1000, "within_seconds": 60, "by": "actor"})
    many = [f"user_{n}" for n in range(MAX_GROUPS)]
    played = play(rule, [(0, many), (61_000, ["user_new"])])
    assert list(played.judge.memory.rules[rule.key].counted) == ["user_new"]
    assert played.judge.below_threshold == MAX_GROUPS


def test_what_a_threshold_counts_is_bounded_over_all_its_groups() -> None:
    rule = a_rule(threshold={"count": 10_000, "within_seconds": 86_400, "by": "target"})
    counted = {f"t{g}": [(NOW_MS + g, n) for n in range(9_000)] for g in range(3)}
    memory = Memory({rule.key: RuleMemory(counted=counted)})
    judge = Judge(RuleSet((rule,)), memory, NOW_MS)
    for number in range(MAX_COUNTED // MAX_GROUPS + 1):
        judge.take(rule, seen(number, target_id="t2"))
    assert sorted(counted) == ["t1", "t2"]
    assert sum(map(len, counted.values())) <= MAX_COUNTED
    assert judge.below_threshold == 9_000


class _Counted(list[Any]):
    """Counted events that count how often one of them is looked at."""

    looks = 0

    def __getitem__(self, place: Any) -> Any:
        self.looks += 1
        return super().__getitem__(place)

    def __iter__(self) -> Iterator[Any]:
        self.looks += len(self)
        return super().__iter__()


def test_an_event_is_not_compared_with_all_that_were_counted_before_it() -> None:
    rule = a_rule(threshold={"count": 10_000, "within_seconds": 86_400})
    before = _Counted((NOW_MS, number) for number in range(9_000))
    before.looks = 0
    memory = Memory({rule.key: RuleMemory(counted={"": before})})
    judge = Judge(RuleSet((rule,)), memory, NOW_MS)
    for number in range(500):
        judge.take(rule, seen(number))
    assert memory.rules[rule.key].counted[""] == [
        *((NOW_MS, number) for number in range(9_000)),
        *((NOW_MS, number) for number in range(500)),
    ]
    assert before.looks <= 1_000


def test_a_throttle_goes_through_what_it_let_pass_once_a_step() -> None:
    rule = a_rule(throttle={"max": 1000, "per_seconds": 3600})
    sent = _Counted([NOW_MS] * 999)
    memory = Memory({rule.key: RuleMemory(sent={"nd_ops": sent})})
    judge = Judge(RuleSet((rule,)), memory, NOW_MS)
    for number in range(500):
        judge.take(rule, seen(number))
    assert len(judge.drafts) == 1
    assert judge.suppressed == {"nd_ops": 499}
    assert sent.looks == 999
    assert memory.rules[rule.key].sent["nd_ops"] == [NOW_MS] * 1000


def test_destination_that_is_muted_meanwhile_is_told_no_digest() -> None:
    open_rule = a_rule(digest_seconds=3600)
    judge = Judge(RuleSet((open_rule,)), Memory(), NOW_MS)
    judge.take(open_rule, seen(1))
    muted = a_rule(a_route("ops", muted_until_ms=2 * NOW_MS), digest_seconds=3600)
    later = Judge(RuleSet((muted,)), judge.memory, NOW_MS + 3_600_000)
    later.flush()
    assert (later.drafts, later.lost["muted"]) == ([], 1)


def test_most_severe_of_two_rules_tells_a_receiver() -> None:
    def a_draft(severity: Severity, owner: str) -> Draft:
        place = Place(owner_id=owner, cluster_id=None)
        document = msgspec.convert({**BASE, "severity": severity}, AlertRule)
        rule = make_rule(document, place, [a_route("ops")])
        judge = Judge(RuleSet((rule,)), Memory(), NOW_MS)
        judge.take(rule, seen(1))
        return judge.drafts[0]

    drafts = [a_draft("info", "a"), a_draft("critical", "b"), a_draft("warning", "c")]
    assert strongest(drafts) == [drafts[1]]
