"""Who holds a key, and who is released: the rules without a hub."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from radar_audit_hub.policy.claims import MISSING_MS, Census, Claim, Known, Takeover, census, holder

NOW_MS = 1_795_000_000_000
OLD, NEW = Claim(owner_id="k8s:b", created_at_ms=1), Claim(owner_id="k8s:a", created_at_ms=2)


def test_present_holder_stays_and_a_free_key_goes_to_the_oldest() -> None:
    assert holder(None, [NEW, OLD]) == OLD.owner_id
    assert holder(NEW.owner_id, [NEW, OLD]) == NEW.owner_id
    assert holder("k8s:gone", [NEW, OLD]) == OLD.owner_id
    assert holder(NEW.owner_id, []) is None
    same_age = Claim(owner_id="k8s:c", created_at_ms=1)
    assert holder(None, [same_age, OLD]) == OLD.owner_id


@pytest.mark.parametrize(
    ("named", "winner"), [(OLD.owner_id, NEW.owner_id), ("k8s:other", OLD.owner_id)]
)
def test_key_moves_only_by_naming_its_exact_holder(named: str, winner: str) -> None:
    takeover = Takeover(owner_id=NEW.owner_id, holder_id=named)
    assert holder(OLD.owner_id, [NEW, OLD], takeover) == winner


def test_takeover_by_somebody_without_a_claim_is_none() -> None:
    takeover = Takeover(owner_id="k8s:nobody", holder_id=OLD.owner_id)
    assert holder(OLD.owner_id, [OLD, NEW], takeover) == OLD.owner_id


CLAIMS = st.lists(
    st.builds(
        Claim,
        owner_id=st.sampled_from(["k8s:a", "k8s:b", "k8s:c"]),
        created_at_ms=st.integers(1, 3),
    ),
    max_size=3,
    unique_by=lambda claim: claim.owner_id,
)


@given(CLAIMS, st.sampled_from([None, "k8s:a", "k8s:d"]))
def test_order_of_the_claims_decides_nothing(claims: list[Claim], present: str | None) -> None:
    found = {holder(present, list(order)) for order in itertools.permutations(claims)}
    assert len(found) == 1
    (one,) = found
    assert (one is None) == (not claims)
    assert holder(one, claims) == one, "a second look moves nothing"


def known(*missing: int | None) -> list[Known]:
    return [
        Known(owner_id=f"k8s:{n}", missing_since_ms=None if age is None else NOW_MS - age)
        for n, age in enumerate(missing)
    ]


def look(owners: list[Known], *live: int, complete: bool = True, agreed: bool = False) -> Census:
    names = {f"k8s:{n}" for n in live}
    return census(owners, names, is_complete=complete, now_ms=NOW_MS, agreed=agreed)


def test_missing_owner_is_released_by_the_second_complete_list_after_ten_minutes() -> None:
    owners = known(None, None, None)
    assert look(owners, 0, 1).newly_missing == ("k8s:2",)
    assert look(known(None, None, MISSING_MS - 1), 0, 1) == Census(missing=1)
    assert look(known(None, None, MISSING_MS), 0, 1) == Census(missing=1, released=("k8s:2",))


def test_incomplete_list_releases_and_marks_nobody() -> None:
    assert look(known(None, None, MISSING_MS), 0, complete=False) == Census()
    assert look(known(None, MISSING_MS), 0, 1, complete=False) == Census(back=("k8s:1",))


def test_owner_that_is_back_is_missing_no_more() -> None:
    assert look(known(None, None, MISSING_MS), 0, 1, 2) == Census(back=("k8s:2",))


def test_more_than_half_at_once_waits_for_an_admin() -> None:
    owners = known(None, MISSING_MS, MISSING_MS)
    assert look(owners, 0) == Census(missing=2, is_blocked=True)
    assert look(owners, 0, agreed=True) == Census(missing=2, released=("k8s:1", "k8s:2"))
    half = known(None, None, MISSING_MS, MISSING_MS)
    assert look(half, 0, 1).released == ("k8s:2", "k8s:3"), "half is not more than half"
    assert look([], 0) == Census()
    assert look(known(MISSING_MS)).released == ("k8s:0",), "a single one is a deletion"
