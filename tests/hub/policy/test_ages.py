"""Which age counts, and that nothing is deleted early: the rules without a hub."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from radar_audit_events.policy_wire import AgeOverride, ClusterOverrides, RetentionSettings
from radar_audit_hub.policy.ages import Hours, Wanted, next_ages
from radar_audit_hub.retention.in_force import HOUR_MS, Age, InForce
from radar_audit_hub.retention.policy import DAY_MS, floors

NOW_MS = 1_795_000_000_000
DELAY_MS = 24 * HOUR_MS
CEILING = 365 * 24
ACTIONS = ("pod.exec_started", "pod.exec_ended", "pat.created", "org.created")


def asks(
    hours: Hours = None,
    *overrides: tuple[str, int],
    clusters: ClusterOverrides | None = None,
) -> RetentionSettings:
    return RetentionSettings(
        max_age_hours=hours,
        cluster_overrides=clusters,
        overrides=[
            AgeOverride(name=f"o{n}", actions=[pattern], max_age_hours=age)
            for n, (pattern, age) in enumerate(overrides)
        ],
    )


@pytest.mark.parametrize(
    ("org", "cluster", "action", "hours"),
    [
        (None, None, None, None),
        (asks(100), None, None, 100),
        (asks(100), None, "pat.created", 100),
        (asks(100, ("pat.*", 50)), None, "pat.created", 50),
        (asks(100, ("pat.*", 50), ("pat.created", 70)), None, "pat.created", 70),
        (asks(100, ("pat.created", 30), ("pat.*", 90)), None, "pat.created", 30),
        (asks(100, ("*", 90), ("pat.*", 50)), None, "pat.created", 50),
        (asks(100, ("*", 90)), None, None, 100),
        (None, asks(60), None, 60),
        (asks(100), asks(60), None, 100),
        (asks(100), asks(160), None, 160),
        (asks(100, clusters="any"), asks(60), None, 60),
        (asks(100, clusters="none"), asks(160), None, 100),
        (asks(None, clusters="longer"), asks(160), None, None),
        (asks(100, ("pat.*", 200), clusters="any"), asks(60), "pat.created", 200),
        (asks(100, ("pat.*", 200), clusters="any"), asks(60, ("pat.*", 70)), "pat.created", 70),
        (asks(100, ("pat.*", 200)), asks(60, ("pat.*", 70)), "pat.created", 200),
    ],
)
def test_override_goes_before_cluster_before_org_before_plan(
    org: RetentionSettings | None,
    cluster: RetentionSettings | None,
    action: str | None,
    hours: Hours,
) -> None:
    wanted = Wanted(org, {} if cluster is None else {"cl_1": cluster})
    assert wanted.hours("cl_1", action) == hours


def step(ages: tuple[Age, ...], wanted: Wanted, now_ms: int = NOW_MS) -> tuple[Age, ...]:
    return next_ages(ages, wanted, now_ms=now_ms, delay_ms=DELAY_MS, ceiling_hours=CEILING)


def test_longer_age_counts_at_once_and_a_shorter_one_after_the_delay() -> None:
    ages = step((), Wanted(asks(48), {}))
    assert ages == (Age(hours=None, next_hours=48, due_ms=NOW_MS + DELAY_MS),)
    assert step(ages, Wanted(asks(48), {}), NOW_MS + HOUR_MS) == ages, "asked again: the same"
    assert ages[0].hours_at(NOW_MS + DELAY_MS - 1) is None
    assert ages[0].hours_at(NOW_MS + DELAY_MS) == 48
    later = step(ages, Wanted(asks(72), {}), NOW_MS + 2 * DELAY_MS)
    assert later == (Age(hours=72),)


def test_going_back_cancels_and_still_shorter_waits_anew() -> None:
    ages = step((), Wanted(asks(48), {}))
    assert step(ages, Wanted(None, {}), NOW_MS + HOUR_MS) == ()
    shorter = step(ages, Wanted(asks(24), {}), NOW_MS + HOUR_MS)
    assert shorter == (Age(hours=None, next_hours=24, due_ms=NOW_MS + HOUR_MS + DELAY_MS),)
    relaxed = step(ages, Wanted(asks(60), {}), NOW_MS + HOUR_MS)
    assert relaxed == (Age(hours=None, next_hours=60, due_ms=NOW_MS + DELAY_MS),)


def test_what_the_plan_cuts_anyway_does_not_wait() -> None:
    assert step((), Wanted(asks(CEILING), {})) == (Age(hours=CEILING),)
    assert step((), Wanted(asks(CEILING * 2), {})) == (Age(hours=CEILING * 2),)


def test_end_of_a_cluster_that_kept_longer_waits() -> None:
    ages = step((), Wanted(asks(CEILING), {"cl_1": asks(CEILING * 2)}))
    ages = next_ages(
        ages, Wanted(asks(48), {"cl_1": asks(96)}), now_ms=NOW_MS, delay_ms=0, ceiling_hours=CEILING
    )
    assert ages == (Age(hours=48), Age(cluster_id="cl_1", hours=96))
    gone = step(ages, Wanted(asks(48), {}))
    assert gone == (
        Age(hours=48),
        Age(cluster_id="cl_1", hours=96, next_hours=48, due_ms=NOW_MS + DELAY_MS),
    )
    assert step(gone, Wanted(asks(48), {}), NOW_MS + DELAY_MS) == (Age(hours=48),)


def test_cluster_with_its_own_age_has_the_org_s_overrides_too() -> None:
    wanted = Wanted(asks(100, ("pat.*", 400)), {"cl_1": asks(200)})
    ages = next_ages((), wanted, now_ms=NOW_MS, delay_ms=0, ceiling_hours=CEILING)
    found = floors("enterprise", NOW_MS, InForce(ages=ages))
    for cluster, action, hours in (
        (None, "org.created", 100),
        (None, "pat.created", 400),
        ("cl_2", "pat.created", 400),
        ("cl_1", "org.created", 200),
        ("cl_1", "pat.created", 400),
    ):
        assert NOW_MS - found.floor_for(action, cluster) == hours * HOUR_MS, (cluster, action)


AGES = st.none() | st.integers(24, 2 * CEILING)
SETTINGS = st.builds(
    lambda hours, overrides, rule: asks(hours, *overrides, clusters=rule),
    AGES,
    st.lists(
        st.tuples(st.sampled_from(["*", "pod.*", *ACTIONS]), st.integers(24, 2 * CEILING)),
        max_size=3,
    ),
    st.sampled_from([None, "none", "longer", "any"]),
)
WANTED = st.builds(
    Wanted,
    st.none() | SETTINGS,
    st.dictionaries(st.sampled_from(["cl_1", "cl_2"]), SETTINGS, max_size=2),
)
STEPS = st.lists(st.tuples(WANTED, st.integers(0, 3 * DELAY_MS)), min_size=1, max_size=6)


def effective(ages: tuple[Age, ...], cluster: str | None, action: str, now_ms: int) -> int:
    found = floors("enterprise", now_ms, InForce(ages=ages))
    return (now_ms - found.floor_for(action, cluster)) // HOUR_MS


def asked(wanted: Wanted, cluster: str | None, action: str) -> int:
    hours = wanted.hours(cluster, action)
    return CEILING if hours is None else min(hours, CEILING)


@given(STEPS)
def test_no_age_is_shorter_than_every_wish_as_old_as_the_delay(
    steps: list[tuple[Wanted, int]],
) -> None:
    ages: tuple[Age, ...] = ()
    now_ms = NOW_MS
    wishes = [(0, Wanted(None, {}))]
    for wanted, pause_ms in steps:
        wishes.append((now_ms, wanted))
        ages = step(ages, wanted, now_ms)
        assert step(ages, wanted, now_ms) == ages, "the same again changes nothing"
        now_ms += pause_ms
        old = [wish for since_ms, wish in wishes if since_ms <= now_ms - DELAY_MS]
        for cluster in (None, "cl_1", "cl_2", "cl_3"):
            for action in ACTIONS:
                kept = effective(ages, cluster, action, now_ms)
                assert kept >= min(asked(wish, cluster, action) for wish in old)
                assert kept >= asked(wanted, cluster, action)
                if pause_ms >= DELAY_MS:
                    assert kept == asked(wanted, cluster, action)


def test_days_of_the_plan_are_hours() -> None:
    assert CEILING * HOUR_MS == 365 * DAY_MS
